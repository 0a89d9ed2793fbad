'use strict';
// Services between clients nobody here wrote. Usage: node services.js URL
// Each conversation stands alone; the first that fails ends the run with 1.

const assert = require('assert');
const { spawn } = require('child_process');
const { connect, payload, routeOf, ask, within, Side } = require('./client');

const url = process.argv[2];
const MANY = Number(process.env.MANY || 100000);
const NOTHING = { cancel() {}, request() {}, onExtension() {} };

async function serve(service, responder) {
  const rsocket = await connect(url, responder);
  await ask(rsocket, payload(`serve/${service}`), `serve ${service}`);
  return rsocket;
}

async function fourModels() {
  let forgotten;
  const heard = new Promise((resolve) => {
    forgotten = resolve;
  });
  const server = await serve('echo', {
    fireAndForget: (p) => {
      forgotten(p);
      return NOTHING;
    },
    requestResponse: (p, to) => {
      if (p.data.toString() === 'fail') {
        const e = new Error('my own words');
        to.onError(e);
      } else to.onNext({ data: p.data, metadata: p.metadata }, true);
      return NOTHING;
    },
    requestStream: (p, n, to) => {
      let sent = 0;
      const more = (k) => {
        for (let i = 0; i < k && sent < 5; i += 1) {
          sent += 1;
          to.onNext({ data: Buffer.from(`${sent}`) }, sent === 5);
        }
      };
      setImmediate(() => more(n));
      return { cancel() {}, onExtension() {}, request: more };
    },
  });
  const caller = await connect(url);
  const p = payload('call/echo/say', 'hello', { key: 'value' });
  const answer = await ask(caller, p, 'an echo');
  assert.strictEqual(answer.data.toString(), 'hello');
  assert.ok(answer.metadata.equals(p.metadata), 'metadata pass unchanged, there and back');
  assert.strictEqual(routeOf(answer), 'call/echo/say');
  await assert.rejects(ask(caller, payload('call/echo/say', 'fail'), 'an error'), (e) => {
    assert.strictEqual(e.message, 'my own words');
    assert.strictEqual(e.code, 0x201);
    return true;
  });
  caller.fireAndForget(payload('call/echo/log', 'x'), { onComplete() {}, onError() {} });
  assert.strictEqual(routeOf(await within(heard, 'fire-and-forget')), 'call/echo/log');
  const got = [];
  await within(
    new Promise((resolve, reject) => {
      const stream = caller.requestStream(payload('call/echo/count'), 2, {
        onNext: (x, isComplete) => {
          got.push(x.data.toString());
          if (got.length === 2) stream.request(3);
          if (isComplete) resolve();
        },
        onComplete: resolve,
        onError: reject,
        onExtension() {},
      });
    }),
    'a stream',
  );
  assert.deepStrictEqual(got, ['1', '2', '3', '4', '5']);
  caller.close();
  server.close();
}

// A channel that both sides drive with request(16); sides[i] are the server's.
async function channelServer(service, n, sides) {
  return serve(service, {
    requestChannel: (p, initial, isComplete, to) => {
      const side = new Side(n, 16);
      side.other = to;
      side.allowed = initial;
      sides.push(side);
      side.asked += 1; // the first needs no credit
      setImmediate(() => {
        side.onNext(p, isComplete);
        to.request(16);
        side.pump();
      });
      return side;
    },
  });
}

function openChannel(rsocket, service, n) {
  const side = new Side(n, 16);
  const first = payload(`call/${service}/run`);
  side.allowed = 1;
  first.data = side.next();
  side.other = rsocket.requestChannel(first, 16, false, side);
  return side;
}

async function channelOfMany() {
  const sides = [];
  const server = await channelServer('pump', MANY, sides);
  const caller = await connect(url);
  const side = openChannel(caller, 'pump', MANY);
  await side.until((s) => s.done, 'the end');
  await sides[0].until((s) => s.done, "the server's end");
  assert.strictEqual(side.got, MANY);
  assert.strictEqual(sides[0].got, MANY);
  assert.strictEqual(side.error || sides[0].error, undefined);
  caller.close();
  server.close();
}

async function cancelReleasesBoth() {
  const sides = [];
  const server = await channelServer('stop', 20000, sides);
  const caller = await connect(url);
  const side = openChannel(caller, 'stop', 20000);
  await side.until((s) => s.got >= 1000, 'some');
  side.cancelled = true;
  side.other.cancel();
  await sides[0].until((s) => s.cancelled, 'the server to hear of it');
  // The server stops the way up; its own goes on to its end.
  const other = openChannel(caller, 'stop', 20000);
  await other.until((s) => s.got >= 500, 'some');
  sides[1].other.cancel();
  await other.until((s) => s.cancelled, 'the caller to hear of it');
  await other.until((s) => s.done, 'the rest');
  assert.strictEqual(other.got, 20000);
  const info = JSON.parse((await ask(caller, payload('admin/info'), 'info')).data);
  assert.strictEqual(info.calls.open, 0, 'nothing is left open');
  caller.close();
  server.close();
}

async function twoShareTheLoad() {
  const waiting = [];
  const count = [0, 0];
  const responder = (i) => ({
    requestResponse: (p, to) => {
      count[i] += 1;
      waiting.push(to);
      if (waiting.length === 40) waiting.forEach((w) => w.onNext({ data: Buffer.from('x') }, true));
      return NOTHING;
    },
  });
  const servers = [await serve('load', responder(0)), await serve('load', responder(1))];
  const caller = await connect(url);
  const all = Array.from({ length: 40 }, () => ask(caller, payload('call/load/x'), 'an answer'));
  await Promise.all(all);
  assert.deepStrictEqual(count, [20, 20]);
  [caller, ...servers].forEach((s) => s.close());
}

async function aServerIsKilled() {
  const child = spawn(process.execPath, [`${__dirname}/server.js`, url], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let said = '';
  let look = () => {};
  child.stdout.on('data', (d) => {
    said += d;
    look();
  });
  const hears = (text) =>
    within(
      new Promise((resolve) => {
        look = () => said.includes(text) && resolve();
        look();
      }),
      text,
    );
  const caller = await connect(url);
  try {
    await hears('serving');
    const call = ask(caller, payload('call/doomed/x', '', { $wait: '5000' }), 'an end');
    call.catch(() => {});
    await hears('called');
    process.kill(child.pid, 'SIGKILL');
    await assert.rejects(call, (e) => {
      assert.strictEqual(e.code, 0x203);
      assert.match(e.message, /^disconnected: /);
      return true;
    });
    await assert.rejects(ask(caller, payload('call/doomed/x'), 'no'), (e) => {
      assert.strictEqual(e.code, 0x202);
      assert.match(e.message, /^no-server: /);
      return true;
    });
  } finally {
    child.kill('SIGKILL');
    caller.close();
  }
}

async function main() {
  const all = [fourModels, channelOfMany, cancelReleasesBoth, twoShareTheLoad, aServerIsKilled];
  for (const conversation of all) {
    const begun = Date.now();
    await conversation();
    console.log(`${conversation.name}: ${Date.now() - begun} ms`);
  }
}

main().then(
  () => process.exit(0),
  (e) => {
    console.error(e);
    process.exit(1);
  },
);

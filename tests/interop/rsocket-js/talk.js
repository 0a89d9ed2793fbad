'use strict';
// What rsocket-js and brokerd say to each other. Usage: node talk.js URL
// Each conversation stands alone; the first that fails ends the run with 1.

const assert = require('assert');
const { Flowable, Single } = require('rsocket-flowable');
const { connect, promise, payload, topicOf, Receiver, Sender } = require('./client');

const url = process.argv[2];

const ping = (rsocket) => promise(rsocket.requestResponse(payload('admin/ping')), 'ping');

const publish = (rsocket, topic, data, headers) =>
  promise(rsocket.requestResponse(payload(`publish/${topic}`, data, headers)), `publish ${topic}`);

// An 11th message would have come with or before the answer to a ping sent after it: brokerd
// writes to one connection in order.
async function assertNoMore(rsocket, receiver, n) {
  await ping(rsocket);
  assert.strictEqual(receiver.got.length, n);
}

async function publishAndSubscribe() {
  const rsocket = await connect(url);
  const receiver = new Receiver(rsocket.requestStream(payload('subscribe/js.one')), 10);
  await ping(rsocket);
  for (let i = 0; i < 35; i += 1) rsocket.fireAndForget(payload('publish/js.one', `m${i}`));
  for (let asked = 10; asked <= 30; asked += 10) {
    await receiver.until((r) => r.got.length >= asked, `${asked} messages`);
    await assertNoMore(rsocket, receiver, asked);
    receiver.request(10);
  }
  await receiver.until((r) => r.got.length >= 35, '35 messages');
  assert.deepStrictEqual(receiver.texts(), Array.from({ length: 35 }, (_, i) => `m${i}`));
  assert.ok(receiver.got.every((p) => !p.metadata || p.metadata.length === 0), 'plain messages');
  rsocket.close();
}

async function cancelEndsASubscription() {
  const rsocket = await connect(url);
  const receiver = new Receiver(rsocket.requestStream(payload('subscribe/js.cancel')), 1000);
  await ping(rsocket);
  await publish(rsocket, 'js.cancel', 'heard');
  await receiver.until((r) => r.got.length === 1, 'one message');
  receiver.cancel();
  const answer = await publish(rsocket, 'js.cancel', 'not heard');
  assert.strictEqual(answer.data.readUInt32BE(0), 0, 'no queue matches any more');
  await assertNoMore(rsocket, receiver, 1);
  rsocket.close();
}

async function wildcardsNameTheTopic() {
  const rsocket = await connect(url);
  const receiver = new Receiver(rsocket.requestStream(payload('subscribe/js.many.*')), 10);
  await ping(rsocket);
  await publish(rsocket, 'js.many.a', 'x');
  await publish(rsocket, 'js.many.b', 'y');
  await receiver.until((r) => r.got.length === 2, 'two messages');
  assert.deepStrictEqual(receiver.got.map(topicOf), ['js.many.a', 'js.many.b']);
  rsocket.close();
}

async function receipts() {
  const rsocket = await connect(url);
  const none = await publish(rsocket, 'js.nobody', 'x');
  assert.strictEqual(none.data.toString('hex'), '0000000000000000');
  await assert.rejects(publish(rsocket, 'js.nobody', 'x', { $require: '1' }), /no-match/);
  const receiver = new Receiver(rsocket.requestStream(payload('subscribe/js.receipt')), 10);
  await ping(rsocket);
  const one = await publish(rsocket, 'js.receipt', 'x');
  assert.strictEqual(one.data.toString('hex'), '0000000100000001');
  await receiver.until((r) => r.got.length === 1, 'the message');
  rsocket.close();
}

async function errors() {
  const rsocket = await connect(url);
  const stream = (route) => {
    const r = new Receiver(rsocket.requestStream(payload(route)), 10);
    return r.until((x) => x.error, `an error for ${route}`).then(() => r.error);
  };
  const noRoute = await stream('no/such/route');
  assert.strictEqual(noRoute.source.code, 0x204);
  assert.match(noRoute.message, /not-found: no route no\/such\/route/);
  assert.match((await stream('subscribe/a..b')).message, /invalid: /);
  assert.match((await stream('publish/a')).message, /does not take this interaction/);
  await assert.rejects(publish(rsocket, 'js.x', 'x', { $nonsense: '1' }), /invalid: .*\$nonsense/);
  await assert.rejects(
    promise(rsocket.requestResponse(payload('call/nobody/home')), 'call'),
    /no-server: /,
  );
  await ping(rsocket); // all that, and the connection lives
  rsocket.close();
}

async function noRoutesWithoutRouting() {
  const rsocket = await connect(url, 'application/json');
  await assert.rejects(
    promise(rsocket.requestResponse({ data: Buffer.from('x'), metadata: Buffer.from('{}') }), 'x'),
    /invalid: a request needs a route/,
  );
  rsocket.close();
}

async function channelWithConfirms() {
  const rsocket = await connect(url);
  const receiver = new Receiver(rsocket.requestStream(payload('subscribe/js.channel')), 1000);
  await ping(rsocket);
  const up = new Sender();
  const confirms = new Receiver(rsocket.requestChannel(up.flowable), 1000);
  const settled = () =>
    confirms.got.length ? Number(confirms.got[confirms.got.length - 1].data.readBigUInt64BE(0)) : 0;
  up.push(payload('publish/js.channel', 'm0'));
  for (let i = 1; i < 500; i += 1) up.push({ data: Buffer.from(`m${i}`) });
  await confirms.until(() => settled() >= 500, '500 confirms');
  assert.ok(up.granted >= 499, `credit came: ${up.granted}`);
  up.end();
  await confirms.until((c) => c.ended, 'COMPLETE');
  assert.ok(confirms.got.every((c) => c.data.length === 8), 'nothing was lost');
  await receiver.until((r) => r.got.length === 500, '500 messages');
  assert.deepStrictEqual(receiver.texts(), Array.from({ length: 500 }, (_, i) => `m${i}`));
  rsocket.close();
}

function verb(kind, first, count, argument = 0) {
  const b = Buffer.alloc(17);
  b.writeUInt8(kind, 0);
  b.writeBigUInt64BE(BigInt(first), 1);
  b.writeUInt32BE(count, 9);
  b.writeUInt32BE(argument, 13);
  return { data: b };
}

async function consumeWithAcks() {
  const rsocket = await connect(url);
  const send = (data) =>
    promise(rsocket.requestResponse(payload('send/js.jobs', data)), 'send');
  for (const data of ['one', 'two', 'three']) await send(data);
  const verbs = new Sender();
  const jobs = new Receiver(rsocket.requestChannel(verbs.flowable), 2);
  verbs.push(payload('consume/js.jobs'));
  await jobs.until((j) => j.got.length === 2, 'two jobs');
  await assertNoMore(rsocket, jobs, 2);
  verbs.push(verb(1, 1, 1)); // ack one
  verbs.push(verb(2, 2, 1)); // nack two: it comes again, before three
  jobs.request(2);
  await jobs.until((j) => j.got.length === 4, 'four deliveries');
  assert.deepStrictEqual(jobs.texts(), ['one', 'two', 'two', 'three']);
  verbs.push(verb(1, 3, 2));
  verbs.end();
  await jobs.until((j) => j.ended, 'COMPLETE');

  const again = new Receiver(rsocket.requestStream(payload('consume/js.jobs')), 10);
  await send('four');
  await again.until((a) => a.got.length === 1, 'the next job');
  assert.deepStrictEqual(again.texts(), ['four'], 'what was acked does not come again');
  rsocket.close();
}

async function binaryArrivesUnchanged() {
  const rsocket = await connect(url);
  const receiver = new Receiver(rsocket.requestStream(payload('subscribe/js.binary')), 10);
  await ping(rsocket);
  const sizes = [0, 1, 255, 65536, 1 << 20];
  const sent = sizes.map((n) => Buffer.from(Uint8Array.from({ length: n }, (_, i) => (i * 7) % 256)));
  for (const data of sent) {
    const p = payload('publish/js.binary');
    p.data = data;
    await promise(rsocket.requestResponse(p), 'publish');
  }
  await receiver.until((r) => r.got.length === sizes.length, 'all sizes');
  receiver.got.forEach((p, i) => {
    const data = p.data || Buffer.alloc(0); // rsocket-js reads no bytes as null
    assert.ok(data.equals(sent[i]), `${sizes[i]} bytes`);
  });
  rsocket.close();
}

async function metadataPushIsIgnored() {
  const rsocket = await connect(url);
  await promise(rsocket.metadataPush({ metadata: Buffer.from('heartbeat') }), 'push');
  await ping(rsocket);
  rsocket.close();
}

// One side of a channel: `n` numbered payloads as far as the other asks for them.
function numbers(n, make, begun) {
  return new Flowable((subscriber) => {
    let sent = 0;
    let over = false;
    subscriber.onSubscribe({
      cancel: () => {
        over = true;
        begun.cancelled = true;
      },
      request: (k) => {
        for (let i = 0; i < k && sent < n && !over; i += 1) {
          sent += 1;
          subscriber.onNext(make(sent));
        }
        if (sent === n && !over) {
          over = true;
          subscriber.onComplete();
        }
      },
    });
  });
}

// The other: asks for 16 at a time, and never gets more.
function count16(flowable) {
  const r = { got: 0, asked: 16 };
  r.all = new Promise((resolve, reject) => {
    flowable.subscribe({
      onNext: (p) => {
        r.got += 1;
        if (p.data.readUInt32BE(0) !== r.got) reject(new Error(`not the ${r.got}th`));
        if (r.got > r.asked) reject(new Error(`${r.got} of ${r.asked}`));
        if (r.got === r.asked) {
          r.asked += 16;
          r.subscription.request(16);
        }
      },
      onComplete: resolve,
      onError: reject,
      onSubscribe: (s) => {
        r.subscription = s;
        s.request(16);
      },
    });
  });
  return r;
}

async function servicesAndCalls() {
  const MANY = Number(process.env.MANY || 100000);
  const number = (i) => {
    const data = Buffer.alloc(16);
    data.writeUInt32BE(i);
    return data;
  };
  const served = {};
  const server = await connect(url, undefined, {
    requestResponse: (p) => Single.of({ data: p.data, metadata: p.metadata }),
    requestStream: () => numbers(100, (i) => ({ data: number(i) }), served),
    requestChannel: (up) => {
      served.up = count16(up);
      return numbers(MANY, (i) => ({ data: number(i) }), served);
    },
  });
  await promise(server.requestResponse(payload('serve/classic')), 'serve');
  const caller = await connect(url);
  const echo = await promise(caller.requestResponse(payload('call/classic/echo', 'x')), 'echo');
  assert.strictEqual(echo.data.toString(), 'x');
  const stream = count16(caller.requestStream(payload('call/classic/count')));
  await stream.all;
  assert.strictEqual(stream.got, 100);
  const sent = {};
  const route = payload('call/classic/run').metadata;
  const run = (i) => ({ data: number(i), metadata: i === 1 ? route : undefined });
  const down = count16(caller.requestChannel(numbers(MANY, run, sent)));
  await down.all;
  await served.up.all;
  assert.strictEqual(down.got, MANY);
  assert.strictEqual(served.up.got, MANY);
  const cut = count16(caller.requestChannel(numbers(MANY, run, sent)));
  served.cancelled = false;
  while (cut.got < 1000) await ping(caller);
  cut.subscription.cancel();
  while (!served.cancelled) await ping(caller);
  server.close();
  caller.close();
}

const conversations = [
  publishAndSubscribe,
  cancelEndsASubscription,
  wildcardsNameTheTopic,
  receipts,
  errors,
  noRoutesWithoutRouting,
  channelWithConfirms,
  consumeWithAcks,
  binaryArrivesUnchanged,
  metadataPushIsIgnored,
  servicesAndCalls,
];

(async () => {
  for (const conversation of conversations) {
    try {
      await conversation();
      console.log(`ok   ${conversation.name}`);
    } catch (e) {
      console.log(`FAIL ${conversation.name}: ${e.stack}`);
      process.exit(1);
    }
  }
  process.exit(0); // connections may linger
})();

'use strict';
// RESUME and LEASE as the 1.0 line of rsocket-js does them. Usage: node resume.js URL SEED
// Its connections go through a proxy that cuts them at random bytes of either direction.

const assert = require('assert');
const net = require('net');
const { RSocketConnector } = require('rsocket-core');
const { WellKnownMimeType } = require('rsocket-composite-metadata');
const { transport, payload } = require('./client');

const broker = new URL(process.argv[2].replace(/^tcp:/, 'http:'));
const PATIENCE_MS = 20000 * Number(process.env.SLOW || 1);
const ITEMS = 10000;
const CUTS = 20;
// What a connection carries at least, either way: RESUME and its answer. The client does not try
// again where it is cut before that.
const BEGINNING = 64;

// Numbers from a seed (a linear congruence: good enough to cut by).
let state = Number(process.argv[3]) % 2147483647 || 1;
const below = (n) => {
  state = (state * 48271) % 2147483647;
  return state % n;
};

// Carries connections to the broker; each is cut after so many bytes of one direction.
function cutter(most) {
  const proxy = { cuts: 0, resumed: 0 };
  proxy.server = net.createServer((client) => {
    const server = net.connect(Number(broker.port), broker.hostname);
    const carry = (from, to) => {
      let left = BEGINNING + below(most);
      from.on('data', (some) => {
        const part = proxy.cuts < CUTS ? some.subarray(0, left) : some;
        left -= part.length;
        to.write(part);
        if (left > 0 || proxy.cuts >= CUTS || from.destroyed) return;
        proxy.cuts += 1;
        to.end(() => to.destroy());
        from.destroy();
      });
      from.on('close', () => to.end());
      from.on('error', () => to.destroy());
    };
    client.setNoDelay(true);
    server.setNoDelay(true);
    carry(client, server);
    carry(server, client);
  });
  return new Promise((resolve) => {
    proxy.server.listen(0, '127.0.0.1', () => {
      proxy.port = proxy.server.address().port;
      resolve(proxy);
    });
  });
}

const connect = (port, more = {}) =>
  new RSocketConnector({
    setup: {
      keepAlive: 100,
      lifetime: 60000,
      dataMimeType: 'application/octet-stream',
      metadataMimeType: WellKnownMimeType.MESSAGE_RSOCKET_COMPOSITE_METADATA.string,
    },
    transport: transport(`tcp://${broker.hostname}:${port}`),
    ...more,
  }).connect();

const resumable = (proxy, token) =>
  connect(proxy.port, {
    resume: {
      tokenGenerator: () => Buffer.from(token),
      reconnectFunction: () => {
        proxy.resumed += 1;
        return Promise.resolve();
      },
    },
  });

const quiet = { onError() {}, onComplete() {}, onNext() {}, onExtension() {} };

function within(what, begin) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`waited for ${what()}`)), PATIENCE_MS);
    begin((v) => (clearTimeout(timer), resolve(v)), reject);
  });
}

const ask = (rsocket, route, data) =>
  within(
    () => route,
    (resolve, reject) =>
      rsocket.requestResponse(payload(route, data), {
        ...quiet,
        onNext: resolve,
        onError: reject,
        onComplete: resolve,
      }),
  );

const item = (i) => `${i} ${'x'.repeat(i % 50)}`;

async function downStream() {
  const proxy = await cutter(ITEMS * 2);
  const rsocket = await resumable(proxy, 'down');
  const plain = await connect(Number(broker.port));
  let got = 0;
  let sent = 0;
  let stream;
  const send = () => {
    for (; sent < ITEMS && sent < got + 3000; sent += 1) {
      plain.fireAndForget(payload('publish/js.down', item(sent)), quiet);
    }
  };
  await within(
    () => `items: ${got}, ${proxy.cuts} cuts`,
    (resolve, reject) => {
      stream = rsocket.requestStream(payload('subscribe/js.down'), 64, {
        ...quiet,
        onNext: (p) => {
          if (p.data.toString() !== item(got)) reject(new Error(`${got}: ${p.data}`));
          got += 1;
          if (got % 32 === 0) stream.request(32);
          if (got % 500 === 0) send();
          if (got === ITEMS) resolve();
        },
        onError: reject,
        onComplete: () => reject(new Error('the stream ended')),
      });
      ask(rsocket, 'admin/ping').then(send, reject);
    },
  );
  await ask(rsocket, 'admin/ping');
  assert.strictEqual(got, ITEMS);
  assert.strictEqual(proxy.cuts, CUTS);
  assert(proxy.resumed >= CUTS / 2, `resumed ${proxy.resumed} times`);
  stream.cancel();
  rsocket.close();
  plain.close();
  proxy.server.close();
}

async function upChannel() {
  const proxy = await cutter(ITEMS * 2);
  const plain = await connect(Number(broker.port));
  const got = [];
  let all;
  const whole = within(
    () => `items: ${got.length}, ${proxy.cuts} cuts`,
    (resolve) => (all = resolve),
  );
  plain.requestStream(payload('subscribe/js.up'), 0x7fffffff, {
    ...quiet,
    onNext: (p) => {
      if (got.push(p.data.toString()) === ITEMS) all();
    },
  });
  await ask(plain, 'admin/ping');
  const rsocket = await resumable(proxy, 'up');
  let sent = 1;
  const up = rsocket.requestChannel(payload('publish/js.up', item(0)), 0x7fffffff, false, {
    ...quiet,
    onError: (e) => got.push(e),
    cancel() {},
    request(n) {
      for (let i = 0; i < n && sent < ITEMS; i += 1, sent += 1) {
        up.onNext({ data: Buffer.from(item(sent)) }, sent + 1 === ITEMS);
      }
    },
  });
  await whole;
  await ask(plain, 'admin/ping');
  assert.deepStrictEqual(
    got,
    Array.from({ length: ITEMS }, (_, i) => item(i)),
  );
  assert(proxy.cuts >= CUTS / 2 && proxy.resumed >= CUTS / 4, `${proxy.cuts} cuts`);
  rsocket.close();
  plain.close();
  proxy.server.close();
}

// 10 requests a lease (as run.sh says): 100 go, for the client waits for the next, and none is
// refused.
async function underLease() {
  const rsocket = await connect(Number(broker.port), { lease: { maxPendingRequests: 256 } });
  await Promise.all(Array.from({ length: 100 }, () => ask(rsocket, 'admin/ping')));
  rsocket.close();
}

async function main() {
  for (const conversation of [downStream, upChannel, underLease]) {
    await conversation();
    console.log(`rsocket-js 1.0: ${conversation.name}`);
  }
  process.exit(0);
}

main().catch((e) => {
  console.error(e);
  process.exit(1);
});

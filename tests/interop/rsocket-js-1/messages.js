'use strict';
// What the 1.0 line of rsocket-js and brokerd say to each other. Usage: node messages.js URL
// Each conversation has a connection of its own; the first that fails ends the run with 1.

const assert = require('assert');
const client = require('./client');

const { payload } = client;
const url = process.argv[2];
const PATIENCE_MS = 10000 * Number(process.env.SLOW || 1);

const connect = () => client.connect(url);
const ask = (rsocket, route, data) => client.ask(rsocket, payload(route, data), route);

// What comes down a stream: all of it, and waiting for it with a deadline.
class Received {
  constructor() {
    this.got = [];
    this.onNext = (p, isComplete) => this.note(() => this.got.push(p), isComplete);
    this.onComplete = () => this.note(() => {}, true);
    this.onError = (e) => this.note(() => (this.error = e), false);
    this.onExtension = () => {};
    this.request = (n) => this.note(() => (this.granted = (this.granted || 0) + n), false);
    this.cancel = () => (this.cancelled = true);
    this.waits = [];
  }

  note(f, isComplete) {
    f();
    this.ended = this.ended || isComplete;
    this.waits = this.waits.filter((w) => !w());
  }

  until(holds, what) {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`waited for ${what}`)), PATIENCE_MS);
      const look = () => {
        if (!holds(this)) return false;
        clearTimeout(timer);
        resolve(this);
        return true;
      };
      if (!look()) this.waits.push(look);
    });
  }

  texts() {
    return this.got.map((p) => p.data.toString());
  }
}

async function subscribeUnderCredit() {
  const rsocket = await connect();
  const r = new Received();
  const stream = rsocket.requestStream(payload('subscribe/next.a'), 10, r);
  await ask(rsocket, 'admin/ping');
  for (let i = 0; i < 35; i += 1) {
    rsocket.fireAndForget(payload('publish/next.a', `m${i}`), { onError() {}, onComplete() {} });
  }
  for (let asked = 10; asked <= 30; asked += 10) {
    await r.until(() => r.got.length >= asked, `${asked} messages`);
    await ask(rsocket, 'admin/ping');
    assert.strictEqual(r.got.length, asked);
    stream.request(10);
  }
  await r.until(() => r.got.length === 35, 'all');
  assert.deepStrictEqual(r.texts(), Array.from({ length: 35 }, (_, i) => `m${i}`));
  stream.cancel();
  const answer = await ask(rsocket, 'publish/next.a', 'not heard');
  assert.strictEqual(answer.data.readUInt32BE(0), 0);
  rsocket.close();
}

async function publishChannel() {
  const rsocket = await connect();
  const heard = new Received();
  rsocket.requestStream(payload('subscribe/next.channel'), 1000, heard);
  await ask(rsocket, 'admin/ping');
  const confirms = new Received();
  const up = rsocket.requestChannel(payload('publish/next.channel', 'm0'), 1000, false, confirms);
  for (let i = 1; i < 100; i += 1) {
    await confirms.until((c) => (c.granted || 0) >= i, 'credit');
    up.onNext({ data: Buffer.from(`m${i}`) }, false);
  }
  up.onComplete();
  await confirms.until((c) => c.ended, 'COMPLETE');
  assert.strictEqual(Number(confirms.got[confirms.got.length - 1].data.readBigUInt64BE(0)), 100);
  await heard.until((h) => h.got.length === 100, '100 messages');
  rsocket.close();
}

async function largeAndSmall() {
  const rsocket = await connect();
  const r = new Received();
  rsocket.requestStream(payload('subscribe/next.size'), 100, r);
  await ask(rsocket, 'admin/ping');
  const sent = [0, 1, 125, 126, 65535, 65536, 1 << 20].map((n) => Buffer.alloc(n, 'x'));
  for (const data of sent) await ask(rsocket, 'publish/next.size', data);
  await r.until(() => r.got.length === sent.length, 'all sizes');
  r.got.forEach((p, i) => assert.ok((p.data || Buffer.alloc(0)).equals(sent[i]), `size ${i}`));
  rsocket.close();
}

async function errors() {
  const rsocket = await connect();
  await assert.rejects(ask(rsocket, 'no/such/route'), /not-found/);
  await assert.rejects(ask(rsocket, 'call/nobody/home'), /no-server/);
  await ask(rsocket, 'admin/ping');
  rsocket.close();
}

(async () => {
  for (const conversation of [subscribeUnderCredit, publishChannel, largeAndSmall, errors]) {
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

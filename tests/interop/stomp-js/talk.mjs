// The STOMP clients of npm against a broker: stompit, and @stomp/stompjs by TCP and by WebSocket.
import assert from 'node:assert';
import { createRequire } from 'node:module';
import { Client } from '@stomp/stompjs';
import { TCPWrapper } from '@stomp/tcp-wrapper';
import WebSocket from 'ws';

const stompit = createRequire(import.meta.url)('stompit');
const [host, port] = process.argv[2].split(':');
const patience = 10000 * Number(process.env.SLOW || 1);

function within(what, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no ${what} within ${patience} ms`)), patience);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

// A queue of what came, that can be waited for.
class Inbox {
  came = [];
  waiting = [];
  put(m) {
    const w = this.waiting.shift();
    if (w) w(m);
    else this.came.push(m);
  }
  next(what = 'message') {
    return this.came.length ? Promise.resolve(this.came.shift())
      : within(what, new Promise((r) => this.waiting.push(r)));
  }
}

// ---------------------------------------------------------------------- stompjs

const ways = {
  tcp: () => ({ webSocketFactory: () => new TCPWrapper(host, Number(port)) }),
  'ws by subprotocol': () => ({
    webSocketFactory: () => new WebSocket(`ws://${host}:${port}/ws`, ['v12.stomp', 'v11.stomp', 'v10.stomp']),
  }),
  'ws by path': () => ({ webSocketFactory: () => new WebSocket(`ws://${host}:${port}/stomp`) }),
  'ws, frames cut': () => ({
    webSocketFactory: () => new WebSocket(`ws://${host}:${port}/ws`, ['v12.stomp']),
    splitLargeFrames: true, maxWebSocketChunkSize: 100,
  }),
};

async function stompjs(way) {
  const errors = new Inbox();
  const client = new Client({
    ...ways[way](), reconnectDelay: 0, heartbeatIncoming: 1000, heartbeatOutgoing: 1000,
    onStompError: (f) => errors.put(f),
  });
  await within('connection', new Promise((r) => { client.onConnect = r; client.activate(); }));
  assert.equal(client.connectedVersion, '1.2');

  const receipt = (action) => within('receipt', new Promise((r) => {
    const id = `r-${Math.random()}`;
    client.watchForReceipt(id, r);
    action({ receipt: id });
  }));
  const topic = `js.${way.replace(/\W+/g, '-')}`;
  const inbox = new Inbox();
  await receipt((h) => client.subscribe(`/topic/${topic}.*`, (m) => inbox.put(m), h));
  // Not a backslash before c, n or r: stompjs takes the escapes out one kind after the other, and so
  // reads `\\c` as a backslash and a colon.
  const key = 'a:b\\d\ne';
  // Cut between two UTF-16 halves, a text is no longer the same: stompjs may cut there.
  const long = (way.includes('cut') ? 'ä€' : 'ä€😀').repeat(2000);
  for (const body of ['plain', '', long]) {
    await receipt((h) => client.publish({ destination: `/topic/${topic}.x`, body,
      headers: { ...h, key } }));
    const m = await inbox.next();
    assert.equal(m.body, body);
    assert.equal(m.headers.key, key);
    assert.equal(m.headers.destination, `/topic/${topic}.x`);
  }
  const bytes = new Uint8Array(70000).map((_, i) => i * 7);
  client.publish({ destination: `/topic/${topic}.x`, binaryBody: bytes });
  assert.deepEqual(Buffer.from((await inbox.next()).binaryBody), Buffer.from(bytes));

  const work = new Inbox();
  client.subscribe(`/queue/${topic}`, (m) => work.put(m), { ack: 'client-individual', 'prefetch-count': '1' });
  const tx = client.begin();
  for (const body of ['1', '2']) client.publish({ destination: `/queue/${topic}`, body, headers: { transaction: tx.id } });
  tx.commit();
  let m = await work.next();
  m.nack();
  m = await work.next();
  assert.equal(m.headers.redelivered, 'true');
  m.ack();
  m = await work.next();
  assert.equal(m.body, '2');
  m.ack();

  const rpc = new Inbox();
  client.onUnhandledMessage = (u) => rpc.put(u);
  client.publish({ destination: '/service/admin/info', headers: { 'reply-to': '/temp-queue/rpc' } });
  assert.ok(JSON.parse((await rpc.next()).body));

  await new Promise((r) => { setTimeout(r, 3000); }); // three heart-beats each way
  assert.ok(client.connected);
  client.publish({ destination: '/bah/baz', body: '' });
  assert.equal((await errors.next('error')).headers.message, 'Unknown destination');
  await client.deactivate();
}

// ---------------------------------------------------------------------- stompit

const connect = (options) => within('connection', new Promise((resolve, reject) => {
  stompit.connect({ host, port: Number(port), ...options }, (e, c) => (e ? reject(e) : resolve(c)));
}));

const read = (message) => new Promise((resolve, reject) => {
  message.readString('utf-8', (e, s) => (e ? reject(e) : resolve(s)));
});

async function stompit_() {
  const client = await connect({ connectHeaders: { host: '/', 'heart-beat': '1000,1000' } });
  const inbox = new Inbox();
  client.subscribe({ destination: '/queue/stompit', ack: 'client-individual' }, (e, m) => {
    assert.ifError(e);
    read(m).then((body) => inbox.put({ m, body }));
  });
  for (const chunks of [['one'], ['in ', 'several ', 'chunks'], ['x'.repeat(100000)]]) {
    const frame = client.send({ destination: '/queue/stompit', 'content-type': 'text/plain', k: 'a:b' });
    chunks.forEach((c) => frame.write(c));
    frame.end();
    const { m, body } = await inbox.next();
    assert.equal(body, chunks.join(''));
    assert.equal(m.headers.k, 'a:b');
    client.ack(m);
  }
  const t = client.begin();
  t.send({ destination: '/queue/stompit' }).end('in a transaction');
  await within('commit', new Promise((resolve) => { t.commit({ onReceipt: resolve }); }));
  const { m, body } = await inbox.next();
  assert.equal(body, 'in a transaction');
  client.nack(m);
  const again = await inbox.next();
  assert.equal(again.m.headers.redelivered, 'true');
  client.ack(again.m);
  await within('disconnect', new Promise((resolve, reject) => { client.disconnect((e) => (e ? reject(e) : resolve())); }));
}

await stompit_();
for (const way of Object.keys(ways)) await stompjs(way);
console.log('stompit, stompjs: all is well');
process.exit(0);

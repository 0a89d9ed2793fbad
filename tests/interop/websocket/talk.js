'use strict';
// ws (npm) and brokerd: echo, closing, and what WebSocket carries. Usage: node talk.js ws://HOST:PORT

const assert = require('assert');
const WebSocket = require('ws');

const url = process.argv[2];
const PATIENCE_MS = 20000 * Number(process.env.SLOW || 1);

function within(promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited for ${what}`)), PATIENCE_MS);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

// A connection whose messages can be waited for.
async function connect(path, protocols) {
  const ws = new WebSocket(url + path, protocols, { maxPayload: 0 });
  const heard = [];
  const waiting = [];
  ws.on('message', (data, isBinary) => {
    const message = isBinary ? data : data.toString();
    if (waiting.length) waiting.shift()(message);
    else heard.push(message);
  });
  ws.closed = new Promise((resolve) => ws.on('close', (code) => resolve(code)));
  ws.hear = () =>
    within(heard.length ? Promise.resolve(heard.shift()) : new Promise((r) => waiting.push(r)), 'a message');
  await within(new Promise((resolve, reject) => ws.on('open', resolve).on('error', reject)), path);
  return ws;
}

async function echo() {
  const ws = await connect('/echo');
  for (const message of ['', 'grün', 'x'.repeat(70000), Buffer.alloc(0), Buffer.alloc(3 << 20, 7)]) {
    ws.send(message);
    assert.deepStrictEqual(await ws.hear(), message);
  }
  ws.send('in ', { fin: false });
  ws.send('two', { fin: true });
  assert.strictEqual(await ws.hear(), 'in two');
  const pong = new Promise((resolve) => ws.on('pong', (data) => resolve(data.toString())));
  ws.ping('?');
  assert.strictEqual(await within(pong, 'a pong'), '?');
  for (let i = 0; i < 10000; i += 1) ws.send(`${i}`);
  for (let i = 0; i < 10000; i += 1) assert.strictEqual(await ws.hear(), `${i}`);
  ws.close(4001, 'enough');
  assert.strictEqual(await within(ws.closed, 'the close'), 4001);
}

async function nothingElse() {
  await assert.rejects(connect('/elsewhere'), /404/);
  const ws = await connect('/ws');
  ws.send('no protocol of ours');
  assert.strictEqual(await within(ws.closed, 'the close'), 1003);
}

// Published by JSON, received by JSON whose door the first message told.
async function json() {
  const one = await connect('/ws');
  const two = await connect('/json', ['json', 'rsocket']);
  assert.strictEqual(two.protocol, 'json');
  one.send(JSON.stringify({ id: '$subscribe', data: { topic: 'js.*' } }));
  for (;;) if (JSON.parse(await one.hear()).id === '$subscribed') break;
  two.send(JSON.stringify({ id: 'js.topic', data: [1, 'two'] }));
  for (;;) {
    const message = JSON.parse(await one.hear());
    if (message.id !== 'js.topic') continue;
    assert.deepStrictEqual(message.data, [1, 'two']);
    break;
  }
  one.close();
  assert.strictEqual(await within(one.closed, 'the close'), 1005);
}

(async () => {
  for (const talk of [echo, nothingElse, json]) {
    try {
      await talk();
      console.log(`ok   ws, ${talk.name}`);
    } catch (e) {
      console.log(`FAIL ${talk.name}: ${e.stack}`);
      process.exit(1);
    }
  }
  process.exit(0);
})();

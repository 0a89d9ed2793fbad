'use strict';
// events.js HOST:PORT: server-sent events as programs read them that nobody here wrote: Chromium's
// own EventSource, and that of npm.

const assert = require('assert');
const { chromium } = require('playwright-core');
const { EventSource } = require('eventsource');

const PATIENCE_MS = 20000 * Number(process.env.SLOW || 1);

// Runs in the page, and here: what it needs is an EventSource and where the broker is.
async function listen({ base, word, patience }, Source = globalThis.EventSource) {
  const seen = { topic: [], json: [], queue: [], errors: [] };
  const post = async (path, body, type) => {
    const answer = await fetch(base + path, {
      method: 'POST', body, headers: type ? { 'Content-Type': type } : {} });
    if (!answer.ok) throw new Error(`${path}: ${await answer.text()}`);
    return answer.status === 204 ? null : answer.json();
  };
  const until = async (done, what) => {
    for (const end = Date.now() + patience; !done();) {
      if (Date.now() > end) throw new Error(`${what}: ${JSON.stringify(seen)}`);
      await new Promise((r) => { setTimeout(r, 20); });
    }
  };
  const opened = (source) => new Promise((resolve, reject) => {
    source.onopen = resolve;
    source.onerror = () => reject(new Error('no stream'));
  });

  // A topic, by its name; bytes have another.
  const topic = new Source(`${base}/v1/topics/${word}.%23/events`);
  for (const name of [`${word}.a`, `${word}.a base64`, 'gap'])
    topic.addEventListener(name, (e) => seen.topic.push([e.type, e.data]));
  const json = new Source(`${base}/v1/topics/${word}.*/events?as=json`);
  json.onmessage = (e) => seen.json.push(JSON.parse(e.data));
  await Promise.all([opened(topic), opened(json)]);
  for (const text of ['plain', 'two\nlines', 'grüße', ''])
    await post(`/v1/topics/${word}.a`, text, 'text/plain');
  await post(`/v1/topics/${word}.a`, new Uint8Array([255, 0]), 'image/png');
  await post(`/v1/topics/${word}.b`, '{"a":1}', 'application/json');
  await until(() => seen.topic.length >= 5 && seen.json.length >= 6, 'events');
  topic.close();
  json.close();

  // A queue, whose stream is cut: what was seen does not come again, and nothing is missing.
  const queue = new Source(`${base}/v1/queues/${word}/events`);
  queue.addEventListener(word, (e) => seen.queue.push(e.data));
  await opened(queue);
  let opens = 0;
  queue.onopen = () => { opens += 1; };
  queue.onerror = () => {};
  for (let i = 0; i < 5; i++) await post(`/v1/queues/${word}/messages`, String(i), 'text/plain');
  await until(() => seen.queue.length >= 5, 'before the cut');
  const admin = (call, what) => post(`/v1/services/admin/${call}`, JSON.stringify(what));
  const { consumers: [{ client }] } = await admin('consumers', { queue: word });
  const { connections } = await admin('connections', {});
  for (const { id } of connections.filter((c) => c.client === client))
    await admin('kill', { connection: id });
  for (let i = 5; i < 8; i++) await post(`/v1/queues/${word}/messages`, String(i), 'text/plain');
  await until(() => opens > 0 && seen.queue.length >= 8, 'after the cut');
  seen.info = await admin('queue-info', { queue: word });
  queue.close();
  return seen;
}

function check(seen, word) {
  assert.deepStrictEqual(seen.topic, [
    [`${word}.a`, 'plain'], [`${word}.a`, 'two\nlines'], [`${word}.a`, 'grüße'], [`${word}.a`, ''],
    [`${word}.a base64`, '/wA=']]);
  assert.deepStrictEqual(seen.json.map((m) => [m.id, m.data]), [
    [`${word}.a`, 'plain'], [`${word}.a`, 'two\nlines'], [`${word}.a`, 'grüße'], [`${word}.a`, ''],
    [`${word}.a`, null], [`${word}.b`, { a: 1 }]]);
  assert.deepStrictEqual(seen.json[4].meta, { type: 'image/png', base64: '/wA=' });
  assert.deepStrictEqual(seen.queue, ['0', '1', '2', '3', '4', '5', '6', '7']);
  assert.strictEqual(seen.info.counters.acked, 5);
}

async function inChromium(base) {
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'],
  });
  try {
    const page = await browser.newPage();
    page.on('pageerror', (e) => assert.fail(`the page failed: ${e.message}`));
    // A page of the broker's own host, which may do what it likes.
    await page.route('**/page', (r) => r.fulfill({ contentType: 'text/html', body: '<!doctype html>' }));
    await page.goto(`${base}/page`);
    check(await page.evaluate(listen, { base, word: 'chromium', patience: PATIENCE_MS }), 'chromium');

    // A page from elsewhere may not listen.
    const other = base.replace('127.0.0.1', '127.0.0.2');
    await page.route(`${other}/**`, (r) => r.fulfill({ contentType: 'text/html', body: '<!doctype html>' }));
    await page.goto(`${other}/page`);
    const state = await page.evaluate((url) => new Promise((resolve) => {
      const source = new EventSource(url);
      source.onopen = () => resolve('let in');
      source.onerror = () => resolve(source.readyState === EventSource.CLOSED ? 'refused' : 'tries again');
    }), `${base}/v1/topics/secret/events`);
    assert.strictEqual(state, 'refused');
  } finally {
    await browser.close();
  }
}

async function main() {
  const base = `http://${process.argv[2]}`;
  check(await listen({ base, word: 'node', patience: PATIENCE_MS }, EventSource), 'node');
  await inChromium(base);
  console.log('Chromium and npm listen to server-sent events');
}

main().catch((e) => {
  console.error(e);
  process.exit(1);
});

// The OpenAPI file against the running daemon. Usage: node check.mjs http://MANAGED,http://NOT
//
// 1. It is a valid description. 2. It and the daemon's tables of routes name the same. 3. Every
// operation is called, and what comes back is as it says: status, type, body, no member that it
// does not name. 4. So are refusals.
import assert from 'node:assert';
import crypto from 'node:crypto';
import fs from 'node:fs';
import http from 'node:http';
import { Validator } from '@seriousme/openapi-schema-validator';
import Ajv2020 from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';

const [managed, unmanaged] = process.argv[2].split(',');
const text = fs.readFileSync('brokerd/admin/page/openapi.json', 'utf8');
const doc = JSON.parse(text);

// ---- 1: the file

const served = await fetch(`${managed}/v1/openapi.json`);
assert.strictEqual(await served.text(), text, 'what is served is the file');
const validity = await new Validator().validate(structuredClone(doc));
assert.ok(validity.valid, JSON.stringify(validity.errors, null, 1));

// ---- 2: the tables of routes, as the sources have them

function routes() {
  const found = new Set();
  const folder = 'brokerd/doors/http';
  for (const file of fs.readdirSync(folder).filter((f) => f.endsWith('.c'))) {
    const source = fs.readFileSync(`${folder}/${file}`, 'utf8');
    for (const [, methods, path] of source.matchAll(/\{(METHOD_[A-Z_| ]+),\s*"(\/[^"]*)"/g)) {
      for (const method of methods.split('|')) {
        found.add(`${method.trim().replace('METHOD_', '')} ${path}`);
      }
    }
  }
  return [...found].sort();
}

const operations = new Map(); // by id
const described = [];
for (const [path, item] of Object.entries(doc.paths)) {
  for (const [method, operation] of Object.entries(item)) {
    assert.ok(!operations.has(operation.operationId), `${operation.operationId} twice`);
    operations.set(operation.operationId, { method: method.toUpperCase(), path, operation });
    described.push(`${method.toUpperCase()} ${path.replace(/\{[^}]*\}/g, '*')}`);
  }
}
assert.ok(described.length > 25, 'routes were found');
assert.deepStrictEqual(described.sort(), routes(), 'the routes of the file and of the daemon');

// ---- 3: schemas; for this test nothing may come that they do not name

function strict(schema) {
  if (Array.isArray(schema)) return schema.map(strict);
  if (typeof schema !== 'object' || schema === null) return schema;
  const copy = {};
  for (const [key, value] of Object.entries(schema)) copy[key] = strict(value);
  if (copy.type === 'object' && copy.properties) copy.unevaluatedProperties ??= false;
  return copy;
}

const ajv = new Ajv2020({ strict: true, allowUnionTypes: true, allErrors: true });
addFormats(ajv);

function relocate(schema) {
  return JSON.parse(JSON.stringify(schema).replaceAll('"#/components/schemas/', '"doc#/$defs/'));
}

ajv.addSchema({ $id: 'doc', $defs: relocate(strict(doc.components.schemas)) });

const validators = new Map();

function checkBody(where, schema, body) {
  const key = JSON.stringify(schema);
  if (!validators.has(key)) validators.set(key, ajv.compile(relocate(strict(schema))));
  const validate = validators.get(key);
  assert.ok(validate(body), `${where}: ${JSON.stringify(validate.errors)} in ${JSON.stringify(body)}`);
}

function resolve(thing) {
  if (!thing?.$ref) return thing;
  return thing.$ref.slice(2).split('/').reduce((o, part) => o[part], doc);
}

const called = new Map(); // operation id: statuses

// Call an operation; its answer, as described, is returned.
async function call(id, { status = 200, path = {}, query = {}, body, headers = {}, at = managed } = {}) {
  const { method, path: pattern, operation } = operations.get(id) ?? assert.fail(`no ${id}`);
  for (const p of operation.parameters ?? []) { // what is sent is described, too
    const { name, in: place, required } = resolve(p);
    if (place === 'path') assert.ok(name in path && required, `${id}: ${name}`);
  }
  const names = (operation.parameters ?? []).map((p) => resolve(p)).filter((p) => p.in === 'query');
  for (const name of Object.keys(query)) {
    assert.ok(names.some((p) => p.name === name), `${id}: parameter ${name} is not described`);
  }
  const target = pattern.replace(/\{([^}]*)\}/g, (_, name) => encodeURIComponent(path[name]));
  const search = Object.keys(query).length ? `?${new URLSearchParams(query)}` : '';
  const where = `${method} ${target}${search}`;
  const type = body !== undefined && typeof body !== 'string' ? { 'content-type': 'application/json' } : {};
  const response = await fetch(at + target + search, {
    method,
    headers: { ...type, ...headers },
    body: body === undefined || typeof body === 'string' ? body : JSON.stringify(body),
    signal: AbortSignal.timeout(20000),
  });
  const raw = await response.text();
  assert.strictEqual(response.status, status, `${where}: ${raw}`);
  const answer = resolve(operation.responses[status]) ?? assert.fail(`${where}: ${status} is not described`);
  for (const field of Object.keys(answer.headers ?? {})) assert.ok(response.headers.get(field), `${where}: ${field}`);
  called.set(id, (called.get(id) ?? new Set()).add(status));
  if (!answer.content) {
    assert.strictEqual(raw, '', where);
    return null;
  }
  const got = (response.headers.get('content-type') ?? '').split(';')[0];
  const media = answer.content[got] ?? answer.content['*/*'] ?? assert.fail(`${where}: ${got} is not described`);
  const value = got === 'application/json' ? JSON.parse(raw) : raw;
  checkBody(where, media.schema, value);
  return value;
}

const not = { at: unmanaged, status: 403 };

// Open a stream of events, have `then` done once it is open, and read its first event with data.
async function stream(id, { path, query = {}, headers = {} }, then) {
  const { path: pattern, operation } = operations.get(id);
  const target = pattern.replace(/\{([^}]*)\}/g, (_, name) => encodeURIComponent(path[name]));
  const abort = new AbortController();
  const timer = setTimeout(() => abort.abort(), 20000);
  const response = await fetch(`${managed}${target}?${new URLSearchParams(query)}`, { headers, signal: abort.signal });
  assert.strictEqual(response.status, 200, id);
  const [type] = Object.keys(operation.responses[200].content);
  assert.strictEqual(response.headers.get('content-type').split(';')[0], type);
  called.set(id, new Set([200]));
  await then();
  let read = '';
  for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
    read += chunk;
    if (/^data: /m.test(read) && read.endsWith('\n\n')) break;
  }
  clearTimeout(timer);
  abort.abort();
  return read;
}

// ---- messages

await call('makeQueue', { path: { queue: 'jobs' }, body: { bind: ['job.#'], settings: { 'max-messages': '9' } }, status: 201 });
await call('makeQueue', { path: { queue: 'jobs' } });
await call('makeQueue', { path: { queue: 'done' }, status: 201 });
await call('makeQueue', { path: { queue: 'tight' } }); // which the settings made
await call('makeQueue', { path: { queue: 'x' }, body: { bind: [1] }, status: 400 });
await call('makeQueue', { path: { queue: 'x' }, ...not });
assert.deepStrictEqual(await call('publish', { path: { topic: 'job.a' }, body: 'one', status: 202 }), { matched: 1, accepted: 1 });
await call('publish', { path: { topic: 'job.b' }, body: { two: 2 }, headers: { 'Broker-Ttl': '60000', 'Broker-Meta-who': 'me' }, status: 202 });
await call('publish', { path: { topic: 'nobody' }, body: 'x', headers: { 'Broker-Require': '1' }, status: 404 });
await call('publish', { path: { topic: 'a..b' }, body: 'x', status: 400 });
await call('send', { path: { queue: 'jobs' }, body: new TextDecoder().decode(new Uint8Array([104, 105])), status: 202 });
await call('send', { path: { queue: 'tight' }, body: 'x', status: 202 });
await call('send', { path: { queue: 'tight' }, body: 'x', status: 429 });

// ---- many at once: the status tells of all, some, none

await call('makeQueue', { path: { queue: 'lines' }, status: 201 });
const batch = (id, path, body, status) => call(id, { path, body, status, headers: { 'content-type': 'application/x-ndjson' } });
assert.strictEqual((await batch('publish', { topic: 'lines' }, '{"data":1}\n\n{"data":2}', 202)).accepted, 2);
assert.strictEqual((await batch('publish', { topic: 'lines' }, '{"data":1}\nx\n', 207)).refused, 1);
assert.strictEqual((await batch('publish', { topic: 'lines' }, 'x\n', 400)).errors[0].line, 1);
await batch('publish', { topic: 'nobody' }, '{"data":1,"require":true}', 404);
assert.strictEqual((await batch('send', { queue: 'tight' }, '{"data":1}\nx\n', 429)).refused, 2);
await batch('send', { queue: 'tight' }, '{"data":1}\n{"queue":"lines","data":2}', 207);
assert.strictEqual((await call('deleteQueue', { path: { queue: 'lines' } })).lost, 4);

// ---- calls

assert.strictEqual(await call('call', { path: { service: 'echo', method: 'say' }, body: 'hello' }), 'hello');
await call('call', { path: { service: 'nobody', method: 'x' }, body: '', status: 503 });
await call('call', { path: { service: 'admin', method: 'info' }, body: '', ...not });

// ---- receiving

const publish = (topic, body) => call('publish', { path: { topic }, body, status: 202 });
const news = await stream('topicEvents', { path: { filter: 'sse.#' }, query: { facts: 1 } },
  () => publish('sse.a', 'hello'));
assert.match(news, /^event: sse\.a$/m);
assert.match(news, /^data: hello$/m);
await call('topicEvents', { path: { filter: 'a..b' }, status: 400 });
await call('makeQueue', { path: { queue: 'inbox' }, status: 201 });
const item = await stream('queueEvents', { path: { queue: 'inbox' }, query: { as: 'json', settle: '0' } },
  () => publish('inbox', { n: 1 }));
assert.deepStrictEqual(JSON.parse(item.match(/^data: (.*)$/m)[1]).data, { n: 1 });
await call('queueEvents', { path: { queue: 'inbox' }, query: { as: 'x' }, status: 400 });

async function receive(count) {
  for (let i = 0; i < count; i += 1) await publish('inbox', { i });
  const got = await call('receive', { path: { queue: 'inbox' }, body: { max: count, wait: '5s', facts: '1' } });
  assert.strictEqual(got.messages.length, count);
  return got.messages.map((m) => m.id);
}

await call('receive', { path: { queue: 'inbox' }, query: { max: 0 }, status: 400 });
assert.deepStrictEqual(await call('receive', { path: { queue: 'inbox' }, query: { wait: '1ms' } }), { messages: [] });
for (const [one, many, extra] of [['ack', 'ackMany'], ['ackOne', 'ackMany'], ['reject', 'rejectMany'],
  ['extend', 'extendMany', { time: '1m' }], ['release', 'releaseMany', { delay: '1h' }]]) {
  const [id, ...ids] = await receive(3);
  await call(one, { path: { queue: 'inbox', id }, query: extra, status: 204 });
  assert.deepStrictEqual(await call(many, { path: { queue: 'inbox' }, body: { ids, ...extra } }), { settled: 2, gone: [] });
  if (one !== 'extend') await call(one, { path: { queue: 'inbox', id }, status: 404 });
  await call(one, { path: { queue: 'inbox', id: 'x' }, status: 400 });
  await call(many, { path: { queue: 'inbox' }, body: {}, status: 400 });
}
await call('deleteQueue', { path: { queue: 'inbox' } });

// ---- looking

const info = await call('info');
assert.strictEqual(doc.info.version, info.version);
await call('info', not);
const top = await call('top', { query: { limit: 3 } });
assert.ok(top.queues.length <= 3);
await call('top', { query: { limit: 'x' }, status: 400 });
const config = await call('config');
assert.ok(config.settings.some((s) => s.key === 'workers' && s.value === '2'));
await call('why', { path: { what: 'work' } });
await call('why', { path: { what: 'a/b' } });
const route = await call('route', { path: { topic: 'job.x' } });
assert.strictEqual(route.queues[0].name, 'jobs');
await call('route', { path: { topic: 'job.*' }, status: 400 });

async function pages(id, key, query = {}) {
  const all = [];
  for (let after; ;) {
    const page = await call(id, { query: { ...query, limit: 1, ...(after && { after }) } });
    all.push(...page[key]);
    if (!page.next) return all;
    assert.strictEqual(page[key].length, 1);
    after = page.next;
  }
}

const names = (await pages('queues', 'queues')).map((q) => q.name);
assert.deepStrictEqual(names, ['done', 'jobs', 'kept', 'tight', 'work']);
assert.ok((await pages('queues', 'queues', { all: true })).length > 4);
await call('queues', { query: { filter: 'a..b' }, status: 400 });
await call('queues', { query: { limit: 0 }, status: 400 });
const queue = await call('queue', { path: { queue: 'jobs' } });
assert.deepStrictEqual([queue.depth, queue.policy['max-messages'], queue.bindings], [3, '9', ['job.#']]);
await call('queue', { path: { queue: 'work' } });
await call('queue', { path: { queue: 'no' }, status: 404 });
const { messages } = await call('peek', { path: { queue: 'jobs' }, query: { count: 2, bytes: 2 } });
assert.deepStrictEqual(messages.map((m) => m.data), ['on', '{"']);
assert.strictEqual(messages[1].headers.who, 'me');
await call('peek', { path: { queue: 'no' }, status: 404 });
const [subscription] = await pages('subscriptions', 'subscriptions', { filter: 'news.#' });
assert.deepStrictEqual([subscription.client, subscription.filters], ['reader', ['news.#']]);
await call('subscription', { path: { queue: subscription.id } });
await call('subscription', { path: { queue: 'q0-fffffff' }, status: 404 });
const [consumer] = await pages('consumers', 'consumers', { queue: 'work' });
assert.deepStrictEqual([consumer.client, consumer.queue, consumer.ack], ['idle', 'work', 'manual']);
await pages('consumers', 'consumers', { client: 'reader' });
const [connection] = await pages('connections', 'connections', { client: 'reader' });
const one = await call('connection', { path: { connection: connection.id } });
assert.strictEqual(one.consumers[0].queue, 'news.#');
await call('connection', { path: { connection: 'n0-fffffff' }, status: 404 });
const [server] = await pages('connections', 'connections', { client: 'server' });
assert.deepStrictEqual((await call('connection', { path: { connection: server.id } })).services, ['echo']);
assert.deepStrictEqual((await pages('services', 'services')).map((s) => s.name), ['echo']);

// ---- changing

assert.strictEqual((await call('moveMessages', { path: { queue: 'jobs' }, body: { to: 'done', count: 1 } })).moved, 1);
await call('moveMessages', { path: { queue: 'jobs' }, body: { to: 'no' }, status: 404 });
await call('moveMessages', { path: { queue: 'jobs' }, body: {}, status: 400 });
assert.strictEqual((await call('purge', { path: { queue: 'jobs' } })).purged, 2);
await call('deleteQueue', { path: { queue: 'done' }, query: { if_empty: true }, status: 400 });
assert.strictEqual((await call('deleteQueue', { path: { queue: 'done' } })).lost, 1);
await call('deleteQueue', { path: { queue: 'done' }, status: 404 });
await call('closeConnection', { path: { connection: connection.id } });
await call('closeConnection', { path: { connection: 'n0-fffffff' }, status: 404 });
assert.deepStrictEqual(await call('reload'), { changes: [] });
await call('reload', not);
await call('drain', { body: '[]', status: 400 });
await call('drain', not);

// ---- webhooks, to a server of our own

const endpoint = http.createServer((request, response) => {
  request.resume();
  request.on('end', () => response.writeHead(204).end());
});
await new Promise((done) => endpoint.listen(0, '127.0.0.1', done));
const hook = { path: { webhook: 'bell' } };
const settings = { url: `http://127.0.0.1:${endpoint.address().port}/`, topic: ['bell.#'], insecure: 'true', allow: ['127.0.0.0/8'] };
const made = await call('makeWebhook', { ...hook, body: { settings }, status: 201 });
assert.match(made.secret, /^whsec_/);
assert.strictEqual(made.settings.secret, '(hidden)');
await call('makeWebhook', { ...hook, body: { settings }, status: 400 });
await call('makeWebhook', { ...hook, body: { settings: { url: 'ftp://a' } }, status: 400 });
await call('makeWebhook', { ...hook, body: { settings }, ...not });
await publish('bell.1', 'ding');
for (let delivered = 0, tries = 0; !delivered; tries += 1) {
  assert.ok(tries < 10000, 'nothing was delivered');
  delivered = (await call('webhooks')).webhooks[0].counters.delivered;
}
assert.strictEqual((await call('changeWebhook', { ...hook, body: { settings: { window: '5' } } })).window_max, 5);
assert.strictEqual((await call('testWebhook', hook)).status, 204);
assert.strictEqual((await call('disableWebhook', hook)).enabled, false);
assert.strictEqual((await call('enableWebhook', hook)).enabled, true);
assert.strictEqual((await call('replayWebhook', { ...hook, body: { count: 1 } })).moved, 0);
endpoint.close();
endpoint.closeAllConnections();
assert.strictEqual((await call('testWebhook', hook)).delivered, false);
await call('webhook', hook);
await call('deleteWebhook', hook);
for (const id of ['webhook', 'deleteWebhook', 'testWebhook', 'enableWebhook', 'disableWebhook', 'replayWebhook']) {
  await call(id, { ...hook, status: 404 });
}
await call('changeWebhook', { ...hook, body: {}, status: 404 });

// ---- webhooks of others

const event = '{"action":"opened"}';
const signed = (text) => ({
  'x-hub-signature-256': `sha256=${crypto.createHmac('sha256', 'not-to-be-seen').update(text).digest('hex')}`,
  'x-github-delivery': '1',
});
await call('hook', { path: { hook: 'door' }, body: event, headers: signed(event), status: 202 });
await call('hook', { path: { hook: 'door' }, body: event, headers: signed('other'), status: 401 });
await call('hook', { path: { hook: 'door' }, body: event, status: 401 });
await call('hook', { path: { hook: 'gate' }, body: event, status: 404 });
assert.ok(!JSON.stringify(config).includes('not-to-be-seen'), 'a secret is told');

// ---- probes and pages

for (const id of ['live', 'ready', 'health']) {
  await call(id);
  await call(id, { at: unmanaged }); // to everybody
}
for (const id of ['metrics', 'dashboard', 'openapi', 'stores']) {
  await call(id);
  await call(id, not);
}
for (const path of ['app.js', 'style.css', 'icon.svg']) await call('pagePart', { path: { path } });
await call('pagePart', { path: { path: 'app.js' }, ...not });
await call('pagePart', { path: { path: 'page.c' }, status: 404 });

// ---- whatever is in the file was called, and went well; and the end

await call('drain', { body: {}, status: 202 });
for (const [id, { operation }] of operations) {
  const good = Object.keys(operation.responses).filter((status) => status < 300);
  assert.ok(good.some((status) => called.get(id)?.has(Number(status))), `${id} was never called well`);
}
console.log(`openapi: ${operations.size} operations, as they are described`);

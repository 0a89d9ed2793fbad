'use strict';
// browse.js HOST:PORT: a page in Chromium publishes and subscribes at brokerd there.

const assert = require('assert');
const fs = require('fs');
const http = require('http');
const path = require('path');
const { chromium } = require('playwright-core');

const PATIENCE_MS = 20000 * Number(process.env.SLOW || 1);
const files = {
  '/': path.join(__dirname, 'page.html'),
  '/stomp.umd.js': path.join(__dirname, 'node_modules/@stomp/stompjs/bundles/stomp.umd.js'),
};

// The page's own server; brokerd does not serve pages.
function serve() {
  const server = http.createServer((request, response) => {
    const file = files[request.url];
    response.writeHead(file ? 200 : 404, { 'Content-Type': request.url === '/' ? 'text/html' : 'text/javascript' });
    response.end(file ? fs.readFileSync(file) : '');
  });
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)));
}

async function open(browser, url) {
  const page = await browser.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  page.on('pageerror', (e) => assert.fail(`the page failed: ${e.message}`));
  await page.goto(url);
  return page;
}

async function sees(page) {
  await page.waitForFunction(() => seen.json.length >= 2 && seen.stomp.length >= 2);
  return page.evaluate(() => seen);
}

async function main() {
  const broker = process.argv[2];
  const server = await serve();
  const { port } = server.address();
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'],
  });
  try {
    const page = await open(browser, `http://127.0.0.1:${port}/`);
    assert.strictEqual(await page.evaluate(([b, t]) => talk(b, t), [broker, 'page.one']), 'json');
    const { json, stomp, errors } = await sees(page);
    const order = (a, b) => (a.from < b.from ? -1 : 1);
    const wanted = [{ from: 'json', text: 'grüße' }, { from: 'stomp' }];
    assert.deepStrictEqual(json.sort(order), wanted);
    assert.deepStrictEqual(stomp.map((t) => JSON.parse(t)).sort(order), wanted);
    assert.deepStrictEqual(errors, []);

    // A page from elsewhere may not: its Origin is another host's.
    const foreign = await open(browser, `http://localhost:${port}/`);
    const refused = await foreign.evaluate(
      ([b, t]) => talk(b, t).then(() => 'let in', (e) => e.message), [broker, 'page.two']);
    assert.strictEqual(refused, 'no WebSocket');
  } finally {
    await browser.close();
    server.close();
  }
  console.log('a page in a browser publishes and subscribes');
}

main().catch((e) => {
  console.error(e);
  process.exit(1);
});

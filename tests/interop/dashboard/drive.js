'use strict';
// drive.js HOST:PORT: what a person does with the dashboard of the brokerd there, and sees.

const assert = require('assert');
const { chromium } = require('playwright-core');
const { Client } = require('./client.js');

const host = process.argv[2];
const MORE_MS = 20000 * Number(process.env.SLOW || 1);
const CSP = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; " +
  "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
// As hostile as a name may be: no blanks.
const HOSTILE = '<img/src=x/onerror=window.pwned=1>"\'&amp;</script><b>';
const MANY = 10000;

const trouble = []; // what the browser complained of, and requests that left the broker

async function open(browser, options) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  page.setDefaultTimeout(MORE_MS);
  page.on('console', (m) => ['error', 'warning'].includes(m.type()) && trouble.push(`console: ${m.text()}`));
  page.on('pageerror', (e) => trouble.push(`error: ${e.stack}`));
  page.on('request', (r) => new URL(r.url()).host === host || trouble.push(`request: ${r.url()}`));
  page.on('websocket', (w) => new URL(w.url()).host === host || trouble.push(`websocket: ${w.url()}`));
  page.on('response', (r) => r.status() >= 400 && trouble.push(`${r.status()}: ${r.url()}`));
  const response = await page.goto(`http://${host}/`);
  await page.waitForSelector('#state[data-state=live]');
  await page.waitForSelector('#verdict:not([data-level=wait])');
  return { page, response };
}

// Wait until the element has a text like this.
function reads(page, selector, pattern) {
  return page.locator(selector).filter({ hasText: pattern }).first().waitFor();
}

const tests = {
  async 'fields that say what the page may do'({ page, response }) {
    const fields = response.headers();
    assert.strictEqual(fields['content-security-policy'], CSP);
    assert.strictEqual(fields['x-content-type-options'], 'nosniff');
    assert.strictEqual(fields['referrer-policy'], 'no-referrer');
    assert.strictEqual(fields['cache-control'], 'no-store');
    assert.strictEqual(await page.locator('[style]:not(.bar i)').count(), 0);
    // It holds: what is not the page's own does not run.
    const ran = await page.evaluate(() => {
      const script = document.createElement('script');
      script.textContent = 'window.ran = 1';
      document.body.append(script);
      return window.ran;
    });
    assert.strictEqual(ran, undefined);
    assert(trouble.pop().includes('Content Security Policy'), 'the browser says what it did not run');
  },

  async 'a message published by keyboard alone, seen in the tap'({ page }) {
    await page.keyboard.press('m');
    await page.keyboard.press('Control+a');
    await page.keyboard.type('seen.#');
    await page.keyboard.press('Enter');
    await reads(page, '#tap-state', /^Watching\.$/);
    await page.keyboard.press('Tab'); // leaves the field: p is a key again
    await page.keyboard.press('p');
    assert.strictEqual(await page.evaluate(() => document.activeElement.id), 'publish-to');
    await page.keyboard.type('seen.by.keyboard');
    await page.keyboard.press('Tab');
    await page.keyboard.type('{"n": 12345678901234567890, "html": "<b>bold</b>"}');
    await page.keyboard.press('Control+Enter');
    await reads(page, '#publish-outcome', /Accepted by the one queue that matched/);
    await reads(page, '#tap-list .topic', 'seen.by.keyboard');
    await page.locator('#tap-list summary').first().focus();
    await page.keyboard.press('Enter');
    const text = await page.locator('#tap-list pre').first().textContent();
    assert.strictEqual(text, '{\n  "n": 12345678901234567890,\n  "html": "<b>bold</b>"\n}');
  },

  async 'what came of a publish: nobody there, refused, not JSON, headers'({ page }) {
    const publish = async (to, data) => {
      await page.fill('#publish-to', to);
      await page.fill('#publish-data', data);
      await page.click('#publish-form button.main');
    };
    await publish('nobody.here', '1');
    await reads(page, '#publish-outcome', /Nobody is there for nobody\.here/);
    await publish('$SYS.mine', '1');
    await reads(page, '#publish-outcome', /Refused, (invalid|denied)/);
    await publish('seen.x', '{"a":');
    await reads(page, '#publish-outcome', /not JSON/);
    await page.click('#publish-form summary');
    await page.fill('#publish-headers', 'trace: a:b');
    await page.fill('#publish-type', 'text/plain');
    await publish('seen.text', 'gr\u00fc\u00dfe');
    await reads(page, '#publish-outcome', /Accepted .* 7 bytes/);
    await reads(page, '#tap-list .preview', 'gr\u00fc\u00dfe');
    await page.locator('#tap-list summary').first().click();
    await reads(page, '#tap-list dd', 'a:b');
  },

  async 'a paused tap says what it holds back, and shows it afterwards'({ page }, client) {
    await page.click('#tap-pause');
    for (let i = 0; i < 3; i++) await client.publish('seen.paused', { i });
    await reads(page, '#tap-state', /Paused; 3 messages have come/);
    assert.strictEqual(await page.locator('#tap-list .topic', { hasText: 'seen.paused' }).count(), 0);
    await page.click('#tap-pause');
    await reads(page, '#tap-list .topic', 'seen.paused');
    assert.strictEqual(await page.locator('#tap-list .topic', { hasText: 'seen.paused' }).count(), 3);
  },

  async 'more than can be looked at: what is left out is said, and the page is not a slow consumer'({ page }, client) {
    for (let i = 0; i < 20000; i++) client.say('seen.flood', { i });
    await reads(page, '#tap-state', /seen, .* left out/);
    await client.publish('seen.end', {});
    await reads(page, '#tap-list .topic', 'seen.end');
    assert(await page.locator('#tap-list > li').count() <= 200);
    await reads(page, '#tile-lost .value', /^0$/);
    // Its own losses are no trouble of the broker's; others' would stand there for ten seconds.
    await page.locator('#problems li', { hasText: 'lost' }).first().waitFor({ state: 'detached', timeout: MORE_MS / 4 });
    await page.click('#tap-go');
    await reads(page, '#tap-state', 'Stopped.');
    // The last losses of a subscription that has ended are told without its client: these do stand there.
    assert.deepStrictEqual(await page.locator('#events-list li', { hasText: /seen\..* client/ }).allTextContents(), []);
  },

  async 'a consumer that takes nothing'({ page }, client) {
    const stalled = await Client.open(host);
    await stalled.subscribe('orders.#', { credit: 0, 'max-messages': 5 });
    for (let i = 0; i < 20; i++) await client.publish('orders.new', { i });
    const row = page.locator('#consumers-table tr[data-slow=yes]');
    await row.waitFor();
    assert.match(await row.textContent(), /orders\.#slow for .*it gives no credit/);
    await reads(page, '#problems li', /orders\.#.*is full: drop-oldest.*takes nothing, it gives no credit/);
    await reads(page, '#events-list li', /slow consumer.*drop-oldest/);
    await reads(page, '#losses-list', /lost: drop-oldest/);
    assert.strictEqual(await page.getAttribute('#verdict', 'data-level'), 'bad');
    stalled.end();
    await row.waitFor({ state: 'detached' });
  },

  async 'a queue, its limits, and why it is as it is'({ page }, client) {
    await client.ask('queue-add', { queue: 'jobs', settings: { 'max-messages': '10' } });
    for (let i = 0; i < 9; i++) await client.publish('jobs', { i });
    await reads(page, '#queues-table tr', /^jobsno consumer9 of 10/);
    assert.strictEqual(await page.getAttribute('#queues-table tr:has-text("jobs") .bar', 'data-level'), 'warn');
    await page.keyboard.press('/');
    await page.keyboard.type('jobs');
    await page.click('#queues-table button.name');
    await reads(page, '#details .chain li', /9 messages wait; it has no consumer/);
    await reads(page, '#details .facts dd', 'reject');
    assert.strictEqual(await page.locator('#details .messages li').count(), 9);
    await page.keyboard.press('Escape');
    await page.fill('#queues-find', '');
  },

  async 'a name is text, whatever it looks like'({ page }, client) {
    await client.ask('queue-add', { queue: HOSTILE });
    await client.publish(`seen.${HOSTILE}`, { html: HOSTILE });
    const name = page.locator('#queues-table .name', { hasText: 'onerror' });
    await name.waitFor();
    assert.strictEqual(await name.textContent(), HOSTILE);
    await name.click();
    await reads(page, '#details .chain li', 'onerror');
    await page.keyboard.press('Escape');
    assert.strictEqual(await page.locator('img[src=x], table b b, script:not([src])').count(), 1); // the one that did not run
    assert.strictEqual(await page.evaluate(() => window.pwned), undefined);
  },

  async 'a webhook that is down'({ page }, client) {
    await client.publish('invoices.new', { total: 1 });
    await reads(page, '#webhooks-list li', /billing.*(failing|down)/);
    await reads(page, '#problems li', /billing.*webhook/);
  },

  async 'light and dark, as the system has it or as it is switched'({ page }) {
    const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    await page.emulateMedia({ colorScheme: 'light' });
    const light = await ground();
    await page.emulateMedia({ colorScheme: 'dark' });
    const dark = await ground();
    assert.notStrictEqual(light, dark);
    await page.click('#theme');
    assert.strictEqual(await ground(), light);
    await page.reload();
    await page.waitForSelector('#state[data-state=live]');
    assert.strictEqual(await ground(), light, 'it is kept');
    await page.click('#theme');
    assert.strictEqual(await ground(), dark);
    await page.click('#theme');
    await page.emulateMedia({ colorScheme: 'light' });
    assert.strictEqual(await ground(), light);
  },

  async 'every width without a scroll bar below'({ page }) {
    await page.click('#tap-go');
    for (const width of [320, 390, 768, 1024, 1440, 2560]) {
      await page.setViewportSize({ width, height: 900 });
      const wide = await page.evaluate(() => document.documentElement.scrollWidth);
      assert(wide <= width, `${wide} of ${width}`);
    }
    await page.setViewportSize({ width: 1280, height: 900 });
  },

  async 'everything that can be pressed has a name'({ page }) {
    const nameless = await page.evaluate(() => [...document.querySelectorAll('button, input, select, textarea, a')]
      .filter((n) => !(n.textContent.trim() || n.getAttribute('aria-label') || (n.labels && n.labels.length)))
      .map((n) => n.outerHTML));
    assert.deepStrictEqual(nameless, []);
    await page.evaluate(() => document.activeElement.blur());
    await page.keyboard.press('?');
    await reads(page, '#help', 'publish a message');
    await page.keyboard.press('Escape');
  },

  async 'a connection that is cut comes back, and that is said'({ page }, client) {
    const { connections } = await client.ask('connections');
    const me = client.socket.localPort;
    for (const c of connections)
      if (!c.peer.endsWith(`:${me}`)) await client.ask('kill', { connection: c.id }).catch(() => {});
    await reads(page, '#events-list li', /back.*connected again/);
    await page.waitForSelector('#state[data-state=live]');
    assert(await page.isHidden('#lost'));
  },

  async 'ten thousand queues'({ page }, client) {
    const filler = await Client.open(host);
    const last = filler.hear('all queues', (m) => m.id === '$consumed' && m.data.queue === `many.${MANY - 1}`);
    for (let i = 0; i < MANY; i++) filler.say('$consume', { queue: `many.${i}`, credit: 0 });
    await last;
    await reads(page, '#queues-count', /^10\D0\d\d$/);
    assert(await page.locator('#queues-table tbody tr').count() <= 25);
    await page.click('#queues-more button');
    await page.locator('#queues-table tbody tr').nth(25).waitFor();
    await client.publish(`many.${MANY - 1}`, { i: 1 }); // the page is as quick as ever
    await page.fill('#queues-find', `many.${MANY - 2}`);
    await page.keyboard.press('Enter'); // one of which the broker has not told
    await reads(page, '#details-title', `many.${MANY - 2}`);
    await page.keyboard.press('Escape');
    filler.end();
  },
};

async function main() {
  const client = await Client.open(host);
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'],
  });
  try {
    const place = await open(browser, { viewport: { width: 1280, height: 900 }, colorScheme: 'light' });
    for (const [name, test] of Object.entries(tests)) {
      const from = Date.now();
      await test(place, client).catch((e) => {
        e.message = `${name}: ${e.message}`;
        throw e;
      });
      assert.deepStrictEqual(trouble, [], name);
      console.log(`${name} (${Date.now() - from} ms)`);
    }
  } finally {
    if (trouble.length) console.log(trouble.join('\n'));
    await browser.close();
    client.end();
  }
}

main().catch((e) => {
  console.error(e);
  process.exit(1);
});

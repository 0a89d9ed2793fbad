'use strict';
// picture.js HOST:PORT FOLDER: the screenshots of docs/, of a broker with something to show.

const path = require('path');
const { chromium } = require('playwright-core');
const { Client } = require('./client.js');

const [, , host, folder] = process.argv;
const SECONDS = 45; // of history, for the lines

const PARTIES = [ // queue, limit, what comes in and is taken in a tenth of a second
  ['orders.eu', 20000, 60, 60], ['orders.us', 20000, 35, 34], ['mail.out', 2000, 14, 11],
  ['billing.invoices', 5000, 6, 6], ['search.index', 50000, 90, 90], ['thumbnails', 1200, 12, 1],
  ['audit', 100000, 4, 0], ['orders.eu.dead', 10000, 0, 0],
];
const ORDER = { order: 81234, customer: { name: 'Ada', vip: true }, total: 19.9, items: ['tea', 'lamp'] };

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function work() {
  const admin = await Client.open(host);
  const publisher = await Client.open(host);
  const worker = await Client.open(host);
  const viewer = await Client.open(host);
  for (const [queue, limit] of PARTIES)
    await admin.ask('queue-add', { queue, settings: { 'max-messages': String(limit), overflow: 'drop-oldest' } });
  for (const [queue,, put, taken] of PARTIES.filter((p) => p[3])) worker.say('$consume', { queue, ack: taken < put / 2 ? 'manual' : 'auto', credit: taken * 2 });
  await viewer.subscribe('mail.#', { credit: 0, 'max-messages': 5000 });
  admin.say('$serve', { service: 'prices' });
  const consuming = PARTIES.filter((p) => p[3]);
  const wave = () => 1 + 0.35 * Math.sin(at / 23);
  let at = 0;
  return setInterval(() => {
    at++;
    for (const [queue,, put] of PARTIES) {
      const n = Math.round(put * (wave() + 0.1 * Math.random()));
      for (let i = 0; i < n; i++) publisher.say(queue, { ...ORDER, order: ORDER.order + at });
    }
    consuming.forEach(([, , , taken], i) => worker.say('$credit', { subscription: i + 1,
      n: Math.max(1, Math.round(taken * (wave() + 0.08))) }));
    if (at % 20 === 0) publisher.say('invoices.new', { total: 12 });
  }, 100);
}

async function picture(browser, name, options, ready = async () => {}) {
  const page = await browser.newPage(options);
  await page.goto(`http://${host}/`);
  await page.waitForSelector('#state[data-state=live]');
  await page.fill('#tap-filter', 'invoices.# billing.#');
  await page.click('#tap-go');
  await page.fill('#publish-to', 'orders.eu');
  await page.fill('#publish-data', '{"order": 81234, "total": 19.90}');
  return async () => {
    await page.click('#publish-form button.main');
    await ready(page);
    await page.evaluate(() => scrollTo(0, 0));
    await pause(1500);
    await page.screenshot({ path: path.join(folder, `dashboard-${name}.png`) });
  };
}

async function main() {
  const timer = await work();
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'],
  });
  const wide = { width: 1360, height: 1040 };
  const shots = [
    await picture(browser, 'light', { viewport: wide, colorScheme: 'light' }),
    await picture(browser, 'dark', { viewport: { width: 1360, height: 760 }, colorScheme: 'dark' }),
    await picture(browser, 'phone', { viewport: { width: 390, height: 980 }, colorScheme: 'light', isMobile: true }),
    await picture(browser, 'details', { viewport: { width: 1000, height: 760 }, colorScheme: 'dark' }, async (page) => {
      await page.locator('#queues-table .name', { hasText: 'thumbnails' }).click({ force: true });
      await page.waitForSelector('#details .chain');
    }),
  ];
  await pause(SECONDS * 1000);
  for (const shot of shots) await shot();
  clearInterval(timer);
  await browser.close();
  process.exit(0);
}

main().catch((e) => {
  console.error(e);
  process.exit(1);
});

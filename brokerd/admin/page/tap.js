// Messages as they pass: a subscription of its own, on a connection of its own, so that it cannot
// hold up the figures. It takes what a person can look at; of more the broker keeps the newest, and
// how many are missing stands where they are missing.
import { $, el, say, mark, show, bytes, clock, full, plural } from './dom.js';
import { Connection } from './broker.js';
import { members, pretty } from './json.js';

const KEPT = 200; // messages
const KEPT_CHARACTERS = 4 << 20;
const CREDIT = 500;
const PER_SECOND = 2000; // taken; of these the newest KEPT are shown
const PREVIEW = 240;
const QUEUE = { 'max-messages': 2000, 'max-bytes': 2 << 20, overflow: 'drop-oldest', facts: true };

const isJson = (type) => !type || /^application\/json\b|\+json\b/.test(type);

function read(topic, text) {
  const parts = members(text);
  const meta = parts.meta ? JSON.parse(parts.meta) : {};
  const isString = (parts.data || '').startsWith('"');
  const item = { topic, meta, raw: parts.data || '', text: null };
  if (meta.base64 !== undefined) item.text = `base64: ${meta.base64}`;
  else if (isString && !(meta.type && isJson(meta.type))) item.text = JSON.parse(parts.data);
  item.preview = (item.text === null ? item.raw : item.text).slice(0, PREVIEW);
  item.size = (item.text === null ? item.raw : item.text).length;
  item.kind = meta.type || (isString ? 'text' : 'application/json');
  item.time = meta.time ? new Date(meta.time) : new Date();
  return item;
}

function facts(meta) {
  const list = [];
  for (const [name, value] of Object.entries(meta.headers || {})) list.push([name, [].concat(value).join(', ')]);
  for (const name of ['seq', 'id', 'time', 'reply-to', 'dead-reason', 'dead-queue', 'dead-topic', 'dead-attempts'])
    if (meta[name] !== undefined) list.push([name, String(meta[name])]);
  return el('dl', { class: 'facts' }, list.map(([name, value]) => [el('dt', {}, name), el('dd', {}, value)]));
}

function unfold(details, item) {
  const data = el('pre', { tabindex: '0', 'aria-label': 'Payload' });
  if (item.text === null) pretty(data, item.raw);
  else data.textContent = item.text;
  details.append(data, facts(item.meta));
}

function messageRow(item) {
  const details = el('details', {}, el('summary', {},
    el('time', { datetime: item.time.toISOString() }, clock(item.time)),
    el('span', { class: 'topic' }, item.topic),
    el('span', { class: 'preview' }, item.preview),
    el('span', { class: 'faint size' }, bytes(item.size))));
  details.addEventListener('toggle', () => unfold(details, item), { once: true });
  return el('li', { title: item.kind }, details);
}

export class Tap {
  // own(client): what the broker calls the tap's connection is not news.
  constructor(introduce) {
    Object.assign(this, { introduce, running: null, paused: false, held: [], waiting: [], seen: 0, missed: 0, tokens: PER_SECOND });
    $('tap-form').addEventListener('submit', (e) => {
      e.preventDefault();
      if (this.running && this.running.filter === this.filter()) this.end('Stopped.');
      else this.watch();
    });
    $('tap-filter').addEventListener('input', () => this.label());
    $('tap-pause').addEventListener('click', () => this.pause(!this.paused));
    $('tap-clear').addEventListener('click', () => this.clear());
    setInterval(() => this.tick(), 250);
    this.label();
  }

  filter() {
    return $('tap-filter').value.trim();
  }

  watch(filter = this.filter()) {
    this.end('');
    $('tap-filter').value = filter;
    const filters = [...new Set(filter.split(/[\s,]+/).filter(Boolean))].slice(0, 16);
    if (!filters.length) {
      this.tell('A filter is missing: # is all topics.');
      return;
    }
    const mine = this.introduce();
    const connection = new Connection({
      state: ({ state }) => {
        if (state === 'lost') this.tell('The connection is lost; it comes back by itself.');
      },
      trouble: (text) => this.end(text),
    });
    this.running = { filter, connection };
    connection.subscribe(this.running.subscription = {
      topic: [...filters, mine.topic], credit: CREDIT, options: QUEUE, takes: () => true,
      allowance: () => Math.floor(this.tokens),
      message: (topic, text) => this.take(topic, text),
      gap: (lost) => this.skip(lost),
      ready: () => {
        mine.learn();
        this.tell('Watching.');
      },
    });
    connection.start();
    this.pause(false);
    this.label();
  }

  end(text) {
    if (this.running) this.running.connection.stop();
    this.running = null;
    this.tell(text);
    this.label();
  }

  label() {
    const same = this.running && this.running.filter === this.filter();
    say($('tap-go'), same ? 'Stop' : 'Watch');
    $('tap-pause').disabled = !this.running;
    show($('tap-help'), !this.running && !this.seen);
  }

  pause(on) {
    this.paused = on;
    mark($('tap-pause'), 'aria-pressed', on);
    say($('tap-pause'), on ? 'Go on' : 'Pause');
    if (!on) this.draw();
  }

  clear() {
    this.waiting = [];
    this.held = [];
    this.seen = this.missed = 0;
    $('tap-list').replaceChildren();
    this.tell(this.running ? 'Watching.' : '');
  }

  take(topic, text) {
    this.seen++;
    this.tokens--;
    this.add({ topic, text });
  }

  skip(lost) {
    this.missed += lost;
    this.add({ lost });
  }

  add(what) {
    this.waiting.push(what);
    if (this.waiting.length > KEPT) this.waiting.shift();
  }

  // A quarter of a second: what may be asked for grows, what has come is drawn.
  tick() {
    if (!this.running) return;
    this.tokens = Math.min(PER_SECOND, this.tokens + PER_SECOND / 4);
    this.running.connection.grant(this.running.subscription);
    if (!this.paused && !document.hidden) this.draw();
    else if (this.paused && this.waiting.length) this.tell(`Paused; ${plural(this.waiting.length, 'message has', 'messages have')} come meanwhile.`);
  }

  draw() {
    if (!this.waiting.length) return;
    const list = $('tap-list');
    for (const what of this.waiting) {
      const row = what.lost ? el('li', { class: 'gap' }, `${plural(what.lost, 'message', 'messages')} left out: more than this page takes`)
        : messageRow(read(what.topic, what.text));
      list.prepend(row);
      this.held.push({ row, size: what.text ? what.text.length : 0 });
    }
    this.waiting = [];
    let size = this.held.reduce((n, h) => n + h.size, 0);
    while (this.held.length > KEPT || (size > KEPT_CHARACTERS && this.held.length > 1)) {
      const oldest = this.held.shift();
      size -= oldest.size;
      oldest.row.remove();
    }
    this.tell(`${plural(this.seen, 'message', 'messages')} seen${this.missed ? `, ${full(this.missed)} left out` : ''}.`);
  }

  tell(text) {
    say($('tap-state'), text);
    show($('tap-state'), text !== '');
  }
}

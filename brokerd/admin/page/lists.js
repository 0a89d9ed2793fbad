// Tables that may be long: queues, consumers, clients; and the short lists beside them.
import { $, el, say, mark, show, short, full, bytes, span, plural, Rows, bar, spark } from './dom.js';
import { REASONS, storeTrouble, webhookState } from './model.js';

const FIRST = 25;
const STEP = 50;

const badge = (text, level, title) => el('span', { class: 'badge', 'data-level': level, title }, text);

// Badges are made anew only if they are others than before.
function badges() {
  const node = el('span', { class: 'badges' });
  let before = '';
  return {
    node,
    set(list) {
      const now = JSON.stringify(list);
      if (now === before) return;
      before = now;
      node.replaceChildren(...list.map((b) => badge(...b)));
    },
  };
}

// columns: {key, title, class?, sort?(a, b), cell(): {node, set(item)}}
class Table {
  constructor(id, key, columns, sorted) {
    Object.assign(this, { id, columns, sorted, shown: FIRST });
    this.rows = new Rows($(`${id}-table`).tBodies[0], key, () => this.row());
    $(`${id}-table`).tHead.append(el('tr', {}, columns.map((c) => this.head(c))));
    $(`${id}-more`).firstChild.addEventListener('click', () => {
      this.shown += STEP;
      this.again();
    });
  }

  head(c) {
    const th = el('th', { scope: 'col', class: c.class });
    if (!c.sort) {
      th.append(c.title);
      return th;
    }
    c.th = th;
    th.append(el('button', { type: 'button', class: 'sort', on: { click: () => this.sortBy(c) } }, c.title));
    mark(th, 'aria-sort', this.sorted === c.key ? 'descending' : null);
    return th;
  }

  sortBy(column) {
    this.sorted = column.key;
    for (const c of this.columns) if (c.th) mark(c.th, 'aria-sort', c === column ? (c.up ? 'ascending' : 'descending') : null);
    this.again();
  }

  row() {
    const cells = this.columns.map((c) => ({ c, ...c.cell() }));
    const node = el('tr', {}, cells.map(({ c, node: inner }) => el('td', { class: c.class }, inner)));
    return { node, update: (item) => cells.forEach((cell) => cell.set(item, node)) };
  }

  again() {
    if (this.last) this.render(...this.last);
  }

  // `total`: how many there are, of which `items` are those we were told of.
  render(items, total, empty) {
    this.last = [items, total, empty];
    const column = this.columns.find((c) => c.key === this.sorted);
    const list = column ? [...items].sort(column.sort) : items;
    const more = Math.max(0, items.length - this.shown);
    this.rows.show(list.slice(0, this.shown));
    say($(`${this.id}-count`), total ? full(total) : '');
    show($(`${this.id}-table`).parentNode, items.length > 0);
    show($(`${this.id}-empty`), items.length === 0);
    say($(`${this.id}-empty`), empty);
    show($(`${this.id}-more`), more > 0 || total > items.length);
    show($(`${this.id}-more`).firstChild, more > 0);
    say($(`${this.id}-more`).lastChild, `${full(Math.min(this.shown, items.length))} of ${full(Math.max(total, items.length))}` +
      (total > items.length ? `; the broker tells of ${items.length} at most` : ''));
  }
}

const text = (of, title) => () => {
  const node = el('span');
  return { node, set(item) { say(node, of(item)); if (title) mark(node, 'title', title(item)); } };
};

const number = (of, faintZero = true) => () => {
  const node = el('span');
  return { node, set(item) {
    const n = of(item);
    say(node, n === null || n === undefined ? '' : short(n));
    node.classList.toggle('zero', faintZero && !n);
  } };
};

// ---- queues

function queueBadges({ q, own }) {
  const list = [];
  if (storeTrouble(q)) list.push(['store', 'bad', storeTrouble(q)]);
  if (q.stuck) list.push(['stuck', 'bad', 'a hold has ended and nothing left the queue']);
  if (q.full_ms !== undefined) list.push([`full: ${q.overflow}`, 'bad', `for ${span(q.full_ms)}`]);
  if (q.held) list.push([`${short(q.held)} held`, 'bad', 'messages of publishers that wait in front of it']);
  if (q.name !== null && !q.consumers) list.push(['no consumer', q.depth ? 'warn' : 'info']);
  if (q.delayed) list.push([`${short(q.delayed)} delayed`, 'info']);
  if (q.in_store !== undefined) list.push([q.durable, 'info', `${full(q.in_store)} only in the store`]);
  if (own) list.push(['this page', 'own']);
  return list;
}

const queueName = (open) => () => {
  const name = el('button', { type: 'button', class: 'link name' });
  const marks = badges();
  let id = null;
  name.addEventListener('click', () => open(id));
  return { node: el('span', { class: 'named' }, name, marks.node), set(item) {
    id = item.q.id;
    say(name, item.label);
    mark(name, 'title', item.label);
    marks.set(queueBadges(item).map(([a, b, c]) => [a, b, c && c.startsWith('for ') ? undefined : c]));
  } };
};

const queueDepth = () => {
  const b = bar();
  const now = el('b');
  const limit = el('span', { class: 'faint' });
  return { node: el('span', { class: 'depth' }, el('span', {}, now, ' ', limit), b.node), set({ q, full: part }) {
    const inBytes = q.max_bytes && (!q.max_messages || q.bytes / q.max_bytes > q.depth / q.max_messages);
    say(now, short(q.depth));
    say(limit, inBytes && q.depth ? `${bytes(q.bytes)} of ${bytes(q.max_bytes)}`
      : q.max_messages ? `of ${short(q.max_messages)}` : 'no limit');
    b.set(part, part > 0.95 ? 'bad' : part > 0.6 ? 'warn' : 'well');
  } };
};

const queueTrend = () => {
  const s = spark(90, 24);
  return { node: s.node, set: (item) => s.draw(item.depths, 60, 1) };
};

const queueColumns = (open) => [
  { key: 'name', title: 'Name', up: true, class: 'grow', cell: queueName(open),
    sort: (a, b) => a.label.localeCompare(b.label) },
  { key: 'depth', title: 'Waiting', cell: queueDepth, sort: (a, b) => b.q.depth + b.q.held - a.q.depth - a.q.held || b.in - a.in },
  { key: 'trend', title: 'last minute', class: 'roomy', cell: queueTrend },
  { key: 'in', title: 'In/s', class: 'num', cell: number((i) => i.in), sort: (a, b) => b.in - a.in },
  { key: 'out', title: 'Out/s', class: 'num', cell: number((i) => i.out), sort: (a, b) => b.out - a.out },
  { key: 'unacked', title: 'Unacked', class: 'num room', cell: number((i) => i.q.unacked), sort: (a, b) => b.q.unacked - a.q.unacked },
  { key: 'consumers', title: 'Consumers', class: 'num room', cell: number((i) => i.q.consumers), sort: (a, b) => b.q.consumers - a.q.consumers },
  { key: 'oldest', title: 'Oldest', class: 'num room', cell: text(({ q }) => (q.oldest_ms === undefined ? '' : span(q.oldest_ms))),
    sort: (a, b) => (b.q.oldest_ms || 0) - (a.q.oldest_ms || 0) },
  { key: 'lost', title: 'Lost', class: 'num room', cell: number((i) => i.lost), sort: (a, b) => b.lost - a.lost },
];

// ---- consumers

const consumerState = (model) => () => {
  const mood = el('span', { class: 'mood' });
  return { node: mood, set(k, row) {
    const slow = model.slowness(k);
    mark(mood, 'data-level', slow === 'bad' ? 'bad' : slow === 'idle' ? 'info' : 'well');
    mark(row, 'data-slow', slow === 'bad' ? 'yes' : null);
    say(mood, slow === 'bad' ? `slow for ${span(k.stalled_ms)}: ${REASONS[k.stalled_by] || 'not known why'}`
      : slow === 'idle' ? `nothing waits (${k.stalled_by})` : 'takes what comes');
  } };
};

const consumerName = (model) => () => {
  const name = el('span', { class: 'name' });
  const marks = badges();
  return { node: el('span', { class: 'named' }, name, marks.node), set(k) {
    say(name, k.client || '?');
    mark(name, 'title', `${k.client || '?'} by ${k.door || '?'}`);
    marks.set([model.own.has(k.client) ? ['this page', 'own'] : [k.door || '?', 'info']]);
  } };
};

const consumerColumns = (model, open) => [
  { key: 'name', title: 'Client', class: 'grow', cell: consumerName(model) },
  { key: 'queue', title: 'Takes from', class: 'grow', cell: () => {
    const node = el('button', { type: 'button', class: 'link name' });
    let id = null;
    node.addEventListener('click', () => open(id));
    return { node, set(k) { id = k.queue_id; say(node, k.queue); mark(node, 'title', k.queue); } };
  } },
  { key: 'state', title: 'State', cell: consumerState(model) },
  { key: 'credit', title: 'Credit', class: 'num', cell: text((k) => (k.credit === null ? '\u221e' : short(k.credit))) },
  { key: 'unacked', title: 'In flight', class: 'num', cell: number((k) => k.unacked) },
  { key: 'ack', title: 'Acks', class: 'roomy', cell: text((k) => k.ack) },
  { key: 'delivered', title: 'Delivered', class: 'num room', cell: number((k) => k.counters.delivered) },
];

// ---- clients

const clientColumns = [
  { key: 'name', title: 'Name', class: 'grow', cell: () => {
    const name = el('span', { class: 'name' });
    const marks = badges();
    return { node: el('span', { class: 'named' }, name, marks.node), set({ c, own }) {
      say(name, c.client);
      mark(name, 'title', c.client);
      marks.set([own ? ['this page', 'own'] : [c.door, 'info'], ...(c.held ? [[`${short(c.held)} unsettled`, 'warn']] : [])]);
    } };
  } },
  { key: 'in', title: 'In/s', class: 'num', cell: number((i) => i.in) },
  { key: 'out', title: 'Out/s', class: 'num', cell: number((i) => i.out) },
  { key: 'publishers', title: 'Publishers', class: 'num room', cell: number((i) => i.c.publishers) },
  { key: 'consumers', title: 'Consumers', class: 'num room', cell: number((i) => i.c.consumers) },
  { key: 'output', title: 'Not read', class: 'num room', cell: text((i) => (i.c.output_bytes ? bytes(i.c.output_bytes) : ''),
    () => 'written by the broker and not yet taken by the peer') },
  { key: 'since', title: 'Since', class: 'num room', cell: text((i) => span(i.c.since_ms)) },
];

// ---- the short ones

function factRow() {
  const name = el('span', { class: 'name' });
  const marks = badges();
  const facts = el('span', { class: 'faint' });
  return {
    node: el('li', {}, el('span', { class: 'named' }, name, marks.node), facts),
    update(r) {
      say(name, r.name);
      mark(name, 'title', r.title || r.name);
      marks.set(r.badges);
      say(facts, r.facts.filter(Boolean).join(' \u00b7 '));
    },
  };
}

function webhookRow(w) {
  const { level, text: state } = webhookState(w);
  const { counters: c, last_failure: last } = w;
  return {
    key: w.webhook, name: w.webhook, title: `${w.topics.join(', ')} to ${w.url}`, badges: [[state, level]],
    facts: [w.url, `${full(w.in_flight)} in flight, at most ${full(w.window)} of ${full(w.window_max)}`,
      w.waiting ? `${full(w.waiting)} to be tried again` : '', `${full(c.delivered)} delivered`,
      c.failed ? `${full(c.failed)} failed` : '', c.dead_lettered ? `${full(c.dead_lettered)} dead letters` : '',
      w.wait_ms ? `again in ${span(w.wait_ms)}` : '', w.why,
      last && level !== 'well' && `last: ${last.status || last.error || last.outcome}, ${span(last.ago_ms)} ago`],
  };
}

export class Lists {
  constructor(model, open) {
    this.model = model;
    this.queues = new Table('queues', (i) => i.q.id, queueColumns(open), 'depth');
    this.consumers = new Table('consumers', (k) => k.id, consumerColumns(model, open));
    this.clients = new Table('clients', (i) => i.c.id, clientColumns);
    this.webhooks = new Rows($('webhooks-list'), (r) => r.key, factRow);
    this.services = new Rows($('services-list'), (r) => r.key, factRow);
    $('queues-find').addEventListener('input', () => this.render());
    $('queues-all').addEventListener('change', () => this.render());
    // Beyond those the broker tells of, a queue is found by its whole name.
    $('queues-find').addEventListener('keydown', (e) => {
      if (e.key !== 'Enter' || !e.target.value.trim()) return;
      e.preventDefault(); // or it would press what has the focus then
      open(e.target.value.trim());
    });
  }

  render() {
    const m = this.model;
    if (!m.broker) return;
    this.renderQueues(m);
    this.consumers.render(m.consumers, m.consumers.length, 'Nobody consumes anything.');
    this.clients.render([...m.clients.values()], Math.max(m.clients.size, m.broker.connections), 'Nobody is connected.');
    this.renderWebhooks(m.webhooks || []);
    this.renderServices(m.info ? m.info.services : []);
  }

  renderQueues(m) {
    const find = $('queues-find').value.trim().toLowerCase();
    const all = $('queues-all').checked;
    const named = m.broker.workers.reduce((n, w) => n + (w.queues || 0), 0);
    const list = [...m.queues.values()].filter((i) =>
      (all || i.q.name !== null) && (!find || i.label.toLowerCase().includes(find)));
    this.queues.render(list, find ? list.length : all ? Math.max(named, list.length) : named,
      find ? 'None of these has that in its name. Enter looks for a queue of exactly this name.'
        : 'There is no queue yet. `broker queue add jobs` makes one, and so does whoever consumes one.');
  }

  renderWebhooks(list) {
    show($('webhooks-empty'), list.length === 0);
    say($('webhooks-count'), list.length ? full(list.length) : '');
    this.webhooks.show(list.slice(0, 100).map(webhookRow));
  }

  renderServices(list) {
    show($('services-empty'), list.length === 0);
    say($('services-count'), list.length ? full(list.length) : '');
    this.services.show(list.slice(0, 100).map((s) => ({
      key: s.name, name: s.name,
      badges: s.servers ? [] : [['nobody serves it', 'warn']],
      facts: [plural(s.servers, 'server', 'servers'), `${full(s.open)} open`, s.waiting ? `${full(s.waiting)} wait` : '',
        `${full(s.calls)} calls`],
    })));
  }
}

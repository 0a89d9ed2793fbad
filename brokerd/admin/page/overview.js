// What is seen first: the verdict, the tiles, losses by reason, memory and workers.
import { $, el, say, mark, show, short, full, bytes, span, plural, Rows, bar, spark } from './dom.js';
import { PLACES } from './model.js';

const PROBLEMS_SHOWN = 6;

function problemRow(open) {
  return (first) => {
    const name = el(first.queue ? 'button' : 'b', first.queue ? { type: 'button', class: 'link' } : {});
    const text = el('span');
    const node = el('li', {}, name, ' ', text);
    let queue = null;
    if (first.queue) name.addEventListener('click', () => open(queue));
    return {
      node,
      update(p) {
        queue = p.queue;
        mark(node, 'data-level', p.level);
        say(name, p.name);
        say(text, `${p.count ? `${full(p.count)} ` : ''}${p.text}${p.since >= 1000 ? `, for ${span(p.since)}` : ''}`);
      },
    };
  };
}

function tile(id, label, kind) {
  const value = el('span', { class: 'value' });
  const unit = el('span', { class: 'unit' });
  const note = el('p', { class: 'note' });
  const line = spark(240, 48);
  const node = el('article', { id, class: 'tile', 'data-kind': kind },
    el('h3', {}, label), el('p', { class: 'figure' }, value, ' ', unit), note, line.node);
  return {
    node,
    set(v, u, n, values, top) {
      say(value, v);
      say(unit, u);
      say(note, n);
      line.draw(values, PLACES, top);
    },
  };
}

function barRow(first) {
  const b = bar();
  const value = el('span', { class: 'num' });
  const name = el('span', { class: 'name' });
  const node = el('li', { title: first.title }, el('div', {}, name, value), b.node);
  return {
    node,
    update(r) {
      say(name, r.name);
      say(value, r.value);
      mark(node, 'data-kind', r.kind);
      b.set(r.ratio, r.level);
    },
  };
}

const REASON_TEXT = {
  'no-match': 'no queue matched', full: 'a queue was full', memory: 'the memory budget was used up',
  'no-credit': 'it would have had to wait', limit: 'a limit of the connection', draining: 'the broker was stopping',
  'no-server': 'nobody serves the service', denied: 'no permission', invalid: 'malformed',
  'too-large': 'larger than max-message', 'drop-oldest': 'made room for a newer message',
  'drop-newest': 'found no room behind older ones', expired: 'its time to live was over',
  attempts: 'delivered too often without an ack', rejected: 'a consumer rejected it',
  purged: 'the queue was purged', deleted: 'the queue was deleted', disconnected: 'the subscriber went away',
  node: 'lost on the way from another broker',
};

export class Overview {
  constructor(open) {
    this.problems = new Rows($('problems'), (p) => p.key, problemRow(open));
    this.reasons = new Rows($('losses-list'), (r) => r.key, barRow);
    this.workers = new Rows($('workers-list'), (r) => r.key, barRow);
    this.tiles = {
      in: tile('tile-in', 'In', 'in'),
      out: tile('tile-out', 'Out', 'out'),
      waiting: tile('tile-waiting', 'Waiting', 'waiting'),
      lost: tile('tile-lost', 'Lost, refused', 'lost'),
      memory: tile('tile-memory', 'Memory', 'memory'),
      connections: tile('tile-connections', 'Connections', 'connections'),
    };
    $('tiles').append(...Object.values(this.tiles).map((t) => t.node));
  }

  render(m) {
    if (!m.broker) return;
    this.renderVerdict(m.problems());
    this.renderTiles(m);
    this.renderLosses(m);
    this.renderWorkers(m.broker);
  }

  renderVerdict(problems) {
    const level = problems.length ? problems[0].level : 'well';
    const more = problems.length - PROBLEMS_SHOWN;
    const n = problems.filter((p) => p.level !== 'info').length;
    const title = n ? `${plural(n, 'thing needs', 'things need')} a look.`
      : problems.length ? 'All flows, but messages wait where nobody takes them.' : 'All flows.';
    mark($('verdict'), 'data-level', level);
    say($('verdict-title'), title);
    this.problems.show(problems.slice(0, PROBLEMS_SHOWN));
    mark($('problems'), 'data-more', more > 0 ? `and ${more} more` : null);
    const mood = { well: '', info: '', warn: '\u25b2 ', bad: '\u25cf ' }[level];
    document.title = `${mood}brokerd`;
  }

  renderTiles(m) {
    const { broker: b, rates: r, history: h } = m;
    const t = this.tiles;
    const most = Math.max(...h.in, ...h.out, 1);
    t.in.set(short(r.in), 'messages/s', `${full(b.totals.published)} in all`, h.in, most);
    t.out.set(short(r.out), 'messages/s', `${full(b.totals.delivered)} in all`, h.out, most);
    t.waiting.set(short(m.waiting || 0), '', `in ${plural(m.queues.size, 'queue', 'queues')}`, h.waiting, 1);
    t.lost.set(short(r.lost), '/s', `${full(m.reasons.reduce((n, x) => n + (x.kind === 'nobody' ? 0 : x.n), 0))} in all`,
      h.lost, 1);
    t.lost.node.classList.toggle('alarm', r.lost > 0);
    t.memory.set(bytes(b.memory.used_bytes), '', `of ${bytes(b.memory.limit_bytes)}`, h.memory, b.memory.limit_bytes / 8);
    t.connections.set(short(b.connections), '', m.info ? `up ${span(m.info.uptime_ms)}` : '', h.connections, 1);
  }

  renderLosses(m) {
    const most = Math.max(1, ...m.reasons.map((r) => r.n));
    show($('losses-empty'), m.reasons.length === 0);
    this.reasons.show(m.reasons.map((r) => ({
      key: r.key, kind: r.kind, name: r.kind === 'nobody' ? r.reason : `${r.kind}: ${r.reason}`,
      title: REASON_TEXT[r.reason] || r.reason, value: full(r.n), ratio: r.n / most,
      level: r.kind === 'lost' ? 'bad' : r.kind === 'refused' ? 'warn' : 'info',
    })));
  }

  renderWorkers({ memory, workers }) {
    const level = (part) => (part > 0.92 ? 'bad' : part > 0.75 ? 'warn' : 'well');
    const used = memory.used_bytes / memory.limit_bytes;
    const rows = [{ key: 'memory', name: 'memory budget', ratio: used, level: level(used),
      value: `${bytes(memory.used_bytes)} of ${bytes(memory.limit_bytes)}` }];
    for (const w of workers)
      rows.push({ key: `worker ${w.id}`, name: `worker ${w.id}`, ratio: w.busy, level: level(w.busy),
        value: `${Math.round(w.busy * 100)} % busy \u00b7 ${plural(w.connections, 'connection', 'connections')}` });
    this.workers.show(rows);
  }
}

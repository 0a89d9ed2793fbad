// What the figures mean: rates from counters, a little history, and what needs a look.

export const PLACES = 120; // seconds of history
const QUEUE_PLACES = 60;
const SLOW_MS = 1000; // a consumer that takes nothing for less than this is only busy, and so is a store
const BLAMED = 3; // consumers named in the line of their queue
const RECENT = 10; // seconds for which a loss is news

const sum = (reasons) => Object.values(reasons || {}).reduce((a, b) => a + b, 0);

function push(list, value, places) {
  list.push(value);
  if (list.length > places) list.shift();
}

// Counters only rise; one that fell belongs to a broker that began anew.
function rate(now, before, seconds) {
  return before === undefined || now < before || seconds <= 0 ? 0 : (now - before) / seconds;
}

export class Model {
  constructor() {
    this.own = new Set(); // what the broker calls this page's connections
    this.owners = new Map();
    this.reset();
  }

  // The connection that listens to `topic` is this page's; the broker calls it so.
  owns(topic, clients) {
    this.owners.set(topic, clients);
    this.own = new Set([...this.owners.values()].flat());
  }

  reset() {
    this.broker = null;
    this.history = { in: [], out: [], waiting: [], lost: [], memory: [], connections: [] };
    this.recent = []; // {reason: n} of each of the last seconds
    this.ownLost = {};
    this.owed = {};
    this.seconds = 0; // between the last two figures
    this.queues = new Map();
    this.consumers = [];
    this.clients = new Map();
    this.webhooks = null;
    this.info = null;
  }

  take(topic, data) {
    const of = topic.slice('$SYS.stats.'.length);
    if (of === 'broker') this.takeBroker(data);
    else if (of === 'queues') this.takeQueues(data);
    else if (of === 'consumers') this.consumers = data.consumers;
    else if (of === 'clients') this.takeClients(data);
    else if (of === 'webhooks') this.webhooks = data.webhooks;
  }

  takeBroker(b) {
    const old = this.broker;
    if (old && b.now_ms < old.now_ms) this.reset();
    const seconds = this.broker ? (b.now_ms - old.now_ms) / 1000 : 0;
    this.seconds = seconds;
    const t = b.totals;
    const before = (this.broker || b).totals;
    this.rates = {
      in: rate(t.published, before.published, seconds),
      out: rate(t.delivered, before.delivered, seconds),
      lost: rate(sum(t.lost) + sum(t.refused), sum(before.lost) + sum(before.refused), seconds),
    };
    this.broker = b;
    this.reasons = this.reasonsOf(t);
    this.takeNews(t, before);
    if (!seconds) return; // a rate takes two
    push(this.history.in, this.rates.in, PLACES);
    push(this.history.out, this.rates.out, PLACES);
    push(this.history.lost, this.rates.lost, PLACES);
    push(this.history.memory, b.memory.used_bytes, PLACES);
    push(this.history.connections, b.connections, PLACES);
  }

  reasonsOf(t) {
    const list = [];
    for (const kind of ['lost', 'refused'])
      for (const [reason, n] of Object.entries(t[kind])) list.push({ key: `${kind} ${reason}`, kind, reason, n });
    if (t.unroutable) list.push({ key: 'unroutable', kind: 'nobody', reason: 'no queue matched', n: t.unroutable });
    return list.sort((a, b) => b.n - a.n);
  }

  takeNews(t, before) {
    const news = {};
    for (const kind of ['lost', 'refused']) {
      for (const [reason, n] of Object.entries(t[kind])) {
        const more = n - (before[kind][reason] || 0);
        if (more > 0) news[`${kind} ${reason}`] = more;
      }
    }
    push(this.recent, news, RECENT);
  }

  // What this page's own subscriptions have lost is said where they are shown; it is no trouble of
  // the broker's.
  takeOwnLosses(queues) {
    const now = {};
    for (const { name, client, counters } of queues) {
      if (name !== null || !this.own.has(client)) continue;
      for (const [reason, n] of Object.entries(counters.lost)) now[reason] = (now[reason] || 0) + n;
    }
    for (const [reason, n] of Object.entries(now)) {
      const more = Math.max(0, n - (this.ownLost[reason] || 0));
      this.forgive(`lost ${reason}`, more);
      this.rates.lost = Math.max(0, this.rates.lost - more / this.seconds);
      if (this.history.lost.length) this.history.lost[this.history.lost.length - 1] = this.rates.lost;
    }
    this.ownLost = now;
  }

  // Take `n` off the news, the latest first. The broker counts its queues a little before or after
  // itself: what is too much now is taken off the next ones.
  forgive(what, n) {
    let owed = (this.owed[what] || 0) + n;
    for (let i = this.recent.length - 1; i >= 0 && owed > 0; i--) {
      const taken = Math.min(this.recent[i][what] || 0, owed);
      owed -= taken;
      if (taken === this.recent[i][what]) delete this.recent[i][what];
      else if (taken) this.recent[i][what] -= taken;
    }
    this.owed[what] = owed;
  }

  takeQueues({ queues, now_ms: now }) {
    if (this.seconds > 0) this.takeOwnLosses(queues);
    const kept = new Map();
    let waiting = 0;
    for (const q of queues) {
      const old = this.queues.get(q.id);
      const seconds = old ? (now - old.now) / 1000 : 0;
      const depths = old ? old.depths : [];
      const before = old ? old.q.counters : {};
      push(depths, q.depth, QUEUE_PLACES);
      waiting += q.depth;
      kept.set(q.id, {
        q, now, depths,
        label: q.name === null ? q.filter || '?' : q.name,
        in: rate(q.counters.published, before.published, seconds),
        out: rate(q.counters.delivered, before.delivered, seconds),
        lost: sum(q.counters.lost) + sum(q.counters.refused),
        own: q.name === null && this.own.has(q.client),
        full: Math.max(q.max_messages ? q.depth / q.max_messages : 0, q.max_bytes ? q.bytes / q.max_bytes : 0),
      });
    }
    this.queues = kept;
    this.waiting = waiting;
    push(this.history.waiting, waiting, PLACES);
  }

  takeClients({ clients, now_ms: now }) {
    const kept = new Map();
    for (const c of clients) {
      const old = this.clients.get(c.id);
      const seconds = old ? (now - old.now) / 1000 : 0;
      const before = old ? old.c.counters : {};
      kept.set(c.id, {
        c, now, own: this.own.has(c.client),
        in: rate(c.counters.published, before.published, seconds),
        out: rate(c.counters.delivered, before.delivered, seconds),
      });
    }
    this.clients = kept;
  }

  // Of a consumer: 'well', 'bad' if it makes messages wait, 'idle' if it takes none and none wait.
  slowness(k) {
    if (k.stalled_ms === undefined || k.stalled_ms < SLOW_MS) return 'well';
    const queue = this.queues.get(k.queue_id);
    const waits = queue ? queue.q.depth > 0 || queue.q.held > 0 : k.stalled_by === 'output';
    return waits ? 'bad' : 'idle';
  }

  // ---- what needs a look, the worst first: {key, level, name, text, queue?}

  problems() {
    const list = [];
    if (this.broker) this.ofBroker(list);
    for (const one of this.queues.values()) if (!one.own) this.ofQueue(one, list);
    for (const k of this.consumers) this.ofConsumer(k, list);
    for (const w of this.webhooks || []) this.ofWebhook(w, list);
    const order = { bad: 0, warn: 1, info: 2 };
    return list.sort((a, b) => order[a.level] - order[b.level] || (b.weight || 0) - (a.weight || 0));
  }

  ofBroker(list) {
    const { memory, workers } = this.broker;
    const used = memory.used_bytes / memory.limit_bytes;
    if (used > 0.85)
      list.push({ key: 'memory', level: used > 0.95 ? 'bad' : 'warn', name: 'memory',
        text: `${Math.round(used * 100)} % of the budget is used: publishers get little credit, or are refused` });
    for (const w of workers)
      if (w.busy > 0.92)
        list.push({ key: `worker ${w.id}`, level: 'warn', name: `worker ${w.id}`, text: 'has no time left' });
    const news = {};
    for (const second of this.recent)
      for (const [what, n] of Object.entries(second)) news[what] = (news[what] || 0) + n;
    for (const [what, n] of Object.entries(news)) {
      const [kind, reason] = what.split(' ');
      if (reason === 'disconnected' || reason === 'purged' || reason === 'deleted' || reason === 'not-found') continue;
      list.push({ key: what, level: kind === 'lost' ? 'bad' : 'warn', name: kind, count: n,
        text: `within ${RECENT} seconds: ${reason}` });
    }
  }

  ofQueue({ q, label, full }, list) {
    const add = (level, text, since) =>
      list.push({ key: `queue ${q.id}`, level, name: label, text, since, queue: q.id, weight: q.depth, blames: 1 });
    if (storeTrouble(q)) add('bad', storeTrouble(q), q.unopened_ms ?? q.unstored_ms);
    else if (q.letters_waiting) add('bad', lettersWait(q), q.letters_ms);
    else if (q.stuck) add('bad', 'is stuck: full, and its consumers take nothing', q.full_ms);
    else if (q.held) add('bad', `is full: publishers are held in front of it, ${q.overflow}`, q.full_ms);
    else if (q.full_ms !== undefined) add('bad', `is full: ${q.overflow}`, q.full_ms);
    else if (full > 0.8) add('warn', `is ${Math.round(full * 100)} % full`);
    else if (q.name !== null && q.depth > 0 && q.consumers === 0) add('info', 'has no consumer, and messages wait', q.oldest_ms);
  }

  ofConsumer(k, list) {
    // Of a webhook its own state says more.
    if (this.own.has(k.client) || k.door === 'webhook' || this.slowness(k) !== 'bad') return;
    const why = REASONS[k.stalled_by] || 'it is slow';
    const queue = list.find((p) => p.queue === k.queue_id);
    if (queue && queue.blames) { // one line for both
      if (queue.blames++ < BLAMED) queue.text += `; ${k.client} takes nothing, ${why}`;
      return;
    }
    list.push({ key: `consumer ${k.id}`, level: 'warn', name: k.client, since: k.stalled_ms, queue: k.queue_id,
      text: `takes nothing from ${k.queue}: ${why}`, weight: k.stalled_ms });
  }

  ofWebhook(w, list) {
    const { level, text } = webhookState(w);
    if (level === 'bad' || level === 'warn')
      list.push({ key: `webhook ${w.webhook}`, level, name: w.webhook, text: `webhook: ${text}` });
  }
}

// Why a consumer takes nothing, for a person.
export const REASONS = {
  credit: 'it gives no credit',
  output: 'it does not read what is sent to it',
  inflight: 'it has too many messages it has not acknowledged',
};

const WEBHOOK_LEVELS = { active: 'well', attaching: 'info', stopping: 'info', paused: 'warn', probing: 'warn',
  failing: 'warn', open: 'bad', disabled: 'bad' };
const WEBHOOK_STATES = { open: 'down, rests', probing: 'down, is tried' };

// The level of a webhook, and a word for its state.
// Why a durable queue takes nothing, or is not answered; '' if all is well.
export function storeTrouble(q) {
  if (q.unopened_ms !== undefined)
    return `its store (${q.durable}) has not opened it: ${q.store_text || 'it does not answer'}`;
  if (q.store_refuses === 'full') return `its store (${q.durable}) is full`;
  if (q.store_refuses) return `its store (${q.durable}) takes nothing: ${q.store_refuses}`;
  return q.unstored_ms >= SLOW_MS ? `its store (${q.durable}) does not answer` : '';
}

// Dead letters that are refused for what passes, and sent again and again.
export function lettersWait(q) {
  const stop = q.letters_stop ? '; no more is read from its store' : '';
  return `has ${q.letters_waiting} dead letters that wait, refused "${q.letters_refused}"${stop}`;
}

export function webhookState({ state }) {
  return { level: WEBHOOK_LEVELS[state] || 'info', text: WEBHOOK_STATES[state] || state };
}

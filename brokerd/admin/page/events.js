// What happened, the newest first.
import { $, el, clock, show, full, span } from './dom.js';

const KEPT = 300;
const QUIET = new Set(['connected', 'disconnected', 'queue_made', 'queue_gone', 'reloaded', 'back', 'slow_consumer_ended',
  'webhook_added', 'webhook_changed', 'webhook_removed', 'webhook_enabled', 'webhook_recovered']);
const BAD = new Set(['slow_consumer', 'queue_stuck', 'dropped', 'webhook_disabled', 'webhook_opened', 'webhook_dead', 'dead_letter']);
const KNOWN = new Set(['time', 'event', 'reason', 'count', 'text', 'for_ms']);

function factsOf(e) {
  const facts = [];
  for (const [name, value] of Object.entries(e)) {
    if (KNOWN.has(name) || value === null || typeof value === 'object') continue;
    facts.push(el('span', { class: 'faint' }, `${name} `), el('span', { class: 'topic' }, String(value)), ' ');
  }
  return facts;
}

function row(kind, e) {
  const time = e.time ? new Date(e.time) : new Date();
  const level = BAD.has(kind) ? 'bad' : QUIET.has(kind) ? 'info' : 'warn';
  return el('li', { 'data-level': level },
    el('time', { datetime: time.toISOString() }, clock(time)),
    el('span', { class: 'what' },
      el('b', {}, kind.replaceAll('_', ' ')), ' ',
      e.count > 1 ? `${full(e.count)}\u00d7 ` : '', e.reason ? `${e.reason} ` : '', ...factsOf(e), e.for_ms ? `for ${span(e.for_ms)} ` : '', e.text || ''));
}

export class Events {
  constructor(model) {
    this.model = model;
    this.waiting = [];
    $('events-quiet').addEventListener('change', (e) => $('events-list').classList.toggle('trouble', e.target.checked));
  }

  take(topic, data) {
    if (this.model.own.has(data.client)) return;
    const kind = topic.slice('$SYS.'.length);
    const key = [kind, data.reason, data.queue, data.topic, data.client, data.service, data.webhook, data.text].join('\n');
    if (this.last && this.last.key === key) { // the same again: one line for all of them
      const times = this.last.times + 1;
      const count = (this.last.data.count || 0) + (data.count || 0);
      const again = row(kind, { ...data, count, text: `${data.text || ''} (${times} times)` });
      const at = this.waiting.indexOf(this.last.node);
      if (at >= 0) this.waiting[at] = again;
      else this.last.node.replaceWith(again);
      this.last = { key, times, data: { ...data, count }, node: again };
      return;
    }
    this.last = { key, times: 1, data, node: row(kind, data) };
    this.waiting.push(this.last.node);
    if (this.waiting.length > KEPT) this.waiting.shift();
  }

  // Something this page has to say itself.
  note(kind, text) {
    this.take(`$SYS.${kind}`, { text });
  }

  render() {
    if (!this.waiting.length) return;
    const list = $('events-list');
    list.prepend(...this.waiting.reverse());
    this.waiting = [];
    while (list.childElementCount > KEPT) list.lastChild.remove();
    show($('events-empty'), false);
  }
}

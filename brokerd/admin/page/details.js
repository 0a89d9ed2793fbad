// One queue: why it is as it is, its settings, its consumers, its first messages.
import { $, el, say, full, bytes, span, plural } from './dom.js';
import { pretty } from './json.js';

const LISTED = 50;

const facts = (pairs) => el('dl', { class: 'facts' },
  pairs.map(([name, value]) => [el('dt', {}, name), el('dd', {}, value)]));

function consumers(list) {
  return el('ul', { class: 'rows' }, list.slice(0, LISTED).map((k) => el('li', {},
    el('span', { class: 'name' }, k.client || '?'),
    el('span', { class: 'faint' }, [k.door, `${k.ack} ack`, `credit ${k.credit === null ? '\u221e' : full(k.credit)}`,
      `${full(k.unacked)} in flight`, k.stalled_ms !== undefined && `takes nothing for ${span(k.stalled_ms)}`]
      .filter(Boolean).join(' \u00b7 ')))));
}

function message(m) {
  const data = el('pre', { tabindex: '0', 'aria-label': 'Payload' });
  if (m.data !== undefined && /json/.test(m.type)) pretty(data, m.data);
  else data.textContent = m.data !== undefined ? m.data : `base64: ${m.base64}`;
  return el('li', {}, el('details', {}, el('summary', {},
    el('span', { class: 'faint' }, m.state), el('span', { class: 'topic' }, m.topic),
    el('span', { class: 'preview' }, (m.data || m.base64 || '').slice(0, 200)),
    el('span', { class: 'faint size' }, bytes(m.size))), data));
}

const settled = (promise) => promise.then((data) => ({ data }), (error) => ({ error }));

export class Details {
  constructor(connection, watch) {
    Object.assign(this, { connection, watch });
    $('details-close').addEventListener('click', () => $('details').close());
    $('details').addEventListener('click', (e) => e.target === $('details') && $('details').close());
  }

  async open(queue) {
    const ask = (method, more) => settled(this.connection.ask(method, { queue, ...more }).then((r) => r.data));
    say($('details-title'), queue);
    $('details-body').replaceChildren(el('p', { class: 'note' }, 'Asking.'));
    if (!$('details').open) $('details').showModal();
    const info = await ask('queue-info');
    if (info.error) {
      $('details-body').replaceChildren(el('p', { class: 'outcome', 'data-level': 'bad' }, info.error.message));
      return;
    }
    const [why, peek] = await Promise.all([
      settled(this.connection.ask('why', { what: info.data.name === null ? info.data.id : info.data.name }).then((r) => r.data)),
      ask('queue-peek', { count: 10, bytes: 4096 })]);
    this.fill(info.data, why.data, peek.data);
  }

  fill(q, why, peek) {
    const parts = [];
    say($('details-title'), q.name === null ? `subscription ${q.bindings.join(', ')}` : q.name);
    if (why)
      parts.push(el('ul', { class: 'chain' }, why.chain.map((c) =>
        el('li', { 'data-level': c.name === why.bottleneck ? 'warn' : 'well' }, c.text))));
    parts.push(facts([
      ['waiting', `${full(q.depth)} of ${q.max_messages ? full(q.max_messages) : 'no limit'}, ${bytes(q.bytes)}` +
        (q.max_bytes ? ` of ${bytes(q.max_bytes)}` : '')],
      ['unacknowledged', full(q.unacked)], ['delayed, held', `${full(q.delayed)}, ${full(q.held)}`],
      ['in, out', `${full(q.counters.published)}, ${full(q.counters.delivered)}`],
      ...(q.in_store === undefined ? [] : [['only in the store', full(q.in_store)],
        ['not stored yet', full(q.unstored) + (q.unstored_ms === undefined ? '' : `, for ${span(q.unstored_ms)}`)]]),
      ['bound to', q.bindings.join(', ') || 'nothing'],
      ...Object.entries(q.policy).filter(([, value]) => value)]));
    if (q.bindings.length)
      parts.push(el('p', {}, el('button', { type: 'button', on: { click: () => {
        $('details').close();
        this.watch(q.bindings.join(' '));
      } } }, 'Watch what comes in')));
    parts.push(el('h3', {}, plural(q.consumer_list.length, 'consumer', 'consumers')), consumers(q.consumer_list));
    if (peek && peek.messages.length)
      parts.push(el('h3', {}, 'The first messages'), el('ol', { class: 'messages' }, peek.messages.map(message)));
    $('details-body').replaceChildren(...parts);
  }
}

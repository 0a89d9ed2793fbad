// The dashboard: one connection for figures, events, questions and publishing, a second one for the
// messages that are watched. Everything comes from the broker this page came from.
import { $, el, say, mark, show, clock } from './dom.js';
import { Connection } from './broker.js';
import { Model } from './model.js';
import { Overview } from './overview.js';
import { Lists } from './lists.js';
import { Tap } from './tap.js';
import { Publish } from './publish.js';
import { Events } from './events.js';
import { Details } from './details.js';

const INFO_MS = 5000;

const model = new Model();
const events = new Events(model);
const connection = new Connection({ state: onState, trouble: (text) => events.note('error', text) });
const tap = new Tap(introduce);
const details = new Details(connection, (filter) => {
  tap.watch(filter);
  go('tap');
});
const open = (queue) => details.open(queue);
const overview = new Overview(open);
const lists = new Lists(model, open);
new Publish(connection); // eslint-disable-line no-new

// ---- what is kept between visits

const kept = {
  get(name) {
    try { return localStorage.getItem(`brokerd.${name}`); } catch { return null; }
  },
  set(name, value) {
    try { localStorage.setItem(`brokerd.${name}`, value); } catch { /* then it is not kept */ }
  },
};

// ---- drawing, once for all that came in one frame

let drawing = false;

function draw() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    overview.render(model);
    lists.render();
    events.render();
  });
}

// ---- the connection

let retryAt = 0;
let lostAt = null;

function onState({ state, retryAt: at }) {
  retryAt = at || 0;
  if (state === 'lost' && !lostAt) lostAt = new Date();
  if (state === 'live') {
    if (lostAt) events.note('back', `connected again; lost at ${clock(lostAt)}`);
    lostAt = null;
    askInfo();
  }
  mark($('state'), 'data-state', state);
  say($('state'), { wait: 'connecting', live: 'live', lost: 'reconnecting', off: 'off' }[state]);
  mark(document.body, 'data-lost', lostAt ? 'yes' : null);
  countDown();
  draw();
}

function countDown() {
  show($('lost'), lostAt !== null);
  if (!lostAt) return;
  const seconds = Math.max(0, Math.ceil((retryAt - Date.now()) / 1000));
  say($('lost-text'), `No connection to the broker since ${clock(lostAt)}.` +
    (retryAt && seconds ? ` Trying again in ${seconds} s.` : ' Trying.'));
}

// A subscription also listens to a topic that nobody else knows: whoever it leads to is this page.
function introduce() {
  const topic = `brokerd.page.${crypto.getRandomValues(new Uint32Array(2)).join('-')}`;
  return {
    topic,
    learn: () => connection.ask('route', { topic }).then(
      ({ data }) => model.owns(topic, data.queues.map((q) => q.client)),
      () => {}), // it may not ask: then its own connections look like any other
  };
}

const mine = introduce();
const TAKES = { 'max-messages': 64, 'max-bytes': 16 << 20, overflow: 'drop-oldest' };

connection.subscribe({
  topic: ['$SYS.stats.*', mine.topic], credit: 32, options: { ...TAKES, 'message-ttl': '10s' },
  takes: (topic) => topic.startsWith('$SYS.stats.') || topic === mine.topic,
  ready: () => mine.learn(),
  message(topic, text) {
    model.take(topic, JSON.parse(text).data);
    if (!document.hidden) draw();
  },
});
connection.subscribe({
  topic: '$SYS.*', credit: 500, options: { ...TAKES, 'max-messages': 5000 },
  takes: (topic) => topic.startsWith('$SYS.'),
  gap: (lost) => events.note('gap', `${lost} events are missing here: there were too many`),
  message(topic, text) {
    events.take(topic, JSON.parse(text).data);
    if (!document.hidden) draw();
  },
});

// What is not told each second. Whoever may not ask is not asked again.
let mayAsk = true;

function askInfo() {
  if (!mayAsk || document.hidden || connection.state !== 'live') return;
  connection.ask('info').then(({ data }) => {
    model.info = data;
    say($('where'), `${data.version}${data.draining ? ', draining' : ''} at ${location.host}`);
  }, (e) => {
    if (e.reason === 'denied') mayAsk = false;
  });
}

// ---- keys, theme

const THEMES = { auto: 'Auto', light: 'Light', dark: 'Dark' };
let theme = kept.get('theme') in THEMES ? kept.get('theme') : 'auto';

function paint() {
  mark(document.documentElement, 'data-theme', theme);
  say($('theme'), THEMES[theme]);
  mark($('theme'), 'aria-label', `Theme: ${THEMES[theme]}`);
}

function turn() {
  const names = Object.keys(THEMES);
  theme = names[(names.indexOf(theme) + 1) % names.length];
  kept.set('theme', theme);
  paint();
}

function go(id, field) {
  $(id).scrollIntoView({ block: 'start' });
  $(field || id).focus({ preventScroll: Boolean(field) });
}

const keys = [
  ['/', 'find a queue', () => go('queues', 'queues-find')],
  ['q', 'queues', () => go('queues')],
  ['c', 'consumers', () => go('consumers')],
  ['p', 'publish a message', () => go('publish', 'publish-to')],
  ['m', 'watch messages', () => go('tap', 'tap-filter')],
  ['space', 'pause the messages, and go on', () => !$('tap-pause').disabled && $('tap-pause').click()],
  ['e', 'events', () => go('events')],
  ['d', 'light, dark, as the system has it', turn],
  ['?', 'this list', () => $('help').showModal()],
];

$('help-list').append(...keys.flatMap(([key, what]) => [el('dt', {}, el('kbd', {}, key)), el('dd', {}, what)]));
$('help-close').addEventListener('click', () => $('help').close());
$('help').addEventListener('click', (e) => e.target === $('help') && $('help').close());
$('help-on').checked = kept.get('keys') !== 'off';
$('help-on').addEventListener('change', (e) => kept.set('keys', e.target.checked ? 'on' : 'off'));

addEventListener('keydown', (e) => {
  const typing = e.target.closest('input, textarea, select, button, summary, a, dialog');
  if (e.ctrlKey || e.metaKey || e.altKey || !$('help-on').checked) return;
  if (typing && (e.key === ' ' || !typing.matches('button, summary, a'))) return;
  const key = keys.find(([name]) => name === (e.key === ' ' ? 'space' : e.key));
  if (!key) return;
  e.preventDefault();
  key[2]();
});

$('keys').addEventListener('click', () => $('help').showModal());
$('theme').addEventListener('click', turn);
$('retry').addEventListener('click', () => connection.retry());
document.addEventListener('visibilitychange', () => !document.hidden && draw());

paint();
say($('where'), location.host);
setInterval(countDown, 500);
setInterval(askInfo, INFO_MS);
connection.start();

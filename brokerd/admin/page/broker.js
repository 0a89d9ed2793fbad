// The JSON door over WebSocket (docs/json.md): subscribes under credit, asks, publishes, and comes
// back by itself when the connection is lost.

const SILENT_MS = 5000; // the broker says something every second
const RETRY_MIN_MS = 500;
const RETRY_MAX_MS = 10000;
const ASK_MS = 10000;

const url = () => {
  const at = new URL('json', location.href);
  at.protocol = at.protocol === 'https:' ? 'wss:' : 'ws:';
  at.search = at.hash = '';
  return at.href;
};

// The id stands first, as a JSON string.
function topicOf(text) {
  const string = /^\{"id":("[^"\\]*(?:\\.[^"\\]*)*")/.exec(text);
  return string ? JSON.parse(string[1]) : JSON.parse(text).id;
}

export class Refused extends Error {
  constructor(reason, text) {
    super(text);
    this.reason = reason;
  }
}

export class Connection {
  // on.state({state, retryAt}): 'wait', 'live', 'lost' or 'off'; on.trouble(text): what the broker
  // said was wrong and nobody here waits for.
  constructor(on) {
    Object.assign(this, { on, subscriptions: [], asked: new Map(), number: 0, failures: 0, state: 'off' });
    this.back = () => !document.hidden && this.state === 'lost' && this.retry();
  }

  // {topic, credit, options, takes(topic), message(topic, text), gap(lost, reason), ready()}: it is
  // asked for again with each new connection. Never more than `credit` messages are on their way.
  subscribe(subscription) {
    this.subscriptions.push(subscription);
    if (this.state === 'wait' || this.state === 'live') this.open(subscription);
  }

  start() {
    if (this.socket) return;
    document.addEventListener('visibilitychange', this.back); // twice is once
    addEventListener('online', this.back);
    this.change('wait');
    const socket = new WebSocket(url(), 'json');
    this.socket = socket;
    this.heard = performance.now();
    socket.onopen = () => this.subscriptions.forEach((s) => this.open(s));
    socket.onmessage = (e) => this.receive(e.data);
    socket.onclose = () => this.lost(socket);
    clearInterval(this.watch);
    this.watch = setInterval(() => this.look(socket), 1000);
  }

  stop() {
    const socket = this.socket;
    document.removeEventListener('visibilitychange', this.back);
    removeEventListener('online', this.back);
    this.leave();
    this.change('off');
    if (socket) socket.close();
  }

  retry() {
    clearTimeout(this.timer);
    if (!this.socket && this.state !== 'off') this.start();
  }

  // ---- what goes up

  say(id, data) {
    this.raw(JSON.stringify({ id, data }));
  }

  raw(text) {
    if (this.socket && this.socket.readyState === WebSocket.OPEN) this.socket.send(text);
  }

  // A call to the service admin: its answer.
  ask(method, data = {}) {
    return this.expect('request', (request) =>
      this.raw(JSON.stringify({ id: '$request', data: { service: 'admin', method, request, data } })));
  }

  // `members`: JSON texts by name, which go as they are: no number is rounded. {matched, accepted}.
  publish(members) {
    return this.expect('confirm', (confirm) => {
      const text = Object.entries({ ...members, confirm }).map(([k, v]) => `${JSON.stringify(k)}:${v}`);
      this.raw(`{"id":"$publish","data":{${text.join(',')}}}`);
    });
  }

  expect(kind, send) {
    return new Promise((resolve, reject) => {
      if (this.state !== 'live') {
        reject(new Refused('', 'there is no connection'));
        return;
      }
      const number = ++this.number;
      const timer = setTimeout(() => this.settle(kind, number, new Refused('', 'no answer came')), ASK_MS);
      this.asked.set(`${kind} ${number}`, { resolve, reject, timer });
      send(number);
    });
  }

  settle(kind, number, what) {
    const one = this.asked.get(`${kind} ${number}`);
    if (!one) return false;
    this.asked.delete(`${kind} ${number}`);
    clearTimeout(one.timer);
    if (what instanceof Error) one.reject(what);
    else one.resolve(what);
    return true;
  }

  open(subscription) {
    const { topic, credit, options } = subscription;
    subscription.left = credit;
    subscription.number = 0;
    this.say('$subscribe', { topic, credit, ...options });
  }

  // ---- what comes down

  receive(text) {
    this.heard = performance.now();
    const controls = text.startsWith('{"id":"$') && !text.startsWith('{"id":"$SYS.');
    if (controls) {
      this.control(JSON.parse(text));
      return;
    }
    const topic = topicOf(text);
    const subscription = this.subscriptions.find((s) => s.takes(topic));
    if (!subscription) return;
    subscription.left--;
    subscription.message(topic, text);
    this.grant(subscription);
  }

  // More credit, when half of it is used up; a subscription may say how much it can bear.
  grant(subscription) {
    if (subscription.left * 2 > subscription.credit || !subscription.number) return;
    const room = subscription.credit - subscription.left;
    const n = subscription.allowance ? Math.min(room, subscription.allowance()) : room;
    if (n <= 0) return;
    subscription.left += n;
    this.say('$credit', { subscription: subscription.number, n });
  }

  control({ id, data }) {
    const of = data && data.subscription && this.subscriptions.find((s) => s.number === data.subscription);
    switch (id) {
      case '$subscribed': {
        const asked = JSON.stringify(data.topic);
        const opened = this.subscriptions.find((s) => !s.number && JSON.stringify(s.topic) === asked);
        if (!opened) return;
        opened.number = data.subscription;
        this.failures = 0;
        this.change('live');
        if (opened.ready) opened.ready();
        this.grant(opened);
        return;
      }
      case '$gap':
        if (of && of.gap) of.gap(data.lost, data.reason);
        return;
      case '$reply':
        this.settle('request', data.request, data);
        return;
      case '$confirmed':
        this.settle('confirm', data.confirm, data);
        return;
      case '$error': {
        const error = new Refused(data.reason || '', data.text || 'refused');
        for (const kind of ['request', 'confirm'])
          if (data[kind] && this.settle(kind, data[kind], error)) return;
        this.on.trouble(error.message, error.reason);
        return;
      }
      default:
    }
  }

  // ---- when it ends

  look(socket) {
    if (socket !== this.socket) return;
    if (performance.now() - this.heard > SILENT_MS) {
      socket.close();
      this.lost(socket);
    }
  }

  leave() {
    const socket = this.socket;
    this.socket = null;
    clearInterval(this.watch);
    clearTimeout(this.timer);
    if (socket) socket.onopen = socket.onmessage = socket.onclose = null;
    for (const { reject, timer } of this.asked.values()) {
      clearTimeout(timer);
      reject(new Refused('', 'the connection was lost before an answer came'));
    }
    this.asked.clear();
  }

  lost(socket) {
    if (socket !== this.socket) return;
    this.leave();
    const wait = Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** this.failures++) * (0.75 + Math.random() / 2);
    this.timer = setTimeout(() => this.retry(), wait);
    this.change('lost', Date.now() + wait);
  }

  change(state, retryAt) {
    this.state = state;
    this.on.state({ state, retryAt });
  }
}

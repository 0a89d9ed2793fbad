'use strict';
// A connection to brokerd through the 1.0 line of rsocket-js, which may serve; sides of a channel
// that count what they ask for and get; waiting with a deadline.

const WebSocket = require('ws');
const { RSocketConnector } = require('rsocket-core');
const { TcpClientTransport } = require('rsocket-tcp-client');
const { WebsocketClientTransport } = require('rsocket-websocket-client');
const {
  encodeCompositeMetadata,
  decodeCompositeMetadata,
  encodeRoute,
  WellKnownMimeType,
} = require('rsocket-composite-metadata');

const PATIENCE_MS = 15000 * Number(process.env.SLOW || 1);
const ROUTING = WellKnownMimeType.MESSAGE_RSOCKET_ROUTING;
const HEADERS = 'message/x.broker.headers.v0';

function headerBytes(headers) {
  const parts = [];
  for (const [name, value] of Object.entries(headers)) {
    const length = Buffer.alloc(2);
    length.writeUInt16BE(value.length);
    parts.push(Buffer.from([name.length]), Buffer.from(name), length, Buffer.from(value));
  }
  return Buffer.concat(parts);
}

function metadata(route, headers) {
  const items = [[ROUTING, encodeRoute(route)]];
  if (headers) items.push([HEADERS, headerBytes(headers)]);
  return encodeCompositeMetadata(items);
}

const payload = (route, data, headers) => ({
  data: Buffer.from(data === undefined ? '' : data),
  metadata: metadata(route, headers),
});

function routeOf(p) {
  for (const item of decodeCompositeMetadata(p.metadata)) {
    if (item.mimeType === ROUTING.string) return item.content.slice(1).toString();
  }
  return undefined;
}

function transport(url) {
  if (url.startsWith('ws:')) {
    return new WebsocketClientTransport({ url, wsCreator: (u) => new WebSocket(u) });
  }
  const { hostname, port } = new URL(url.replace(/^tcp:/, 'http:'));
  return new TcpClientTransport({
    // Small frames both ways: with Nagle each turn of 16 takes a delayed ACK, 40 ms.
    connectionOptions: { host: hostname, port: Number(port), noDelay: true },
  });
}

// Connect; `responder` answers calls, `serve` is what it serves from SETUP on.
function connect(url, responder, serve) {
  return new RSocketConnector({
    setup: {
      dataMimeType: 'application/octet-stream',
      metadataMimeType: 'message/x.rsocket.composite-metadata.v0',
      keepAlive: 500,
      lifetime: 20000,
      payload: serve && { data: null, metadata: metadata(`serve/${serve}`) },
    },
    responder,
    transport: transport(url),
  }).connect();
}

// A promise that gives up.
function within(promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer: ${what}`)), PATIENCE_MS);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

// The answer to a request-response; null if there is none.
function ask(rsocket, p, what) {
  return within(
    new Promise((resolve, reject) => {
      rsocket.requestResponse(p, {
        onNext: (answer) => resolve(answer),
        onComplete: () => resolve(null),
        onError: reject,
        onExtension: () => {},
      });
    }),
    what,
  );
}

// One side of a channel: sends `n` payloads as far as it may, asks for `batch` at a time.
class Side {
  constructor(n, batch) {
    Object.assign(this, { n, batch, sent: 0, allowed: 0, got: 0, asked: batch, done: false });
    this.cancelled = false;
    this.error = undefined;
    this.waiting = [];
  }

  happened() {
    this.waiting.splice(0).forEach((look) => look());
  }

  // Called by rsocket-js.
  request(n) {
    this.allowed += n;
    this.pump();
  }

  cancel() {
    this.cancelled = true;
    this.happened();
  }

  onNext(p, isComplete) {
    this.got += 1;
    const number = p.data.readUInt32BE(0);
    if (number !== this.got) this.onError(new Error(`got ${number}, not ${this.got}`));
    if (this.got > this.asked) this.onError(new Error(`${this.got} of ${this.asked} asked for`));
    if (isComplete) this.onComplete();
    else if (this.got === this.asked) {
      this.asked += this.batch;
      this.other.request(this.batch);
    }
    this.happened();
  }

  onComplete() {
    this.done = true;
    this.happened();
  }

  onError(error) {
    this.error = this.error || error;
    this.happened();
  }

  onExtension() {}

  next() {
    const data = Buffer.alloc(16);
    this.sent += 1;
    data.writeUInt32BE(this.sent);
    return data;
  }

  pump() {
    while (!this.cancelled && this.other && this.sent < this.n && this.sent < this.allowed) {
      this.other.onNext({ data: this.next() }, this.sent === this.n);
    }
  }

  until(condition, what) {
    return within(
      new Promise((resolve, reject) => {
        const look = () => {
          if (condition(this)) resolve();
          else if (this.error) reject(this.error);
          else this.waiting.push(look);
        };
        look();
      }),
      what,
    );
  }
}

module.exports = { transport, connect, payload, routeOf, ask, within, Side };

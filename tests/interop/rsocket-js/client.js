'use strict';
// A connection to brokerd through rsocket-js, and the little it does not bring along: brokerd's
// own payloads, promises, and waiting with a deadline.

const {
  RSocketClient,
  BufferEncoders,
  encodeCompositeMetadata,
  encodeRoute,
  decodeCompositeMetadata,
  MESSAGE_RSOCKET_ROUTING,
  MESSAGE_RSOCKET_COMPOSITE_METADATA,
} = require('rsocket-core');
const RSocketTcpClient = require('rsocket-tcp-client').default;
const RSocketWebSocketClient = require('rsocket-websocket-client').default;
const WebSocket = require('ws');
const { Flowable } = require('rsocket-flowable');

const PATIENCE_MS = 10000 * Number(process.env.SLOW || 1);
const HEADERS = 'message/x.broker.headers.v0';

// By TCP or by WebSocket, as the URL says.
function transport(url) {
  if (url.startsWith('ws:')) {
    return new RSocketWebSocketClient({ url, wsCreator: (u) => new WebSocket(u) }, BufferEncoders);
  }
  const { hostname, port } = new URL(url.replace(/^tcp:/, 'http:'));
  // Small frames both ways: with Nagle each turn takes a delayed ACK, 40 ms.
  const address = { host: hostname, port: Number(port), noDelay: true };
  return new RSocketTcpClient(address, BufferEncoders);
}

// Connect; `metadataMimeType` may be another than composite metadata; `responder` answers calls.
function connect(url, metadataMimeType = MESSAGE_RSOCKET_COMPOSITE_METADATA.string, responder) {
  const client = new RSocketClient({
    setup: {
      dataMimeType: 'application/octet-stream',
      keepAlive: 500,
      lifetime: 20000,
      metadataMimeType,
    },
    responder,
    transport: transport(url),
  });
  return promise(client.connect(), 'connect');
}

// A Single as a promise that gives up after PATIENCE_MS.
function promise(single, what) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no answer: ${what}`)), PATIENCE_MS);
    const end = (f) => (v) => {
      clearTimeout(timer);
      f(v);
    };
    single.subscribe({ onComplete: end(resolve), onError: end(reject), onSubscribe: () => {} });
  });
}

function headerBytes(headers) {
  const parts = [];
  for (const [name, value] of Object.entries(headers)) {
    const n = Buffer.from(name);
    const v = Buffer.from(value);
    const length = Buffer.alloc(2);
    length.writeUInt16BE(v.length);
    parts.push(Buffer.from([n.length]), n, length, v);
  }
  return Buffer.concat(parts);
}

function metadata(route, headers) {
  const items = [];
  if (route !== undefined) items.push([MESSAGE_RSOCKET_ROUTING, encodeRoute(route)]);
  if (headers) items.push([HEADERS, headerBytes(headers)]);
  return encodeCompositeMetadata(items);
}

function payload(route, data, headers) {
  return { data: Buffer.from(data || ''), metadata: metadata(route, headers) };
}

// The topic a delivery names, if it does.
function topicOf(p) {
  if (!p.metadata || p.metadata.length === 0) return undefined;
  for (const entry of decodeCompositeMetadata(p.metadata)) {
    if (entry.mimeType === MESSAGE_RSOCKET_ROUTING.string) {
      return entry.content.slice(1, 1 + entry.content[0]).toString();
    }
  }
  return undefined;
}

// A stream down, under credit that the test gives by hand.
class Receiver {
  constructor(flowable, n) {
    this.got = [];
    this.ended = false;
    this.error = undefined;
    this.waiting = [];
    flowable.subscribe({
      onNext: (p) => this.happened(() => this.got.push(p)),
      onComplete: () => this.happened(() => (this.ended = true)),
      onError: (e) => this.happened(() => (this.error = e)),
      onSubscribe: (s) => {
        this.subscription = s;
        s.request(n);
      },
    });
  }

  happened(what) {
    what();
    this.waiting.splice(0).forEach((look) => look());
  }

  request(n) {
    this.subscription.request(n);
  }

  cancel() {
    this.subscription.cancel();
  }

  // Until the condition holds.
  until(condition, what) {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new Error(`waited for ${what}; got ${this.got.length}, ${this.error}`)),
        PATIENCE_MS,
      );
      const look = () => {
        if (!condition(this)) {
          this.waiting.push(look);
          return;
        }
        clearTimeout(timer);
        resolve();
      };
      look();
    });
  }

  texts() {
    return this.got.map((p) => p.data.toString());
  }
}

// A stream up: payloads wait here until the broker grants credit for them.
class Sender {
  constructor() {
    this.queue = [];
    this.credit = 0;
    this.granted = 0; // in all, without the first, which needs none
    this.sent = 0;
    this.cancelled = false;
    this.flowable = new Flowable((subscriber) => {
      this.subscriber = subscriber;
      subscriber.onSubscribe({
        cancel: () => (this.cancelled = true),
        request: (n) => {
          if (this.sent > 0) this.granted += n;
          this.credit += n;
          this.flush();
        },
      });
    });
  }

  push(p) {
    this.queue.push(p);
    this.flush();
  }

  flush() {
    while (this.subscriber && this.credit > 0 && this.queue.length > 0) {
      this.credit -= 1;
      this.sent += 1;
      this.subscriber.onNext(this.queue.shift());
    }
    if (this.complete && this.queue.length === 0) {
      this.complete = false;
      this.subscriber.onComplete();
    }
  }

  end() {
    this.complete = true;
    this.flush();
  }
}

module.exports = { connect, promise, payload, metadata, topicOf, Receiver, Sender };

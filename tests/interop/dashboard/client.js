'use strict';
// A client of the JSON door over TCP, for tests: says lines, and waits for answers.

const net = require('net');

const MORE_MS = 20000 * Number(process.env.SLOW || 1);

class Client {
  static async open(host) {
    const [name, port] = host.split(':');
    const socket = net.connect(Number(port), name);
    await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject));
    const client = new Client(socket);
    await client.ask('info'); // who says nothing at first is closed
    return client;
  }

  constructor(socket) {
    Object.assign(this, { socket, waiting: [], rest: '' });
    socket.on('data', (data) => this.read(data));
    socket.on('error', () => {});
  }

  read(data) {
    const lines = (this.rest + data).split('\n');
    this.rest = lines.pop();
    for (const line of lines) {
      const message = JSON.parse(line);
      const at = this.waiting.findIndex((w) => w.is(message));
      if (at >= 0) this.waiting.splice(at, 1)[0].resolve(message);
    }
  }

  say(id, data) {
    this.socket.write(`${JSON.stringify({ id, data })}\n`);
  }

  hear(what, is) {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`waited for ${what}`)), MORE_MS);
      this.waiting.push({ is, resolve: (m) => { clearTimeout(timer); resolve(m); } });
    });
  }

  // Say it, and wait for the answer to this.
  ask(method, data = {}) {
    const request = (this.number = (this.number || 0) + 1);
    this.say('$request', { service: 'admin', method, request, data });
    return this.hear(method, (m) => m.data && m.data.request === request).then((m) => {
      if (m.id === '$error') throw new Error(m.data.text);
      return m.data.data;
    });
  }

  async subscribe(topic, options) {
    this.say('$subscribe', { topic, ...options });
    await this.hear(`subscribed to ${topic}`, (m) => m.id === '$subscribed');
  }

  async publish(topic, data) {
    const confirm = (this.number = (this.number || 0) + 1);
    this.say('$publish', { topic, data, confirm });
    return (await this.hear(`confirmed ${topic}`, (m) => m.data && m.data.confirm === confirm)).data;
  }

  end() {
    this.socket.destroy();
  }
}

module.exports = { Client };

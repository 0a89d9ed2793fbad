// A receiver in node that verifies each request with the npm package `standardwebhooks`, and fails
// now and then: by a status, by closing, by answering late. It ends when it has had every event, and
// says on stdout what it did.
//
//     receiver.js SECRET EVENTS [PORT]      (the first line on stdout is its port)
'use strict';

const http = require('http');
const { Webhook } = require('standardwebhooks');

const [secret, events, port] = process.argv.slice(2);
const webhook = new Webhook(secret);
const taken = new Map(); // id of the event: body
const count = { attempts: 0, verified: 0, forged: 0, repeats: 0, status: 0, closed: 0, late: 0 };
let now = 0;
let most = 0;

// One in a row of seven attempts fails in each of three ways.
function misbehave(n) {
  return { 2: 'status', 4: 'closed', 6: 'late' }[n % 7];
}

function take(id, body) {
  if (taken.has(id)) {
    count.repeats += 1;
    if (taken.get(id) !== body) throw new Error(`${id} has changed`);
  }
  taken.set(id, body);
  if (taken.size < Number(events)) return;
  console.log(JSON.stringify({ ...count, most, events: taken.size }));
  setTimeout(() => process.exit(count.forged ? 1 : 0), 100); // the last answer is on its way
}

http.createServer((request, response) => {
  const chunks = [];
  now += 1;
  most = Math.max(most, now);
  response.on('close', () => { now -= 1; });
  request.on('data', (chunk) => chunks.push(chunk));
  request.on('end', () => {
    const body = Buffer.concat(chunks).toString();
    count.attempts += 1;
    try {
      webhook.verify(body, request.headers);
      count.verified += 1;
    } catch (error) {
      count.forged += 1;
      console.error(`not verified: ${error.message}`);
    }
    const how = misbehave(count.attempts);
    if (how) count[how] += 1;
    if (how === 'status') response.writeHead(503).end();
    else if (how === 'closed') request.socket.destroy();
    else if (how !== 'late') { // late: never
      take(request.headers['webhook-id'], body);
      response.writeHead(204).end();
    }
  });
}).listen(Number(port || 0), '127.0.0.1', function () { console.log(this.address().port); });

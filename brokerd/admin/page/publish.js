// The form, and what came of it.
import { $, say, mark, show, plural, clock } from './dom.js';

const isJson = (type) => /^application\/json\b|\+json\b/.test(type);
const utf8 = new TextEncoder();

function payload(data, type) {
  if (type && isJson(type)) {
    if (data.trim() === '') throw new Error('The data is empty, which is not JSON.');
    try {
      JSON.parse(data);
    } catch (e) {
      throw new Error(`The data is not JSON: ${e.message}`);
    }
    return data.replace(/[\r\n]+/g, ' '); // as it stands: no number is rounded
  }
  return JSON.stringify(data);
}

function headers(text) {
  const found = {};
  for (const line of text.split('\n')) {
    if (!line.trim()) continue;
    const at = line.indexOf(':');
    if (at < 1) throw new Error(`A header is "name: value", not "${line.trim()}".`);
    const name = line.slice(0, at).trim();
    const value = line.slice(at + 1).trim();
    found[name] = name in found ? [].concat(found[name], value) : value;
  }
  return found;
}

function read() {
  const type = $('publish-type').value.trim();
  const more = headers($('publish-headers').value);
  const all = { [$('publish-kind').value]: JSON.stringify($('publish-to').value.trim()),
    data: payload($('publish-data').value, type) };
  if (type) all.type = JSON.stringify(type);
  if (Object.keys(more).length) all.headers = JSON.stringify(more);
  if ($('publish-ttl').value) all.ttl = JSON.stringify(Number($('publish-ttl').value));
  if ($('publish-require').checked) all.require = 'true';
  return all;
}

function tell(level, text) {
  const outcome = $('publish-outcome');
  mark(outcome, 'data-level', level);
  say(outcome, text);
  show(outcome, true);
}

function outcome({ matched, accepted }, what) {
  if (matched === 0) return ['warn', `Nobody is there for ${what}: no queue and no subscription matched.`];
  if (accepted < matched) return ['warn', `Accepted by ${accepted} of ${plural(matched, 'queue', 'queues')}.`];
  return ['well', `Accepted by ${matched === 1 ? 'the one queue' : `all ${matched} queues`} that matched.`];
}

export class Publish {
  constructor(connection) {
    this.connection = connection;
    $('publish-form').addEventListener('submit', (e) => {
      e.preventDefault();
      this.send();
    });
    $('publish-form').addEventListener('keydown', (e) => {
      if (e.key === 'Enter' && (e.ctrlKey || e.metaKey)) {
        e.preventDefault();
        $('publish-form').requestSubmit();
      }
    });
    $('publish-kind').addEventListener('change', () => {
      $('publish-to').placeholder = $('publish-kind').value === 'queue' ? 'jobs' : 'orders.eu.created';
    });
  }

  async send() {
    const at = clock(new Date());
    const what = $('publish-to').value.trim();
    try {
      const all = read();
      const size = utf8.encode($('publish-data').value).length;
      tell('wait', 'Under way.');
      const [level, text] = outcome(await this.connection.publish(all), what);
      tell(level, `${at}  ${text} ${plural(size, 'byte', 'bytes')}.`);
    } catch (e) {
      tell('bad', `${at}  ${e.reason !== undefined ? 'Refused, ' : ''}${e.message}`);
    }
  }
}

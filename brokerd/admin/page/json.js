// JSON as it came: cut into members and shown in lines, without reading numbers into doubles.

const TOKEN = /"[^"\\]*(?:\\.[^"\\]*)*"|[{}[\],:]|[^\s{}[\],:"]+/g;
const SHOWN = 20000; // characters of a message that are laid out
const INDENTED = 20; // levels: what is nested thousands deep would become gigabytes of blanks

// The members of an object, their texts untouched.
export function members(text) {
  const found = {};
  let depth = 0;
  let key = null;
  let from = -1;
  for (const { 0: token, index } of text.matchAll(TOKEN)) {
    if (depth === 1 && from < 0 && token[0] === '"') key = JSON.parse(token);
    if (depth === 1 && from < 0 && token === ':') from = index + 1;
    if (token === '}' || token === ']') depth--;
    if (from >= 0 && ((depth === 1 && token === ',') || depth === 0)) {
      found[key] = text.slice(from, index).trim();
      from = -1;
    }
    if (token === '{' || token === '[') depth++;
  }
  return found;
}

function kind(token, next) {
  if (token[0] === '"') return next === ':' ? 'key' : 'string';
  return /^[-\d]/.test(token) ? 'number' : 'word';
}

// Lay a JSON text out in lines, with the parts marked, into `node`.
export function pretty(node, text) {
  const tokens = text.slice(0, SHOWN).match(TOKEN) || [];
  let depth = 0;
  let plain = '';
  const line = () => `\n${'  '.repeat(Math.max(0, Math.min(depth, INDENTED)))}`;
  const flush = () => {
    if (plain) node.append(plain);
    plain = '';
  };
  tokens.forEach((token, i) => {
    const next = tokens[i + 1];
    if (token === '{' || token === '[') {
      depth++;
      plain += token + (next === '}' || next === ']' ? '' : line());
    } else if (token === '}' || token === ']') {
      depth--;
      plain += (/[{[]/.test(tokens[i - 1] || '') && (tokens[i - 1] || '').length === 1 ? '' : line()) + token;
    } else if (token === ',') {
      plain += token + line();
    } else if (token === ':') {
      plain += ': ';
    } else {
      flush();
      const part = document.createElement('span');
      part.className = `j-${kind(token, next)}`;
      part.textContent = token;
      node.append(part);
    }
  });
  flush();
  if (text.length > SHOWN) node.append(`\n\u2026 ${text.length - SHOWN} more characters`);
}

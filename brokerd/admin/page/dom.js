// What the other files build with: elements, numbers for people, rows that keep their place.
// A text from outside becomes a text node, never markup.

export const $ = (id) => document.getElementById(id);

const SVG = 'http://www.w3.org/2000/svg';

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name === 'on') for (const [event, fn] of Object.entries(value)) node.addEventListener(event, fn);
    else if (value === true) node.setAttribute(name, '');
    else if (value !== false && value !== undefined && value !== null) node.setAttribute(name, value);
  }
  node.append(...children.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== false));
  return node;
}

export const el = (tag, attributes, ...children) =>
  fill(document.createElement(tag), attributes, children);
export const svg = (tag, attributes, ...children) =>
  fill(document.createElementNS(SVG, tag), attributes, children);

// Only what has changed is touched: no flicker, and little work for a screen that stays the same.
export function say(node, text) {
  const now = String(text);
  if (node.textContent !== now) node.textContent = now;
}

export function mark(node, name, value) {
  if (value === null || value === undefined || value === false) {
    if (node.hasAttribute(name)) node.removeAttribute(name);
  } else if (node.getAttribute(name) !== String(value)) {
    node.setAttribute(name, value);
  }
}

export function show(node, shown) {
  if (node.hidden === shown) node.hidden = !shown;
}

// ---- numbers for people

const THIN = '\u202f';

export function full(n) {
  return Math.round(n).toString().replace(/\B(?=(\d{3})+$)/g, THIN);
}

export function short(n) {
  if (n < 10 && n % 1 !== 0) return n.toFixed(1);
  if (n < 10000) return full(n);
  for (const unit of ['k', 'M', 'G', 'T']) {
    n /= 1000;
    if (n < 999.5) return `${n < 100 ? n.toFixed(1).replace(/\.0$/, '') : Math.round(n)}${THIN}${unit}`;
  }
  return n.toExponential(1);
}

export function bytes(n) {
  if (n < 1024) return `${n}${THIN}B`;
  for (const unit of ['KiB', 'MiB', 'GiB']) {
    n /= 1024;
    if (n < 1000 || unit === 'GiB') return `${n < 10 ? n.toFixed(1) : Math.round(n)}${THIN}${unit}`;
  }
  return '';
}

export function span(ms) {
  const s = ms / 1000;
  if (s < 1) return `${Math.round(ms)} ms`;
  if (s < 10) return `${s.toFixed(1)} s`;
  if (s < 120) return `${Math.floor(s)} s`;
  if (s < 7200) return `${Math.floor(s / 60)} min`;
  if (s < 172800) return `${Math.floor(s / 3600)} h`;
  return `${Math.floor(s / 86400)} d`;
}

export const clock = (date) =>
  [date.getHours(), date.getMinutes(), date.getSeconds()].map((n) => String(n).padStart(2, '0')).join(':');

export const plural = (n, one, many) => `${full(n)} ${n === 1 ? one : many}`;

// ---- rows

// Children of `body`, one for each item, kept by key: make(item) gives {node, update(item)}. While
// somebody points at them or has the focus there, they do not change places.
export class Rows {
  constructor(body, key, make) {
    Object.assign(this, { body, key, make, rows: new Map() });
  }

  show(items) {
    const wanted = new Map(items.map((item) => [this.key(item), item]));
    for (const [key, row] of this.rows) {
      if (wanted.has(key)) continue;
      row.node.remove();
      this.rows.delete(key);
    }
    const busy = this.body.matches(':hover') || this.body.contains(document.activeElement);
    let at = this.body.firstChild;
    for (const [key, item] of wanted) {
      let row = this.rows.get(key);
      if (!row) {
        row = this.make(item);
        this.rows.set(key, row);
        this.body.insertBefore(row.node, busy ? null : at);
      } else if (busy) {
        // it stays where it is
      } else if (row.node === at) {
        at = at.nextSibling;
      } else {
        this.body.insertBefore(row.node, at);
      }
      row.update(item);
    }
  }
}

// A bar that says how much of something is used; `ratio` 0 to 1.
export function bar() {
  const inner = el('i');
  const node = el('span', { class: 'bar', 'aria-hidden': 'true' }, inner);
  return {
    node,
    set(ratio, level) {
      const part = Math.max(0, Math.min(1, ratio || 0));
      inner.style.setProperty('--part', (part > 0 ? Math.max(part, 0.012) : 0).toFixed(4));
      mark(node, 'data-level', level);
    },
  };
}

const FEW_PLACES = 30; // a line that has just begun is not a dot in the corner

// A line of values with the surface under it.
export function spark(width, height) {
  const line = svg('path', { class: 'line' });
  const area = svg('path', { class: 'area' });
  const node = svg('svg', { class: 'spark', viewBox: `0 0 ${width} ${height}`,
    preserveAspectRatio: 'none', 'aria-hidden': 'true', focusable: 'false' }, area, line);
  return {
    node,
    draw(values, wanted, top) {
      const places = Math.min(wanted, Math.max(FEW_PLACES, values.length));
      const most = Math.max(top || 0, 1e-9, ...values);
      const step = width / (places - 1);
      const from = width - step * (values.length - 1);
      const points = values.map((v, i) =>
        `${(from + i * step).toFixed(1)} ${(height - 1.5 - (v / most) * (height - 4)).toFixed(1)}`);
      const path = points.length > 1 ? `M${points.join('L')}` : '';
      line.setAttribute('d', path);
      area.setAttribute('d', path && `${path}L${width} ${height}L${from.toFixed(1)} ${height}Z`);
    },
  };
}

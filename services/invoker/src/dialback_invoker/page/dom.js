// The only ways this page makes elements. Strings always become text nodes: nothing that a function, a header or a log
// line contains can turn into markup, and nothing here touches innerHTML.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** An HTML element; `onclick` and its like become listeners, children may be strings or nodes. */
export function el(tag, props, ...children) {
  return fill(document.createElement(tag), props, children);
}

/** The same for SVG. */
export function svg(tag, props, ...children) {
  return fill(document.createElementNS(SVG, tag), props, children);
}

export const byId = (id) => document.getElementById(id);

/** Set text only when it differs, so that idle updates cost no layout and do not disturb a selection. */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

const lists = new WeakMap();

/**
 * Show `items` as the children of `parent`, one node per key. A node that stays is updated in place, so focus, selection
 * and scroll position outlive every change. `make(item)` returns `{node, update(item)}`; `empty()` makes what is shown
 * for no items.
 */
export function keyed(parent, items, key, make, empty) {
  const before = lists.get(parent) ?? new Map();
  const now = new Map();
  if (items.length === 0) {
    const nothing = empty();
    if (before.size > 0 || parent.textContent !== nothing.textContent) parent.replaceChildren(nothing);
    lists.set(parent, now);
    return;
  }
  if (before.size === 0) parent.replaceChildren();
  let at = parent.firstElementChild;
  for (const item of items) {
    const id = key(item);
    if (now.has(id)) continue;
    const row = before.get(id) ?? make(item);
    row.update(item);
    now.set(id, row);
    if (row.node === at) at = at.nextElementSibling;
    else parent.insertBefore(row.node, at);
  }
  while (at) {
    const next = at.nextElementSibling;
    at.remove();
    at = next;
  }
  lists.set(parent, now);
}

const waiting = new Set();

function flush() {
  const due = [...waiting];
  waiting.clear();
  for (const paint of due) paint();
}

/** Run `paint` before the next animation frame, once, however often it is asked for until then. */
export function onFrame(paint) {
  if (waiting.size === 0) requestAnimationFrame(flush);
  waiting.add(paint);
}

export const calm = matchMedia("(prefers-reduced-motion: reduce)");

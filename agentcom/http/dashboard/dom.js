// Builds elements. Texts become text nodes, never markup, whoever wrote them.

const SVG = "http://www.w3.org/2000/svg";

/** An element; `on…` are listeners, `data` its dataset, other properties attributes. */
export function h(tag, properties, ...children) {
  return furnish(document.createElement(tag), properties, children);
}

/** An element of SVG. */
export function svg(tag, properties, ...children) {
  return furnish(document.createElementNS(SVG, tag), properties, children);
}

function furnish(element, properties, children) {
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (name === "data") Object.assign(element.dataset, value);
    else if (name === "value") element.value = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  append(element, children);
  return element;
}

/** Append elements and texts; nothing for null, undefined and false. */
export function append(element, children) {
  for (const child of [children].flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : String(child));
  }
}

/** Replace what is in an element. */
export function fill(element, ...children) {
  element.replaceChildren();
  append(element, children);
}

/**
 * Show a list so that an entry that has not changed keeps its element, and with it the
 * focus and what the reader has marked.
 *
 * `key` names an entry, `render` makes its element; `mark` is what else it is made of.
 */
export function keyed(parent, items, key, render, mark = "") {
  const before = parent.keyed ?? new Map();
  const after = new Map();
  const focused = document.activeElement;
  const held = focused && parent.contains(focused) ? focused : null;
  let refocus = null;
  for (const item of items) {
    const id = String(key(item));
    const looks = JSON.stringify(item) + mark;
    const old = before.get(id);
    if (old && old.looks === looks) {
      after.set(id, old);
    } else {
      const element = render(item);
      if (old && held && old.element.contains(held)) refocus = same(element, old.element, held);
      after.set(id, { looks, element });
    }
  }
  let place = null;
  for (const { element } of after.values()) {
    const next = place === null ? parent.firstChild : place.nextSibling;
    if (element !== next) parent.insertBefore(element, next);
    place = element;
  }
  while (parent.lastChild && parent.lastChild !== place) parent.lastChild.remove();
  parent.keyed = after;
  refocus?.focus({ preventScroll: true });
}

const FOCUSABLE = "a[href], button, input, select, textarea, summary";

function same(element, old, focused) {
  const index = [...old.querySelectorAll(FOCUSABLE)].indexOf(focused);
  return index < 0 ? null : element.querySelectorAll(FOCUSABLE)[index];
}

/**
 * Fill an element anew only where what it shows has changed; so a reader keeps what is
 * marked, a press its button, and what was unfolded stays so.
 */
export function settle(holder, looks, render) {
  const mark = JSON.stringify(looks);
  if (holder.looks === mark) return;
  holder.looks = mark;
  const unfolded = [...holder.querySelectorAll("details")].map((one) => one.open);
  const focused = document.activeElement;
  const index = holder.contains(focused) ? [...holder.querySelectorAll(FOCUSABLE)].indexOf(focused) : -1;
  fill(holder, render());
  holder.querySelectorAll("details").forEach((one, i) => {
    if (unfolded[i]) one.open = true;
  });
  if (index >= 0) holder.querySelectorAll(FOCUSABLE)[index]?.focus({ preventScroll: true });
}

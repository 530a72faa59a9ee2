// Elements out of plain values. Text is always a text node: nothing that a container says becomes markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "on") {
      for (const [event, act] of Object.entries(value)) node.addEventListener(event, act);
    } else {
      node.setAttribute(name, value === true ? "" : value);
    }
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

export const el = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);
export const svg = (tag, attributes = {}, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);
export const by = (id) => document.getElementById(id);

// Only what differs is touched: a page that stands still costs the browser nothing.
export function put(node, text) {
  if (node.textContent !== text) node.textContent = text;
}
export function set(node, name, value) {
  if (value === null || value === undefined || value === false) {
    if (node.hasAttribute(name)) node.removeAttribute(name);
  } else if (node.getAttribute(name) !== String(value)) {
    node.setAttribute(name, value);
  }
}
export function width(node, share) {
  const text = `${(Math.max(0, Math.min(1, share)) * 100).toFixed(2)}%`;
  if (node.style.width !== text) node.style.width = text;
}

// Children of `parent` become those that `items` ask for, by key; those that stay are kept.
export function keyed(parent, items, key, make, update) {
  const known = parent.known ?? (parent.known = new Map());
  const wanted = new Set();
  let place = parent.firstElementChild;
  items.forEach((item, at) => {
    const name = key(item, at);
    wanted.add(name);
    let node = known.get(name);
    if (!node) {
      node = make(item, at);
      known.set(name, node);
    }
    if (node === place) {
      place = place.nextElementSibling;
    } else if (place && node.contains(document.activeElement)) {
      // Moved itself it would lose the focus: what is in between goes behind it.
      while (place !== node) {
        const next = place.nextElementSibling;
        parent.insertBefore(place, node.nextElementSibling);
        place = next;
      }
      place = node.nextElementSibling;
    } else {
      parent.insertBefore(node, place);
    }
    update(node, item, at);
  });
  for (const [name, node] of known) {
    if (!wanted.has(name)) {
      node.remove();
      known.delete(name);
    }
  }
}

export function bytes(count) {
  if (count === null || count === undefined) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let value = count;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  const digits = unit === 0 || value >= 100 ? 0 : value >= 10 ? 1 : 2;
  return `${value.toFixed(digits)} ${units[unit]}`;
}

export const cores = (thousandths) => (thousandths === null || thousandths === undefined ? "–" : (thousandths / 1000).toFixed(2));

export function percent(share) {
  if (share === null || share === undefined || !Number.isFinite(share)) return "–";
  const value = share * 100;
  return `${value > 0 && value < 0.95 ? "<1" : Math.round(value)} %`;
}

export function span(milliseconds) {
  const seconds = Math.max(0, Math.round(milliseconds / 1000));
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86400)} d`;
}

const two = (number) => String(number).padStart(2, "0");
export function clock(time) {
  const date = new Date(time);
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}
export function day(time) {
  const date = new Date(time);
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
}

let fades = 0;
// Tells what was done or has happened: in a corner, and to a screen reader.
export function say(text, isBad = false) {
  const place = by("said");
  put(place, text);
  set(place, "data-is", isBad ? "bad" : "good");
  clearTimeout(fades);
  fades = setTimeout(() => put(place, ""), isBad ? 12000 : 6000);
}

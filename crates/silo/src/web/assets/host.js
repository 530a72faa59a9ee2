// The host's strip: processors, memory in parts that are all of it, swap and pressure.

import { by, bytes, el, keyed, percent, put, set, width } from "./dom.js";

export const SERIES = 8;
const LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

// Each container keeps its letter and its look as long as the page is open, whatever the order.
const places = new Map();
export function place(id) {
  if (!places.has(id)) places.set(id, places.size);
  return places.get(id);
}
export const letter = (id) => LETTERS[place(id) % LETTERS.length];
export const look = (id) => `series s${place(id) % SERIES}`;

const parts = {};

function card(name, title, ...children) {
  parts[name] = el("div", { class: `card ${name}` }, el("h2", {}, title), ...children);
  return parts[name];
}

export function build() {
  parts.cores = el("div", { class: "cores", role: "img" });
  parts.cpuText = el("span", { class: "big" });
  parts.load = el("span", { class: "faint" });
  parts.bar = el("div", { class: "bar-memory", role: "img", id: "memory-bar" });
  parts.zoom = el("div", { class: "bar-memory zoom", "aria-hidden": "true" });
  parts.zoomText = el("p", { class: "faint small" });
  parts.legend = el("ul", { class: "legend" });
  parts.memoryText = el("span", { class: "big" });
  parts.gone = el("strong", { class: "alert-word", hidden: true }, "nearly gone");
  parts.swap = meter("Swap");
  parts.pressures = ["CPU", "Memory", "Disk"].map((name) => meter(name));
  by("host").append(
    card("cpu", "Processors", el("p", { class: "figures" }, parts.cpuText, parts.load), parts.cores),
    card("memory", "Memory", el("p", { class: "figures" }, parts.memoryText, parts.gone), parts.bar, parts.legend, parts.zoomText, parts.zoom),
    card("pressure", "Pressure and swap", ...parts.pressures.map((m) => m.node), parts.swap.node),
  );
}

function meter(name) {
  const fill = el("i");
  const text = el("span", { class: "num" });
  const node = el("div", { class: "meter" }, el("span", {}, name), el("span", { class: "track", "aria-hidden": "true" }, fill), text);
  return { node, fill, text };
}

function tell(meter, share, text, isBad) {
  width(meter.fill, share ?? 0);
  put(meter.text, text);
  set(meter.node, "data-bad", isBad ? "yes" : null);
}

export function show(host, containers, isPast) {
  set(by("host"), "data-past", isPast ? "yes" : null);
  processors(host);
  memory(host, containers);
  host.pressure.forEach((share, at) => {
    tell(parts.pressures[at], share === null ? 0 : share / 100, share === null ? "not counted" : `${share.toFixed(share < 10 ? 1 : 0)} %`, share >= 20);
  });
  const { total, free } = host.swap;
  tell(parts.swap, total ? (total - free) / total : 0, total ? `${bytes(total - free)} of ${bytes(total)}` : "none", total > 0 && free < total / 10);
}

function processors(host) {
  const mean = host.cpus.reduce((sum, share) => sum + share, 0) / Math.max(1, host.cpus.length);
  put(parts.cpuText, percent(mean));
  put(parts.load, `of ${host.cpus.length} · load ${host.load.toFixed(2)}`);
  keyed(parts.cores, host.cpus, (_, at) => at,
    (_, at) => el("span", { class: "core" }, el("span", { class: "track" }, el("i")), el("small", { class: "num" }), el("small", { class: "faint" }, String(at))),
    (node, share) => {
      const fill = node.firstChild.firstChild;
      const height = `${(share * 100).toFixed(1)}%`;
      if (fill.style.height !== height) fill.style.height = height;
      put(node.children[1], `${Math.round(share * 100)}%`);
      set(node, "data-full", share > 0.97 ? "yes" : null);
    });
  set(parts.cores, "data-many", host.cpus.length > 16 ? "yes" : null);
  set(parts.cores, "aria-label", `Each processor: ${host.cpus.map((share) => `${Math.round(share * 100)} %`).join(", ")}`);
}

function memory(host, containers) {
  const info = host.memory;
  const own = containers.filter((one) => one.part > 0).sort((a, b) => place(a.id) - place(b.id));
  const sum = own.reduce((all, one) => all + one.part, 0);
  put(parts.memoryText, `${bytes(info.total - info.available)} of ${bytes(info.total)}`);
  parts.gone.hidden = !info.nearlyGone;
  set(parts.memory, "data-bad", info.nearlyGone ? "yes" : null);
  const rest = [
    { id: "other", name: "Other processes", part: info.other, look: "series other" },
    { id: "cache", name: "Cache", part: info.cache, look: "series cache" },
    { id: "free", name: "Free", part: info.free, look: "series free" },
  ];
  const segments = [...own.map((one) => ({ id: one.id, name: one.name, part: one.part, look: look(one.id), letter: letter(one.id) })), ...rest];
  stack(parts.bar, segments, info.total);
  set(parts.bar, "aria-label", `Memory: ${segments.map((one) => `${one.name} ${bytes(one.part)}`).join(", ")}; together ${bytes(info.total)}`);
  const groups = [{ id: "containers", name: own.length === 1 ? "1 container" : `${own.length} containers`, part: sum, look: "series s0" }, ...rest];
  keyed(parts.legend, groups, (one) => one.id,
    (one) => el("li", {}, el("i", { class: `swatch ${one.look}`, "aria-hidden": "true" }), el("span"), el("b", { class: "num" })),
    (node, one) => {
      put(node.children[1], one.name);
      put(node.children[2], bytes(one.part));
    });
  // Of a large machine containers are a sliver: that is shown enlarged.
  const isSmall = own.length > 0 && sum < info.total / 4;
  parts.zoom.hidden = parts.zoomText.hidden = !isSmall;
  if (isSmall) {
    put(parts.zoomText, `Containers alone: ${bytes(sum)}, ${percent(sum / info.total)} of memory`);
    stack(parts.zoom, segments.slice(0, own.length), sum);
  }
}

function stack(bar, segments, total) {
  keyed(bar, segments, (one) => one.id,
    (one) => el("span", { class: one.look }, el("b"), el("em")),
    (node, one) => {
      const share = one.part / Math.max(1, total);
      set(node, "data-bytes", one.part);
      set(node, "title", `${one.name}: ${bytes(one.part)}, ${percent(share)}`);
      const grow = String(one.part);
      if (node.style.flexGrow !== grow) node.style.flexGrow = grow;
      const room = share * bar.clientWidth;
      put(node.children[0], one.letter && room > 24 ? one.letter : "");
      put(node.children[1], room > 42 + one.name.length * 7.5 ? one.name : "");
    });
}

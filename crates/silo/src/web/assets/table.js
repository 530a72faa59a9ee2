// The containers: a row each, sorted and filtered, chosen with arrows or by a click.

import { by, bytes, cores, el, keyed, percent, put, set, span, svg, width } from "./dom.js";
import { letter, look } from "./host.js";

const LINE = 60;

const limitShare = (used, limit) => (limit ? used / limit : null);
const worst = (one) => (one.pressure ? Math.max(...one.pressure) : null);

// Name, heading, what it means, by what it is sorted: the largest first, but for names.
const COLUMNS = [
  { key: "name", title: "Name", hint: "its letter is its mark in the memory bar", by: null },
  { key: "state", title: "State", hint: "", by: (one) => (one.up ? 1 : 0) },
  { key: "cpu", title: "CPU", hint: "processors it uses, and the share of its limit", by: (one) => one.cpu },
  { key: "line", title: "Last 60 s", hint: "its use of processors over the last minute", by: null, still: true },
  { key: "throttled", title: "Throttled", hint: "share of the periods in which its processor limit stopped it", by: (one) => one.throttled },
  { key: "memory", title: "Memory", hint: "what it holds, then its file cache; the mark is the highest so far", by: (one) => one.held },
  { key: "pressure", title: "Pressure", hint: "share of the time in which some process of it waited", by: worst },
  { key: "pids", title: "Procs", hint: "processes", by: (one) => one.pids },
  { key: "zombies", title: "Zombies", hint: "processes that have ended and nobody waits for", by: (one) => one.zombies },
  { key: "restarts", title: "Restarts", hint: "how often it was started again by itself", by: (one) => one.restarts },
  { key: "event", title: "Last event", hint: "", by: (one) => one.event?.time },
];
const SORTED = COLUMNS.filter((column) => !column.still);

const order = { key: "cpu", reversed: false };
let filter = "";
let shown = [];
let chosen = null;
let choose = () => {};
const parts = { headings: {} };
const lines = new Map();

export function build(onChoose, onOrder) {
  choose = onChoose;
  const heading = (column) => {
    const label = column.still
      ? el("span", { title: column.hint }, column.title)
      : el("button", { type: "button", title: column.hint || null, on: { click: () => sortBy(column.key, onOrder) } }, column.title, el("i", { "aria-hidden": "true" }));
    parts.headings[column.key] = el("th", { scope: "col", role: "columnheader", class: `c-${column.key}` }, label);
    return parts.headings[column.key];
  };
  parts.body = el("tbody", { role: "rowgroup" });
  parts.nobody = el("p", { class: "empty", hidden: true });
  const head = el("thead", { role: "rowgroup" }, el("tr", { role: "row" }, ...COLUMNS.map(heading)));
  by("table").append(el("table", { class: "containers", role: "grid", "aria-labelledby": "containers" }, head, parts.body), parts.nobody);
  parts.body.addEventListener("keydown", keys);
  for (const column of SORTED) by("sort").append(el("option", { value: column.key }, column.title));
  by("sort").addEventListener("change", () => sortBy(by("sort").value, onOrder, true));
  by("filter").addEventListener("input", () => {
    filter = by("filter").value.trim().toLowerCase();
    onOrder();
  });
  by("filter").addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      by("filter").value = filter = "";
      onOrder();
    } else if (event.key === "Enter" || event.key === "ArrowDown") {
      event.preventDefault();
      focus();
    }
  });
}

function sortBy(key, onOrder, isFresh = false) {
  order.reversed = !isFresh && order.key === key && !order.reversed;
  order.key = key;
  onOrder();
}

export const focus = () => parts.body.querySelector("[tabindex='0']")?.focus();

function keys(event) {
  const row = event.target.closest("tr");
  const at = [...parts.body.children].indexOf(row);
  const last = parts.body.children.length - 1;
  const to = { ArrowDown: Math.min(at + 1, last), ArrowUp: Math.max(at - 1, 0), Home: 0, End: last }[event.key];
  if (to !== undefined) {
    event.preventDefault();
    choose(parts.body.children[to].id.slice("row-".length));
    parts.body.children[to].focus();
  } else if (event.key === "Enter" || event.key === " ") {
    event.preventDefault();
    document.querySelector("[role=tab][aria-selected=true]")?.focus();
  }
}

// The line of the last minute: sent whole with the first message, then grown here.
export function remember(containers) {
  for (const one of containers) {
    if (one.line) lines.set(one.id, one.line);
    else if (lines.has(one.id)) lines.get(one.id).push(one.cpu ?? 0);
    else lines.set(one.id, [one.cpu ?? 0]);
    const line = lines.get(one.id);
    line.splice(0, line.length - LINE);
  }
}

function arranged(containers) {
  const column = COLUMNS.find((one) => one.key === order.key);
  const figure = (one) => column.by?.(one) ?? -1;
  const names = (a, b) => a.name.localeCompare(b.name, "en", { numeric: true });
  const matches = (one) => [one.name, one.image, one.state].some((text) => text.toLowerCase().includes(filter));
  const list = containers.filter(matches).sort((a, b) => (column.by ? figure(b) - figure(a) : 0) || (b.up === a.up ? 0 : b.up ? 1 : -1) || names(a, b));
  return order.reversed ? list.reverse() : list;
}

// The chosen one's id, or that of the first when the chosen one has gone.
export function show(containers, time, wanted, isPast) {
  shown = arranged(containers);
  chosen = containers.some((one) => one.id === wanted) ? wanted : shown[0]?.id ?? null;
  put(by("count"), filter ? `${shown.length} of ${containers.length}` : String(containers.length));
  for (const [key, node] of Object.entries(parts.headings)) {
    const direction = key === "name" ? ["ascending", "descending"] : ["descending", "ascending"];
    set(node, "aria-sort", key === order.key ? direction[Number(order.reversed)] : null);
  }
  by("sort").value = order.key;
  parts.nobody.hidden = shown.length > 0;
  if (!shown.length) nobody(containers.length, isPast);
  const tabbable = shown.some((one) => one.id === chosen) ? chosen : shown[0]?.id;
  keyed(parts.body, shown, (one) => one.id, row, (node, one) => {
    update(node, one, time, isPast);
    set(node, "aria-selected", one.id === chosen ? "true" : "false");
    set(node, "tabindex", one.id === tabbable ? "0" : "-1");
  });
  return chosen;
}

function nobody(count, isPast) {
  if (count) put(parts.nobody, "No container matches the filter. Esc drops it.");
  else if (isPast) put(parts.nobody, "There was no container at that time.");
  else parts.nobody.replaceChildren("No containers yet. Start one in a terminal: ", el("code", {}, "silo run -d --name first lab sleep 600"));
}

function row(one) {
  const cell = (key, title, ...children) => el("td", { role: "gridcell", class: `c-${key}`, "data-title": title }, ...children);
  const r = {
    name: el("span", { class: "name" }),
    image: el("span", { class: "image faint" }),
    state: el("span", { class: "state" }),
    cpu: el("span", { class: "num" }),
    cpuOf: el("span", { class: "of faint num" }),
    path: svg("path", { class: "stroke" }),
    area: svg("path", { class: "area" }),
    throttled: el("span", { class: "num" }),
    held: el("i", { class: "held" }),
    cache: el("i", { class: "cached" }),
    peak: el("i", { class: "peak" }),
    memory: el("span", { class: "num" }),
    memoryOf: el("span", { class: "of faint num" }),
    pressure: el("span", { class: "num" }),
    pids: el("span", { class: "num" }),
    zombies: el("span", { class: "num" }),
    restarts: el("span", { class: "num" }),
    event: el("span"),
  };
  const mark = el("i", { class: `swatch ${look(one.id)}`, "aria-hidden": "true" }, letter(one.id));
  r.gauge = el("span", { class: "gauge", role: "img" }, r.cache, r.held, r.peak);
  r.line = svg("svg", { class: "spark", viewBox: `0 0 ${LINE - 1} 20`, preserveAspectRatio: "none", role: "img" }, r.area, r.path);
  const node = el("tr", { role: "row", id: `row-${one.id}`, on: { click: () => choose(one.id) } },
    cell("name", "", mark, r.name, r.image),
    cell("state", "State", r.state),
    cell("cpu", "CPU", r.cpu, r.cpuOf),
    cell("line", "Last 60 s", r.line),
    cell("throttled", "Throttled", r.throttled),
    cell("memory", "Memory", r.memory, r.memoryOf, r.gauge),
    cell("pressure", "Pressure", r.pressure),
    cell("pids", "Procs", r.pids),
    cell("zombies", "Zombies", r.zombies),
    cell("restarts", "Restarts", r.restarts),
    cell("event", "Last event", r.event));
  node.parts = r;
  return node;
}

const alert = (node, isBad) => set(node, "data-bad", isBad ? "yes" : null);

function update(node, one, time, isPast) {
  const r = node.parts;
  set(node, "data-up", one.up ? "yes" : "no");
  put(r.name, one.name);
  set(r.name, "title", one.name);
  put(r.image, one.image);
  set(r.image, "title", one.image);
  put(r.state, one.state);
  set(r.state, "data-is", one.state);
  const cpuShare = limitShare(one.cpu, one.cpuLimit);
  put(r.cpu, one.up ? cores(one.cpu) : "–");
  put(r.cpuOf, !one.up ? "" : one.cpuLimit ? `${percent(cpuShare)} of ${cores(one.cpuLimit)}` : "no limit");
  put(r.throttled, one.up && one.cpuLimit ? percent(one.throttled) : "–");
  alert(r.throttled, one.throttled > 0.25);
  memory(r, one);
  const waited = worst(one);
  put(r.pressure, percent(waited));
  alert(r.pressure, waited >= 0.2);
  const kinds = ["processor", "memory", "disk"];
  set(r.pressure, "title", one.pressure ? one.pressure.map((share, at) => `${kinds[at]} ${percent(share)}`).join(", ") : one.up ? "not counted on this host" : null);
  put(r.pids, one.up ? String(one.pids ?? "–") : "–");
  put(r.zombies, one.up ? String(one.zombies ?? "–") : "–");
  alert(r.zombies, one.zombies > 0);
  put(r.restarts, String(one.restarts ?? "–"));
  alert(r.restarts, one.restarts > 2);
  put(r.event, one.event ? `${one.event.kind === "oom" ? "OOM" : one.event.text} ${span(time - one.event.time)} ago` : "never started");
  set(r.event, "title", one.event ? `${one.event.text}, ${new Date(one.event.time).toLocaleString()}` : null);
  alert(r.event, one.event?.kind === "oom");
  r.line.toggleAttribute("hidden", isPast || !one.up);
  if (!isPast && one.up) spark(r, lines.get(one.id) ?? [], one.cpuLimit);
}

function memory(r, one) {
  put(r.memory, one.up ? bytes(one.held) : "–");
  put(r.memoryOf, !one.up ? "" : one.memoryLimit ? `${percent(one.held / one.memoryLimit)} of ${bytes(one.memoryLimit)}` : "no limit");
  const isFull = one.memoryLimit && one.held > one.memoryLimit * 0.9;
  alert(r.memory, isFull);
  alert(r.gauge, isFull);
  // Without a limit there is no whole to be a part of: twice the highest so far stands for it.
  const whole = one.memoryLimit || 2 * Math.max(one.peak ?? 0, one.usage ?? 0, 1);
  r.gauge.toggleAttribute("hidden", !one.up);
  set(r.gauge, "data-open", one.memoryLimit ? null : "yes");
  width(r.held, (one.held ?? 0) / whole);
  width(r.cache, (one.usage ?? 0) / whole);
  r.peak.toggleAttribute("hidden", !one.peak);
  const left = `${Math.min(100, ((one.peak ?? 0) / whole) * 100).toFixed(1)}%`;
  if (r.peak.style.left !== left) r.peak.style.left = left;
  const text = `holds ${bytes(one.held)}, cache ${bytes(one.cache)}, highest ${bytes(one.peak)}, ${one.memoryLimit ? `limit ${bytes(one.memoryLimit)}` : "no limit"}`;
  set(r.gauge, "aria-label", text);
  set(r.gauge, "title", text);
}

function spark(r, line, limit) {
  const top = Math.max(limit ?? 0, ...line, 10);
  const first = LINE - line.length;
  const points = line.map((value, at) => `${first + at} ${(19 - (value / top) * 18).toFixed(1)}`);
  const path = points.length ? `M${points.join("L")}` : "";
  set(r.path, "d", path);
  set(r.area, "d", path ? `${path}L${LINE - 1} 20L${first} 20Z` : "");
  const high = Math.max(...line, 0);
  set(r.line, "aria-label", `last minute: now ${cores(line.at(-1))}, highest ${cores(high)} processors`);
}

// The timeline, with a cursor that goes back through what is recorded, and the logs on the same clock.

import { ask } from "./link.js";
import { chart, draw, point } from "./chart.js";
import { bytes, clock, cores, day, el, keyed, put, set, span } from "./dom.js";

const SPANS = [[60, "1 min"], [600, "10 min"], [3600, "1 h"], [86400, "24 h"]];
const WORDS = {
  start: ["▶", "started"], die: ["■", "ended"], oom: ["✕", "out of memory"], restart: ["↻", "restarted"], kill: ["!", "signal"],
  pause: ["‖", "frozen"], unpause: ["▶", "goes on"], update: ["±", "limits changed"], stop: ["■", "told to end"],
};
const STEPS = 600;

const t = { length: 600, found: null, asked: 0, id: null };
let past = null;
let moveTo = () => {};

export function timeline(onMove) {
  moveTo = onMove;
  const spanButton = ([seconds, title]) => el("button", { type: "button", "aria-pressed": "false", "data-span": seconds, on: { click: () => { t.length = seconds; t.asked = 0; refresh(); } } }, title);
  t.spans = el("span", { class: "group", role: "group", "aria-label": "How far back" }, ...SPANS.map(spanButton));
  t.read = el("span", { class: "num" });
  t.memory = chart("Memory", bytes);
  t.cpu = chart("Processors", cores);
  t.marks = el("div", { class: "marks", "aria-hidden": "true" });
  t.slider = el("input", { type: "range", id: "scrub", min: "0", max: String(STEPS), step: "1", value: String(STEPS), "aria-label": "Moment that is looked at", on: { input: scrub } });
  t.list = el("ol", { class: "events" });
  t.noEvents = el("p", { class: "faint" }, "Nothing has happened in this time.");
  for (const c of [t.memory, t.cpu]) {
    c.frame.addEventListener("pointerdown", (event) => {
      const box = c.frame.getBoundingClientRect();
      go(t.found.from + ((event.clientX - box.left) / box.width) * (t.found.to - t.found.from));
    });
  }
  return el("div", {}, el("div", { class: "tools" }, t.spans, t.read),
    el("div", { class: "tracks" }, t.slider, t.marks, t.memory.node, t.cpu.node), el("h3", {}, "Events"), t.list, t.noEvents);
}

function scrub() {
  const at = Number(t.slider.value);
  if (at === STEPS && past === null) return;
  go(at === STEPS ? null : t.found.from + (at / STEPS) * (t.found.to - t.found.from));
}

function go(time) {
  if (!t.found) return;
  moveTo(time === null ? null : Math.round(Math.min(time, t.found.to)));
}

export function showTimeline(one, at) {
  past = at;
  if (!one) return;
  if (t.id !== one.id) {
    t.id = one.id;
    t.asked = 0;
    t.found = null;
  }
  // While somebody looks back the picture stands still.
  const pace = Math.min(15000, t.length * 4);
  if (t.asked === 0 || (past === null && Date.now() - t.asked > Math.max(1500, pace))) refresh();
  cursor();
}

async function refresh() {
  t.asked = Date.now();
  const id = t.id;
  for (const button of t.spans.children) set(button, "aria-pressed", Number(button.dataset.span) === t.length ? "true" : "false");
  try {
    const until = past !== null && t.found && past < t.found.from ? past + t.length * 500 : null;
    const found = await ask("timeline", { c: id, span: t.length * 1000, columns: 480, until });
    if (id !== t.id) return;
    t.found = found;
    const base = { from: found.from, to: found.to };
    draw(t.memory, { ...base, kills: found.kills ?? [], values: found.held, above: found.usage, limit: found.memoryLimit });
    draw(t.cpu, { ...base, values: found.cpu, limit: found.cpuLimit });
    marks(found);
    cursor();
  } catch (error) {
    put(t.read, error.message);
  }
}

function marks(found) {
  const events = [...(found.events ?? [])];
  for (const time of found.kills ?? []) {
    if (!events.some((event) => event.action === "oom" && Math.abs(event.time - time) < 1500)) events.push({ time, action: "oom", text: "" });
  }
  events.sort((a, b) => a.time - b.time);
  const key = (event, at) => `${event.time}-${event.action}-${at}`;
  keyed(t.marks, events, key, (event) => el("i", { "data-is": event.action }, WORDS[event.action][0]), (node, event) => {
    node.style.left = `${(((event.time - found.from) / (found.to - found.from)) * 100).toFixed(2)}%`;
  });
  const newest = events.slice(-60).reverse();
  t.noEvents.hidden = newest.length > 0;
  keyed(t.list, newest, key,
    (event) => {
      const [glyph, words] = WORDS[event.action];
      return el("li", { "data-is": event.action }, el("button", { type: "button", class: "link", on: { click: () => go(event.time) } }, el("span", { class: "num" }, clock(event.time))),
        el("i", { "aria-hidden": "true" }, glyph), `${words}${event.text ? ` (${event.text})` : ""}`, el("span", { class: "faint num" }));
    },
    (node, event) => put(node.lastChild, `${span(Date.now() - event.time)} ago`));
}

function cursor() {
  const found = t.found;
  if (!found) return;
  const share = past === null ? null : Math.max(0, Math.min(1, (past - found.from) / (found.to - found.from)));
  point(t.memory, share);
  point(t.cpu, share);
  if (document.activeElement !== t.slider || past === null) t.slider.value = String(share === null ? STEPS : Math.round(share * STEPS));
  const at = share === null ? STEPS : share;
  const column = (values) => values?.[Math.min(values.length - 1, Math.floor(at * (values.length - 1)))];
  const time = past ?? found.to;
  const held = share === null ? found.held?.at(-1) : column(found.held);
  const busy = share === null ? found.cpu?.at(-1) : column(found.cpu);
  const what = held === null || held === undefined ? "did not run" : `${bytes(held)} · ${cores(busy)} processors`;
  put(t.read, `${past === null ? "now" : `${day(time)} ${clock(time)}`} · ${what}`);
  // "now" without figures: a screen reader on the slider would say them each second.
  set(t.slider, "aria-valuetext", past === null ? "now" : `${clock(time)}, ${what}`);
}

// Logs

const l = { isEnd: true };

export function logs() {
  l.list = el("ol", { class: "log", tabindex: "0", "aria-label": "Log of the chosen container" });
  l.list.addEventListener("scroll", () => { l.isEnd = l.list.scrollTop + l.list.clientHeight > l.list.scrollHeight - 8; });
  l.text = el("span", { class: "faint" });
  l.nothing = el("p", { class: "empty", hidden: true });
  return el("div", {}, el("div", { class: "tools" }, l.text), l.list, l.nothing);
}

export function showLogs(detail, one, at) {
  if (!detail) return;
  const lines = detail.lines ?? [];
  put(l.text, lines.length ? `${at === null ? "the newest lines" : `up to ${clock(at)}`}, times are yours` : "");
  l.nothing.hidden = lines.length > 0;
  l.list.hidden = lines.length === 0;
  put(l.nothing, detail.error ?? (one ? `${one.name} has written nothing${at === null ? "" : " by then"}.` : "Choose a container above."));
  const seen = new Map();
  const key = (line) => {
    const name = `${line.time} ${line.stream} ${line.text}`;
    seen.set(name, (seen.get(name) ?? 0) + 1);
    return `${name} ${seen.get(name)}`;
  };
  const wasEnd = l.isEnd || l.of !== detail.of;
  l.of = detail.of;
  keyed(l.list, lines, key,
    (line) => el("li", { "data-stream": line.stream }, el("time", { datetime: line.time, title: line.time, class: "num" }, clock(Date.parse(line.time))), el("span", { class: "sr" }, line.stream === "stderr" ? " error stream: " : " "), el("span", {}, line.text)),
    () => {});
  if (wasEnd) l.list.scrollTop = l.list.scrollHeight;
}

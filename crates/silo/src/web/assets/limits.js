// Limits of the chosen one: set, what would happen first, the effect on the curve, and the way back.

import { act, ask } from "./link.js";
import { chart, draw } from "./chart.js";
import { bytes, cores, el, put, say, set } from "./dom.js";

const MIB = 1048576;
const UNITS = { "": 1, b: 1, k: 1024, m: MIB, g: 1024 * MIB, t: 1024 * 1024 * MIB };

// "64m", "1.5 GiB", "none"; undefined: not understood.
function parseBytes(text) {
  const found = /^([0-9]+(?:\.[0-9]+)?)\s*([bkmgt]?)(?:i?b)?$/i.exec(text.trim());
  return found ? Math.round(Number(found[1]) * UNITS[found[2].toLowerCase()]) : undefined;
}
const parseNumber = (text) => (/^[0-9]+(\.[0-9]+)?$/.test(text.trim()) ? Number(text.trim()) : undefined);

const KINDS = [
  {
    key: "memory", title: "Memory", unit: "for example 64m or 1.5g", parse: parseBytes, show: bytes, least: 6 * MIB,
    limit: (one) => one.memoryLimit, used: (one) => one.held, high: (one) => one.peak,
    type: (value) => (value % MIB ? `${Math.round(value / 1024)}k` : `${value / MIB}m`),
    round: (value) => Math.max(6, Math.round(value / MIB)) * MIB,
  },
  {
    key: "cpu", title: "Processors", unit: "for example 0.5 or 2", show: cores, least: 10,
    parse: (text) => { const value = parseNumber(text); return value === undefined ? undefined : Math.round(value * 1000); },
    limit: (one) => one.cpuLimit, used: (one) => one.cpu, high: (one) => one.cpu,
    type: (value) => String(value / 1000), round: (value) => Math.max(10, Math.round(value / 10) * 10),
  },
  {
    key: "pids", title: "Processes", unit: "for example 100", parse: parseNumber, show: String, least: 1,
    limit: (one) => one.pidsLimit, used: (one) => one.pids, high: (one) => one.pids,
    type: String, round: (value) => Math.max(1, Math.round(value)),
  },
];

// All limits of a container in words.
export const words = (container) => KINDS.map((kind) => `${kind.title.toLowerCase()} ${kind.limit(container) ? kind.show(kind.limit(container)) : "none"}`).join(", ");

const p = { rows: {} };
let one = null;
let control = false;
let asked = {};
let previewing = 0;
let looked = 0;

export function build() {
  p.memory = chart("Memory, last 2 minutes", bytes);
  p.cpu = chart("Processors, last 2 minutes", cores);
  const head = ["Limit", "Set", "Used", "New limit"].map((title) => el("th", { scope: "col" }, title));
  p.preview = el("ul", { class: "forecast" });
  p.forceBox = el("input", { type: "checkbox", id: "force" });
  p.force = el("label", { class: "check", hidden: true, for: "force" }, p.forceBox, " Change it though processes are killed");
  p.apply = el("button", { type: "submit", class: "main", id: "apply" }, "Set");
  p.clear = el("button", { type: "button", on: { click: clear } }, "Clear");
  p.undo = el("button", { type: "button", id: "undo", on: { click: undo } }, "Undo");
  p.readonly = el("p", { class: "hint" }, "This page only looks: it says what would happen. Start it with ", el("code", {}, "silo web --control"), " to change limits.");
  const form = el("form", { class: "limits", on: { submit: apply } },
    el("table", { class: "plain", "aria-label": "Limits" }, el("thead", {}, el("tr", {}, ...head)), el("tbody", {}, ...KINDS.map(row))),
    el("div", { class: "what", role: "status", "aria-live": "polite" }, p.preview), p.force,
    el("p", { class: "buttons" }, p.apply, p.clear, p.undo), p.readonly);
  return el("div", { class: "split" }, form, el("div", { class: "charts" }, p.memory.node, p.cpu.node));
}

function row(kind) {
  const r = {
    set: el("span", { class: "num" }),
    used: el("span", { class: "num" }),
    input: el("input", { type: "text", inputmode: kind.key === "memory" ? "text" : "decimal", id: `limit-${kind.key}`, "aria-label": `New limit: ${kind.title}, ${kind.unit}`, placeholder: kind.unit.replace("for example ", ""), autocomplete: "off", spellcheck: "false", on: { input: () => edited(kind) } }),
  };
  p.rows[kind.key] = r;
  const button = (text, label, change) => el("button", { type: "button", class: "small", "aria-label": label, title: label, on: { click: () => { r.input.value = change(); edited(kind); } } }, text);
  const current = () => (typeof asked[kind.key] === "number" && asked[kind.key] > 0 ? asked[kind.key] : kind.limit(one) || kind.high(one) || kind.least);
  const step = (factor) => () => kind.type(kind.round(Math.max(kind.least, current() * factor)));
  return el("tr", {}, el("th", { scope: "row" }, kind.title), el("td", { "data-title": "Set" }, r.set), el("td", { "data-title": "Used" }, r.used),
    el("td", { class: "edit" }, r.input, button("−", `${kind.title}: a tenth less`, step(0.9)), button("+", `${kind.title}: a tenth more`, step(1.1)), button("none", `${kind.title}: no limit`, () => "none")));
}

function edited(kind) {
  const r = p.rows[kind.key];
  const text = r.input.value.trim().toLowerCase();
  const value = text === "" ? null : text === "none" ? -1 : kind.parse(text);
  const isBad = value === undefined || (value !== null && value !== -1 && value < kind.least);
  set(r.input, "aria-invalid", isBad ? "true" : null);
  asked[kind.key] = isBad ? undefined : value;
  clearTimeout(previewing);
  previewing = setTimeout(preview, 250);
  buttons();
}

const wanted = () => Object.fromEntries(Object.entries(asked).filter(([, value]) => value !== null && value !== undefined));
const isBad = () => Object.values(asked).some((value) => value === undefined);

function buttons() {
  p.apply.hidden = p.undo.hidden = !control;
  p.readonly.hidden = control;
  p.apply.disabled = isBad() || !Object.keys(wanted()).length;
  p.clear.disabled = Object.values(p.rows).every((r) => r.input.value === "");
  p.undo.disabled = !one?.changes;
  put(p.undo, one?.changes ? `Undo last change (${one.changes})` : "Undo");
}

function tell(lines, isBad = false) {
  p.preview.replaceChildren(...lines.map(([label, text]) => el("li", { "data-bad": (isBad && (label === "memory" || !label)) || label === "killed" ? "yes" : null }, label ? el("b", {}, label) : null, label ? " " : null, text)));
}

async function preview() {
  if (isBad()) {
    const wrong = KINDS.filter((kind) => asked[kind.key] === undefined && p.rows[kind.key].input.value !== "");
    return tell(wrong.map((kind) => ["", `${kind.title}: not understood: ${kind.unit}, at least ${kind.show(kind.least)}`]), true);
  }
  const limits = wanted();
  p.force.hidden = true;
  if (!Object.keys(limits).length) return tell([]);
  const id = one.id;
  try {
    const found = await ask("preview", { c: id, ...limits });
    if (one?.id !== id || JSON.stringify(limits) !== JSON.stringify(wanted())) return undefined;
    const lines = found.lines.map((line) => [line.label, line.text]);
    if (!found.running) lines.push(["", "It does not run: the limit holds from its next start on."]);
    else if (!lines.length) lines.push(["", "Nothing is taken from it."]);
    p.force.hidden = !(found.kills && control);
    if (found.refused) p.apply.disabled = true;
    return tell(lines, found.refused);
  } catch (error) {
    return tell([["", error.message]], true);
  }
}

async function apply(event) {
  event.preventDefault();
  const limits = wanted();
  if (!control || isBad() || !Object.keys(limits).length) return;
  p.apply.disabled = true;
  try {
    const done = await act("limit", { container: one.id, ...limits, force: !p.force.hidden && p.forceBox.checked });
    say(`${done.text} is set`);
    one.changes = (one.changes ?? 0) + 1;
    clear();
  } catch (error) {
    say(error.message, true);
  }
  buttons();
}

async function undo() {
  p.undo.disabled = true;
  try {
    say((await act("undo", { container: one.id })).text);
    one.changes -= 1;
  } catch (error) {
    say(error.message, true);
  }
  buttons();
}

function clear() {
  asked = {};
  for (const r of Object.values(p.rows)) {
    r.input.value = "";
    set(r.input, "aria-invalid", null);
  }
  p.force.hidden = true;
  p.forceBox.checked = false;
  tell([]);
  buttons();
}

export function show(container, mayChange) {
  control = mayChange;
  if (one?.id !== container.id) {
    one = container;
    clear();
    looked = 0;
  }
  const changes = Math.max(container.changes ?? 0, 0);
  one = { ...container, changes };
  for (const kind of KINDS) {
    const limit = kind.limit(one);
    put(p.rows[kind.key].set, limit ? kind.show(limit) : "none");
    put(p.rows[kind.key].used, one.up && kind.used(one) !== undefined ? kind.show(kind.used(one)) : "–");
  }
  buttons();
  if (Date.now() - looked > 1500) curves();
}

async function curves() {
  looked = Date.now();
  const id = one.id;
  try {
    const found = await ask("timeline", { c: id, span: 120000, columns: 240 });
    if (one?.id !== id) return;
    const base = { from: found.from, to: found.to, kills: found.kills };
    draw(p.memory, { ...base, values: found.held, above: found.usage, limit: found.memoryLimit, proposed: asked.memory > 0 ? asked.memory : null });
    draw(p.cpu, { ...base, values: found.cpu, limit: found.cpuLimit, proposed: asked.cpu > 0 ? asked.cpu : null, kills: [] });
  } catch {
    // The next second tries again; a lost server is said above.
  }
}

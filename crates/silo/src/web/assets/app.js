// The page: what is chosen, what is looked at and when; hands each second's message to its parts.

import { ask, hasToken, live } from "./link.js";
import { by, clock, day, el, put, say, set, span } from "./dom.js";
import * as detail from "./detail.js";
import * as help from "./help.js";
import * as host from "./host.js";
import * as limits from "./limits.js";
import * as past from "./past.js";
import * as table from "./table.js";

const VIEWS = ["processes", "namespaces", "limits", "timeline", "logs"];

const state = {
  view: "processes",
  chosen: null,
  // Milliseconds since the epoch; null: now.
  past: null,
  then: null,
  thenLogs: null,
  message: null,
  detail: null,
  hello: { control: false, name: "" },
};
let stop = () => {};
let listens = "";
let events = new Map();
let helpDialog = null;

const containers = () => (state.past !== null ? state.then?.containers : state.message?.containers) ?? [];
const chosen = () => containers().find((one) => one.id === state.chosen) ?? null;
// A limit is changed now, whatever moment is looked at.
const present = () => (state.message?.containers ?? []).find((one) => one.id === state.chosen) ?? null;

function listen() {
  const values = { view: state.view, c: state.view === "host" || state.view === "namespaces" ? "" : state.chosen };
  const key = JSON.stringify(values);
  if (listens === key) return;
  stop();
  listens = key;
  stop = live(values, hear, lost);
}

function hear(message) {
  if (message.error) return lost(new Error(message.error));
  set(by("link"), "data-is", state.past === null ? "live" : "past");
  by("trouble").hidden = true;
  document.body.removeAttribute("data-lost");
  if (message.hello) hello(message.hello);
  table.remember(message.containers);
  state.message = message;
  if (message.detail) state.detail = { ...message.detail, view: JSON.parse(listens).view };
  announce(message.containers);
  show();
  return undefined;
}

function hello(said) {
  state.hello = said;
  put(by("hostname"), said.name);
  put(by("mode"), said.control ? "control" : "read-only");
  set(by("mode"), "data-is", said.control ? "control" : "look");
  set(by("mode"), "title", said.control ? "This page may change limits and send signals" : "This page changes nothing: it was started without --control");
  document.title = `Silo · ${said.name}`;
}

function lost(error) {
  set(by("link"), "data-is", "lost");
  put(by("link").lastElementChild, "not connected");
  document.body.setAttribute("data-lost", "yes");
  const text = error.message.charAt(0).toUpperCase() + error.message.slice(1);
  put(by("trouble"), `${text}${text.endsWith("?") ? "" : "."}${error.status === 401 ? "" : " Trying again…"}`);
  by("trouble").hidden = false;
}

// What a screen reader should hear of: nothing that moves every second.
function announce(list) {
  const now = new Map(list.map((one) => [one.id, { event: one.event ? `${one.event.kind} ${one.event.time}` : "", limits: limits.words(one) }]));
  for (const one of list) {
    const [before, after] = [events.get(one.id), now.get(one.id)];
    if (!before) continue;
    if (before.event !== after.event && one.event && one.event.kind !== "started") say(`${one.name}: ${one.event.text}`, one.event.kind === "oom");
    else if (before.limits !== after.limits) say(`${one.name}: limits are now ${after.limits}`);
  }
  events = now;
}

function show() {
  const { message } = state;
  if (!message) return;
  const isPast = state.past !== null;
  const time = isPast ? state.past : message.time;
  put(by("link").lastElementChild, isPast ? "in the past" : "live");
  set(by("link"), "data-is", isPast ? "past" : "live");
  host.show(message.host, message.containers, isPast);
  const found = table.show(containers(), time, state.chosen, isPast);
  if (found !== state.chosen && !(isPast && !state.then)) {
    state.chosen = found;
    state.detail = null;
  }
  listen();
  by("then").hidden = !isPast;
  if (isPast) put(by("then-text"), `${day(state.past)} ${clock(state.past)}, ${span(message.time - state.past)} ago. Host and processes are not recorded: they are as now.`);
  below(isPast);
}

function below(isPast) {
  const one = chosen() ?? present();
  const control = state.hello.control && !isPast;
  detail.show(state.view, one, { control, isPast });
  const of = state.detail?.view === state.view && (!state.detail.of || state.detail.of === state.chosen) ? state.detail : null;
  if (state.view === "processes" || state.view === "host") detail.showProcesses(state.view, of, present(), state.hello.control);
  else if (state.view === "namespaces") detail.showNamespaces(of, state.chosen);
  else if (state.view === "limits" && present()) limits.show(present(), state.hello.control);
  else if (state.view === "timeline") past.showTimeline(one, state.past);
  else if (state.view === "logs") past.showLogs(isPast ? state.thenLogs : of, one, state.past);
  by("detail").toggleAttribute("data-empty", !one && state.view !== "host" && state.view !== "namespaces");
}

function choose(id) {
  if (id === state.chosen) return;
  state.chosen = id;
  state.detail = null;
  state.thenLogs = null;
  if (state.past !== null) look(state.past);
  show();
}

function tab(view) {
  state.view = view;
  state.detail = null;
  if (state.past !== null) look(state.past);
  show();
}

// Another moment: what was then is asked for once the hand rests.
let resting = 0;
function move(time) {
  state.past = time;
  clearTimeout(resting);
  if (time === null) {
    state.then = state.thenLogs = null;
  } else {
    resting = setTimeout(() => look(time), 120);
  }
  show();
}

async function look(time) {
  try {
    const then = await ask("at", { time });
    if (state.past !== time) return;
    state.then = then;
    if (state.view === "logs" && state.chosen) {
      const logs = await ask("logs", { c: state.chosen, until: time }).catch((error) => ({ error: error.message }));
      if (state.past === time) state.thenLogs = logs;
    }
    show();
  } catch (error) {
    say(error.message, true);
  }
}

const THEMES = [["system", "◐", "as the system"], ["light", "☀", "light"], ["dark", "☾", "dark"]];
function theme(step) {
  const known = localStorage.getItem("silo-theme") ?? "system";
  const at = (THEMES.findIndex(([name]) => name === known) + step) % THEMES.length;
  const [name, glyph, words] = THEMES[Math.max(0, at)];
  localStorage.setItem("silo-theme", name);
  set(document.documentElement, "data-theme", name === "system" ? null : name);
  by("theme").replaceChildren(el("span", { "aria-hidden": "true" }, glyph), el("span", { class: "sr" }, `Colours: ${words}`));
  by("theme").title = `Colours: ${words}`;
}

function key(event) {
  const typing = event.target.matches("input:not([type=range]), select, textarea");
  if (event.ctrlKey || event.metaKey || event.altKey || typing || document.querySelector("dialog[open]")) return;
  const step = { "[": -1, "]": 1 }[event.key];
  const view = VIEWS[Number(event.key) - 1];
  if (event.key === "?") helpDialog.showModal();
  else if (event.key === "/") by("filter").focus();
  else if (event.key === "t") theme(1);
  else if (event.key === "n" || (event.key === "Escape" && state.past !== null)) move(null);
  else if (step && state.message) back(step);
  else if (view) tab(view);
  else return;
  event.preventDefault();
}

function back(step) {
  const time = (state.past ?? state.message.time) + step * 5000;
  move(time >= state.message.time ? null : time);
}

function begin() {
  theme(0);
  helpDialog = help.build();
  by("theme").addEventListener("click", () => theme(1));
  by("now").addEventListener("click", () => move(null));
  document.addEventListener("keydown", key);
  // The whole address, pasted over the one without its token, loads nothing by itself.
  addEventListener("hashchange", () => location.reload());
  if (!hasToken) {
    by("host").hidden = true;
    for (const panel of document.querySelectorAll(".panel")) panel.hidden = true;
    return lost(Object.assign(new Error("this page needs the whole address that 'silo web' printed, with #token= at its end"), { status: 401 }));
  }
  host.build();
  table.build(choose, show);
  detail.build({ processes: detail.processes(), namespaces: detail.namespaces(), limits: limits.build(), timeline: past.timeline(move), logs: past.logs() }, tab, tab, () => present());
  detail.show(state.view, null, { control: false, isPast: false });
  // A page that nobody sees asks for nothing.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      stop();
      listens = "";
    } else listen();
  });
  return listen();
}

begin();

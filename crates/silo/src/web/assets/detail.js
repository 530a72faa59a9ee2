// What lies below the containers: tabs, and of them processes, namespaces, and the menu of signals.

import { act } from "./link.js";
import { by, bytes, el, keyed, put, say, set } from "./dom.js";
import { letter, look } from "./host.js";

const TABS = [
  ["processes", "Processes"],
  ["namespaces", "Namespaces"],
  ["limits", "Limits"],
  ["timeline", "Timeline"],
  ["logs", "Logs"],
];

const SIGNALS = [
  [15, "TERM", "asks it to end"],
  [9, "KILL", "ends it at once"],
  [2, "INT", "as Ctrl-C"],
  [1, "HUP", "its terminal has gone; often: read the settings anew"],
  [19, "STOP", "freezes it"],
  [18, "CONT", "lets it go on"],
  [10, "USR1", "has its own meaning"],
  [12, "USR2", "has its own meaning"],
];

const p = { tabs: {}, panels: {} };
let target = null;

export function build(panels, onTab, onScope, chosen) {
  const tab = ([key, title], at) => {
    p.tabs[key] = el("button", { type: "button", role: "tab", id: `tab-${key}`, "aria-controls": `panel-${key}`, "aria-keyshortcuts": String(at + 1), on: { click: () => onTab(key) } }, title);
    return p.tabs[key];
  };
  const bar = el("div", { class: "tabs", role: "tablist", "aria-label": "Views of the chosen container" }, ...TABS.map(tab));
  bar.addEventListener("keydown", (event) => {
    const at = TABS.findIndex(([key]) => p.tabs[key] === event.target);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: -1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    const [key] = TABS[(to + TABS.length) % TABS.length];
    onTab(key);
    p.tabs[key].focus();
  });
  p.mark = el("i", { class: "swatch", "aria-hidden": "true" });
  p.name = el("h2", { id: "chosen" });
  p.image = el("span", { class: "faint image" });
  p.signal = el("button", { type: "button", id: "signal", on: { click: () => openMenu({ container: chosen(), title: chosen().name }) } }, "Send a signal…");
  p.stale = el("p", { class: "hint", hidden: true }, "Processes and namespaces are not recorded: this is what is there now.");
  by("detail").append(el("div", { class: "head" }, p.mark, p.name, p.image, el("span", { class: "gap" }), p.signal), bar, p.stale);
  for (const [key] of TABS) {
    p.panels[key] = el("div", { role: "tabpanel", id: `panel-${key}`, "aria-labelledby": `tab-${key}`, tabindex: "0", hidden: true }, panels[key]);
    by("detail").append(p.panels[key]);
  }
  p.onScope = onScope;
  p.chosen = chosen;
  p.menu = menu();
  document.body.append(p.menu);
}

export function show(view, one, { control, isPast }) {
  const tab = view === "host" ? "processes" : view;
  for (const [key] of TABS) {
    const is = key === tab;
    set(p.tabs[key], "aria-selected", is ? "true" : "false");
    set(p.tabs[key], "tabindex", is ? "0" : "-1");
    p.panels[key].hidden = !is;
  }
  p.stale.hidden = !(isPast && (tab === "processes" || tab === "namespaces"));
  set(p.mark, "class", one ? `swatch ${look(one.id)}` : "swatch none");
  put(p.mark, one ? letter(one.id) : "");
  put(p.name, one ? one.name : "No container is chosen");
  put(p.image, one ? one.image : "");
  p.signal.hidden = !control || !one?.up;
}

// Processes

const COLUMNS = [
  ["hostPid", "Host pid", "num"], ["pid", "Pid inside", "num"], ["container", "Container", ""], ["user", "User", ""],
  ["cpu", "CPU %", "num"], ["time", "Time", "num"], ["private", "Private", "num"], ["rss", "RSS", "num"], ["oom", "OOM", "num"],
  ["state", "State", ""], ["command", "Command", ""],
];
const STATES = { R: "runs", S: "sleeps", D: "waits for a disk", T: "stopped", t: "traced", Z: "zombie", I: "idle", X: "dead" };

export function processes() {
  p.scope = {};
  const scope = (key, title) => {
    p.scope[key] = el("button", { type: "button", "aria-pressed": "false", on: { click: () => p.onScope(key) } }, title);
    return p.scope[key];
  };
  p.total = el("span", { class: "faint" });
  p.whole = el("button", { type: "button", "aria-pressed": "false", on: { click: whole } }, "Whole command lines");
  p.rows = el("tbody");
  p.heads = Object.fromEntries(COLUMNS.map(([key, title, look]) => [key, el("th", { scope: "col", class: `${look} c-${key}` }, title)]));
  p.act = el("th", { scope: "col", class: "c-act" }, el("span", { class: "sr" }, "Signal"));
  p.table = el("table", { class: "plain processes", "aria-label": "Processes" }, el("thead", {}, el("tr", {}, ...Object.values(p.heads), p.act)), p.rows);
  p.nothing = el("p", { class: "empty", hidden: true });
  return el("div", {}, el("div", { class: "tools" }, el("span", { class: "group", role: "group", "aria-label": "Whose processes" }, scope("processes", "Of this container"), scope("host", "Of the whole host")), p.whole, p.total), el("div", { class: "scroll" }, p.table), p.nothing);
}

export function showProcesses(view, detail, one, control) {
  for (const [key, node] of Object.entries(p.scope)) set(node, "aria-pressed", key === view ? "true" : "false");
  const ofHost = view === "host";
  set(p.table, "data-of", ofHost ? "host" : "container");
  const list = detail?.processes ?? [];
  const text = detail?.error ?? (!ofHost && !one ? "Choose a container above." : !ofHost && one && !one.up ? `${one.name} does not run: it has no processes.` : "");
  p.nothing.hidden = text === "" || list.length > 0;
  put(p.nothing, text);
  p.table.toggleAttribute("hidden", list.length === 0);
  p.whole.hidden = list.length === 0;
  const more = (detail?.total ?? 0) - list.length;
  put(p.total, list.length ? `${detail.total} ${detail.total === 1 ? "process" : "processes"}${more > 0 ? `, the ${ofHost ? "busiest" : "first"} ${list.length} are shown` : ""}` : "");
  keyed(p.rows, list, (process) => `${process.hostPid}-${process.start}-${ofHost}`, () => processRow(ofHost), (node, process) => updateProcess(node, process, ofHost, control));
}

function processRow(ofHost) {
  const r = Object.fromEntries(COLUMNS.map(([key, title, look]) => [key, el("td", { class: `${look} c-${key}`, "data-title": title })]));
  r.tree = el("span", { class: "tree", "aria-hidden": "true" });
  r.words = el("span");
  r.note = el("em", { class: "alert-word" });
  // A long one is two lines until it is clicked, or all are asked for.
  r.whole = el("div", { class: "command" }, r.tree, r.words, r.note);
  r.whole.addEventListener("click", () => r.whole.classList.toggle("whole"));
  r.command.append(r.whole);
  r.kill = el("button", { type: "button", class: "small" }, "Signal…");
  const node = el("tr", {}, ...COLUMNS.map(([key]) => r[key]), el("td", { class: "c-act" }, r.kill));
  node.parts = r;
  r.kill.addEventListener("click", () => {
    const process = node.process;
    const container = ofHost ? { id: process.container, name: process.container } : p.chosen();
    openMenu({ container, pid: process.hostPid, start: process.start, title: `process ${process.hostPid} of ${container.name}: ${process.command}` });
  });
  return node;
}

function whole() {
  const isWhole = p.whole.getAttribute("aria-pressed") !== "true";
  set(p.whole, "aria-pressed", String(isWhole));
  p.table.classList.toggle("whole", isWhole);
}

function updateProcess(node, process, ofHost, control) {
  const r = node.parts;
  node.process = process;
  set(node, "data-pid", process.hostPid);
  put(r.hostPid, String(process.hostPid));
  put(r.pid, process.pid === null ? "–" : String(process.pid));
  put(r.container, process.container ?? "–");
  put(r.user, process.user);
  put(r.cpu, process.cpu.toFixed(1));
  const seconds = process.timeMs / 1000;
  put(r.time, seconds < 60 ? `${seconds.toFixed(1)} s` : `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`);
  put(r.private, bytes(process.private));
  put(r.rss, bytes(process.rss));
  put(r.oom, process.oom === null || process.oom === undefined ? "–" : String(process.oom));
  put(r.state, process.state);
  set(r.state, "title", STATES[process.state]);
  put(r.tree, process.tree ?? "");
  put(r.words, process.command);
  set(r.command, "title", process.command);
  put(r.note, process.zombieOf === null || process.zombieOf === undefined ? "" : ` zombie: ${process.zombieOf} never waits for it`);
  r.kill.hidden = !control || (ofHost && !process.container);
}

// Namespaces

const KINDS = [
  ["pid", "processes"], ["mnt", "file systems"], ["net", "network"], ["ipc", "shared memory"],
  ["uts", "host name"], ["cgroup", "control groups"], ["user", "users"], ["time", "clocks"],
];

export function namespaces() {
  p.grid = el("tbody");
  const heads = KINDS.map(([kind, meaning]) => el("th", { scope: "col" }, kind, el("small", { class: "faint" }, meaning)));
  p.gridTable = el("table", { class: "plain grid", "aria-label": "Namespaces of all containers" }, el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "Container"), ...heads)), p.grid);
  p.gridNothing = el("p", { class: "empty", hidden: true }, "Nothing runs, so there are no namespaces.");
  return el("div", {}, el("p", { class: "hint" }, "A namespace is what a process sees of one kind of thing. ", el("b", {}, "own"), ": private. ", el("b", { class: "alert-word" }, "HOST"), ": the host's, nothing isolates there. ", el("b", {}, "with …"), ": shared with that container."), el("div", { class: "scroll" }, p.gridTable), p.gridNothing);
}

export function showNamespaces(detail, chosenId) {
  const list = detail?.containers ?? [];
  p.gridNothing.hidden = list.length > 0;
  p.gridTable.toggleAttribute("hidden", list.length === 0);
  keyed(p.grid, list, (row) => row.id,
    (row) => el("tr", {}, el("th", { scope: "row" }, row.name), ...KINDS.map(([kind]) => el("td", { "data-title": kind }))),
    (node, row) => {
      set(node, "data-chosen", row.id === chosenId ? "yes" : null);
      KINDS.forEach(([kind], at) => {
        const found = row.kinds[kind];
        const cell = node.children[at + 1];
        put(cell, !found ? "–" : found.host ? "HOST" : found.with.length ? `with ${found.with.join(", ")}` : "own");
        set(cell, "data-is", !found ? "none" : found.host ? "host" : found.with.length ? "with" : "own");
        set(cell, "title", found ? `${kind}:[${found.inode}]` : null);
      });
    });
}

// Signals

function menu() {
  p.menuTitle = el("p", { class: "whom" });
  const button = ([number, name, meaning]) => el("button", { type: "button", class: "signal", on: { click: () => send(number, name) } }, el("b", {}, name), el("span", {}, meaning));
  return el("dialog", { class: "menu", "aria-labelledby": "menu-title" },
    el("h2", { id: "menu-title" }, "Send a signal"), p.menuTitle, el("div", { class: "signals" }, ...SIGNALS.map(button)),
    el("p", { class: "buttons" }, el("button", { type: "button", on: { click: () => p.menu.close() } }, "Cancel")));
}

function openMenu(to) {
  target = to;
  put(p.menuTitle, `to ${to.title}`);
  p.menu.showModal();
}

async function send(signal) {
  p.menu.close();
  const { container, pid, start } = target;
  try {
    say((await act("kill", pid ? { container: container.id, signal, pid, start } : { container: container.id, signal })).text);
  } catch (error) {
    say(error.message, true);
  }
}

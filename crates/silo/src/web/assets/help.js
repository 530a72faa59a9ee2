// What the words mean, and the keys.

import { by, el } from "./dom.js";

const WORDS = [
  ["Limit", "The most that a container may have. Memory above it is refused by killing a process; processors above it by making it wait."],
  ["Throttled", "The kernel gives out a limit of processors in periods of a tenth of a second. This is the share of them in which it was used up, so that the container stood still."],
  ["Memory", "What a container holds and cannot give back. File cache, drawn lighter, is dropped for others when memory is short."],
  ["Peak", "The mark in the memory bar: the highest that it had since it started, cache included."],
  ["Other processes", "Memory of all that is in no container of this Silo."],
  ["Pressure", "Share of the time in which some process had to wait for a processor, for memory or for a disk."],
  ["Host pid, pid inside", "One process, two numbers: what the host calls it, and what it is called in its container."],
  ["Private", "Memory that no other process shares: what would come back if it ended."],
  ["RSS", "All memory of a process that is in RAM, shared parts included."],
  ["OOM", "Out of memory. In the list of processes: how readily the kernel kills it when memory is gone; the highest goes first."],
  ["Zombie", "A process that has ended, and whose parent does not ask how. It uses nothing but its number."],
  ["Namespace", "What a process sees of one kind of thing: processes, files, network, users. HOST means that it sees the host's."],
  ["Timeline", "What the container used: every tenth of a second for ten minutes, every second for a day."],
];

const KEYS = [
  ["↑ ↓", "choose a container"], ["Enter", "to what lies below"], ["1 – 5", "the view below"], ["/", "filter"], ["Esc", "no filter, or back to now"],
  ["[ ]", "back and forth in time"], ["n", "back to now"], ["t", "light, dark, or as the system"], ["?", "this page"],
];

export function build() {
  const close = el("button", { type: "button", on: { click: () => dialog.close() } }, "Close");
  const list = (pairs, name) => el("dl", { class: name }, ...pairs.flatMap(([word, text]) => [el("dt", {}, word), el("dd", {}, text)]));
  const dialog = el("dialog", { class: "help", "aria-labelledby": "help-title" },
    el("div", { class: "head" }, el("h2", { id: "help-title" }, "What the words mean"), el("span", { class: "gap" }), close),
    list(WORDS, "words"), el("h3", {}, "Keys"), list(KEYS, "keys"));
  document.body.append(dialog);
  by("help").addEventListener("click", () => dialog.showModal());
  return dialog;
}

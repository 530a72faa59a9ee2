// A curve over time with its limit, kills and a cursor. Drawn in columns; the words around it are text, so that nothing is stretched.

import { clock, day, el, put, set, svg } from "./dom.js";

export function chart(title, amount) {
  const c = {
    title: el("span", { class: "chart-title" }, title),
    now: el("span", { class: "num" }),
    top: el("span", { class: "num faint y" }),
    usage: svg("path", { class: "usage" }),
    area: svg("path", { class: "area" }),
    stroke: svg("path", { class: "stroke" }),
    limit: svg("path", { class: "limit" }),
    proposed: svg("path", { class: "proposed" }),
    kills: svg("path", { class: "kills" }),
    limitText: el("span", { class: "limit-text num" }),
    cursor: el("i", { class: "cursor", hidden: true }),
    from: el("span", { class: "num" }),
    to: el("span", { class: "num" }),
    nothing: el("p", { class: "faint", hidden: true }),
  };
  c.svg = svg("svg", { viewBox: "0 0 100 100", preserveAspectRatio: "none", role: "img" }, c.usage, c.area, c.stroke, c.limit, c.proposed, c.kills);
  c.frame = el("div", { class: "frame" }, c.svg, c.top, c.limitText, c.cursor, c.nothing);
  c.node = el("figure", { class: "chart" }, el("figcaption", {}, c.title, c.now), c.frame, el("div", { class: "axis faint" }, c.from, c.to));
  c.amount = amount;
  c.name = title;
  return c;
}

// `values` and `above` are columns, null where it did not run.
export function draw(c, { from, to, values = [], above = [], limit = null, proposed = null, kills = [] }) {
  const all = [...values, ...above].filter((value) => value !== null);
  const high = Math.max(0, ...all);
  const near = [limit, proposed].filter((line) => line && line <= high * 2.5);
  const top = Math.max(high * 1.15, ...near.map((line) => line * 1.08), 1);
  const y = (value) => (100 - (value / top) * 100).toFixed(2);
  const count = Math.max(1, values.length - 1);
  const x = (at) => ((at / count) * 100).toFixed(2);
  const paths = (columns, isArea) => {
    let path = "";
    let start = null;
    columns.forEach((value, at) => {
      if (value !== null && start === null) {
        start = at;
        path += isArea ? `M${x(at)} 100L${x(at)} ${y(value)}` : `M${x(at)} ${y(value)}`;
      } else if (value !== null) path += `L${x(at)} ${y(value)}`;
      const ends = value !== null && (at === columns.length - 1 || columns[at + 1] === null);
      if (ends) {
        if (isArea) path += `L${x(at)} 100Z`;
        start = null;
      }
    });
    return path;
  };
  set(c.usage, "d", paths(above, true));
  set(c.area, "d", paths(values, true));
  set(c.stroke, "d", paths(values, false));
  const across = (line) => (line && line <= top ? `M0 ${y(line)}L100 ${y(line)}` : "");
  set(c.limit, "d", across(limit));
  set(c.proposed, "d", across(proposed));
  const place = (time) => (((time - from) / Math.max(1, to - from)) * 100).toFixed(2);
  set(c.kills, "d", kills.map((time) => `M${place(time)} 0L${place(time)} 100`).join(""));
  put(c.top, all.length ? c.amount(top) : "");
  const isDrawn = limit && limit <= top;
  put(c.limitText, limit ? `limit ${c.amount(limit)}${isDrawn ? "" : " ↑ above"}` : "no limit");
  c.limitText.style.top = isDrawn ? `${y(limit)}%` : "0";
  set(c.limitText, "data-at", isDrawn ? "line" : "top");
  const last = values.at(-1) ?? null;
  put(c.now, last === null ? "" : c.amount(last));
  const format = (time) => (to - from > 20 * 3600e3 ? `${day(time).slice(5)} ${clock(time).slice(0, 5)}` : clock(time));
  put(c.from, format(from));
  put(c.to, format(to));
  c.nothing.hidden = all.length > 0;
  put(c.nothing, "nothing is recorded here");
  set(c.svg, "aria-label", `${c.name} from ${clock(from)} to ${clock(to)}: highest ${c.amount(high)}, ${limit ? `limit ${c.amount(limit)}` : "no limit"}${kills.length ? `, out of memory ${kills.length} times` : ""}`);
}

export function point(c, share) {
  c.cursor.hidden = share === null;
  if (share !== null) c.cursor.style.left = `${(share * 100).toFixed(2)}%`;
}

// How times, spans and numbers are written. Times of the hub are Unix milliseconds.

import { h } from "./dom.js";

let skew = 0;

/** The hub's clock as far as it is known, in Unix milliseconds. */
export function now() {
  return Date.now() + skew;
}

/** Learn the hub's clock from an answer's `Date`; seconds are told, so less is no news. */
export function hearClock(date) {
  const told = Date.parse(date ?? "");
  if (Number.isNaN(told)) return;
  const off = told - Date.now();
  skew = Math.abs(off) > 2500 ? off : 0;
}

const clock = new Intl.DateTimeFormat(undefined, {
  hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23",
});
const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const year = new Intl.DateTimeFormat(undefined, { year: "numeric", month: "short", day: "numeric" });
const whole = new Intl.NumberFormat(undefined, { maximumFractionDigits: 0 });

/** The exact time in UTC, to the millisecond. */
export function exact(ms) {
  return new Date(ms).toISOString().replace("T", " ").replace("Z", " UTC");
}

/** A local time as short as it can be understood. */
export function local(ms) {
  const then = new Date(ms);
  const today = new Date(now());
  if (then.toDateString() === today.toDateString()) return clock.format(then);
  if (then.getFullYear() === today.getFullYear()) return `${day.format(then)} ${clock.format(then)}`;
  return `${year.format(then)} ${clock.format(then)}`;
}

/** A local time; its title has the exact one. */
export function time(ms) {
  if (ms === null || ms === undefined) return "–";
  return h("time", { datetime: new Date(ms).toISOString(), title: exact(ms) }, local(ms));
}

/** How long ago, or in how long; kept up to date by `tick`. */
export function ago(ms) {
  if (ms === null || ms === undefined) return "–";
  return h(
    "time",
    { datetime: new Date(ms).toISOString(), title: exact(ms), data: { ago: ms } },
    relative(ms),
  );
}

function relative(ms) {
  const off = now() - ms;
  if (Math.abs(off) < 2000) return "now";
  const whole = Math.abs(off) < 10000 ? `${Math.floor(Math.abs(off) / 1000)} s` : span(Math.abs(off));
  return off > 0 ? `${whole} ago` : `in ${whole}`;
}

/** A span of time, in milliseconds, in its two greatest units. */
export function span(ms) {
  if (ms === null || ms === undefined) return "–";
  if (ms < 1) return "0 ms";
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const s = ms / 1000;
  if (s < 10) return `${Number.isInteger(s) ? s : s.toFixed(1)} s`;
  if (s < 59.5) return `${Math.round(s)} s`;
  if (s < 3600) return two(s, 60, "min", 1, "s");
  if (s < 86400) return two(s, 3600, "h", 60, "min");
  return two(s, 86400, "d", 3600, "h");
}

function two(s, big, bigName, small, smallName) {
  const rest = Math.floor((s % big) / small);
  return `${Math.floor(s / big)} ${bigName}` + (rest ? ` ${rest} ${smallName}` : "");
}

const LEFT = /\b\d+\.\d s\b/g;
const NEAR_MS = 3500;

/**
 * A sentence of the hub in which "12.3 s" that are left until one of `ends`, in Unix
 * milliseconds, go on running down.
 */
export function counting(text, ends) {
  const parts = [];
  let from = 0;
  for (const found of text.matchAll(LEFT)) {
    const at = now() + parseFloat(found[0]) * 1000;
    const end = ends.find((one) => Math.abs(one - at) < NEAR_MS);
    if (!end) continue;
    parts.push(text.slice(from, found.index),
      h("time", { datetime: new Date(end).toISOString(), title: exact(end), data: { left: end } }, left(end)));
    from = found.index + found[0].length;
  }
  return [...parts, text.slice(from)];
}

function left(ms) {
  const s = Math.max(0, Math.round((ms - now()) / 1000));
  return s ? span(1000 * s) : "0 s";
}

/** Bring what `ago` and `counting` made up to date. */
export function tick() {
  for (const element of document.querySelectorAll("time[data-left]")) {
    const text = left(Number(element.dataset.left));
    if (element.textContent !== text) element.textContent = text;
  }
  for (const element of document.querySelectorAll("time[data-ago]")) {
    const text = relative(Number(element.dataset.ago));
    if (element.textContent !== text) element.textContent = text;
  }
}

/** A whole number with its thousands apart. */
export function count(n) {
  return n === null || n === undefined ? "–" : whole.format(n);
}

/** A number and its noun. */
export function many(n, one, more = `${one}s`) {
  return `${count(n)} ${n === 1 ? one : more}`;
}

/** A size of text. */
export function size(characters) {
  if (characters < 1024) return `${characters} B`;
  if (characters < 1048576) return `${Math.round(characters / 1024)} KiB`;
  return `${(characters / 1048576).toFixed(1)} MiB`;
}

/** A text cut to so many characters. */
export function cut(text, most) {
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}

/** JSON for people, cut where it is long. */
export function pretty(value, most = 65536) {
  const text = typeof value === "string" ? value : JSON.stringify(value, null, 2);
  return { text: text.slice(0, most), whole: text.length <= most, length: text.length };
}

/** A status or state as a word. */
export function word(name) {
  return String(name).replaceAll("_", " ");
}

/** How far a task is, from 0 to 1: agents count to 1 or to 100. */
export function share(progress) {
  if (progress === null || progress === undefined) return null;
  return Math.min(1, Math.max(0, progress > 1 ? progress / 100 : progress));
}

// Charts of the last minutes, drawn by uPlot.

import { h, fill } from "./dom.js";

const HEIGHT = 130;
/** Steps of an axis of spans, in milliseconds, that people count time in. */
export const SPAN_STEPS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 15000, 30000,
  60000, 120000, 300000, 600000, 1800000, 3600000, 7200000, 21600000, 43200000, 86400000];

/** Steps of an axis of counts. */
export const COUNT_STEPS = Array.from({ length: 10 }, (_, n) => [1, 2, 5].map((m) => m * 10 ** n)).flat();

const STROKES = ["--chart-1", "--chart-2", "--chart-3"];

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/**
 * One chart: its title, what each line is now or under the pointer, and the lines.
 *
 * `lines` are names; `format` writes a value; `least` is the least height of the scale,
 * so that a line at zero has an axis; `steps` are what the axis may count in.
 */
export class Chart {
  constructor(title, lines, format, least, steps = null) {
    this.lines = lines;
    this.format = format;
    this.least = least;
    this.steps = steps;
    this.data = null;
    this.values = lines.map(() => h("b", {}, "–"));
    this.when = h("span", { class: "hint" });
    this.place = h("div", { class: "plot", "aria-hidden": "true" });
    this.element = h(
      "figure", { class: "panel chart" },
      h("figcaption", {}, h("h2", {}, title), this.when,
        h("ul", { class: "legend" }, lines.map((line, i) => h("li", { data: { line: i + 1 } }, `${line} `, this.values[i])))),
      this.place,
    );
    this.plot = null;
    this.watch = new ResizeObserver(() => this.fit());
    this.watch.observe(this.place);
    this.dark = matchMedia("(prefers-color-scheme: dark)");
    this.repaint = () => this.draw();
    this.dark.addEventListener("change", this.repaint);
  }

  /** Show other values: times in seconds, then a list for each line. */
  show(times, ...values) {
    this.data = [times, ...values];
    if (this.plot) this.plot.setData(this.data);
    else this.draw();
    this.tell(null);
  }

  /** Let go of the page. */
  stop() {
    this.watch.disconnect();
    this.dark.removeEventListener("change", this.repaint);
    this.plot?.destroy();
    this.plot = null;
  }

  fit() {
    const width = this.place.clientWidth;
    if (!width) return;
    if (this.plot) this.plot.setSize({ width, height: HEIGHT });
    else this.draw();
  }

  draw() {
    this.plot?.destroy();
    this.plot = null;
    const width = this.place.clientWidth;
    if (!this.data || !width || !globalThis.uPlot) return;
    const ink = colour("--ink-2");
    const line = colour("--line");
    const axis = { stroke: ink, font: "11px system-ui, sans-serif", grid: { stroke: line, width: 1 }, ticks: { show: false } };
    this.plot = new globalThis.uPlot(
      {
        width, height: HEIGHT, legend: { show: false }, padding: [8, 4, 0, 0],
        cursor: { y: false, drag: { x: false, y: false }, points: { size: 6 } },
        scales: { y: { range: (_, low, high) => [0, Math.max(high ?? 0, this.least) * 1.1] } },
        axes: [
          { ...axis, size: 24, space: 70, grid: { show: false }, values: (_, all) => all.map(minutes) },
          { ...axis, ...(this.steps && { incrs: this.steps }), size: wide, space: 34, values: (_, all) => all.map((v) => (v ? this.format(v) : "0")) },
        ],
        series: [
          {},
          ...this.lines.map((label, i) => ({
            label, stroke: colour(STROKES[i]), width: 1.5, spanGaps: false,
            points: { show: false, filter: alone, size: 5, width: 0, fill: colour(STROKES[i]) },
            fill: i === 0 ? colour("--chart-fill") : undefined,
          })),
        ],
        hooks: { setCursor: [(plot) => this.tell(plot.cursor.idx ?? null)] },
      },
      this.data, this.place,
    );
  }

  /** Write the values at a place; the newest that are known by default. */
  tell(index) {
    if (!this.data) return;
    const times = this.data[0];
    this.values.forEach((value, i) => {
      const line = this.data[i + 1];
      const at = index ?? line.findLastIndex((v) => v !== null);
      const found = at < 0 ? null : line[at];
      fill(value, found === null || found === undefined ? "–" : this.format(found));
    });
    if (index !== null) {
      fill(this.when, `at ${clock(times[index])}`);
      return;
    }
    const newest = Math.max(...this.data.slice(1).map((line) => line.findLastIndex((v) => v !== null)));
    // The newest step may be without a value while it is still being filled.
    fill(this.when, newest < 0 ? "nothing yet" : newest >= times.length - 2 ? "now" : `last, ${clock(times[newest])}`);
  }
}

/** The places whose neighbours have no value: no line goes through them. */
function alone(plot, index) {
  const line = plot.data[index];
  const found = [];
  for (let i = 0; i < line.length; i += 1) {
    if (line[i] !== null && (line[i - 1] ?? null) === null && (line[i + 1] ?? null) === null) found.push(i);
  }
  return found;
}

/** Room for the longest label of an axis, in pixels. */
function wide(_, labels) {
  return Math.max(40, 16 + 6.2 * Math.max(0, ...(labels ?? []).map((label) => label.length)));
}

function clock(s) {
  return new Date(s * 1000).toLocaleTimeString(undefined, { hourCycle: "h23" });
}

function minutes(s) {
  return new Date(s * 1000).toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
}

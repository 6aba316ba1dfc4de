// What the hub does now: what needs attention, charts, agents, queue, tasks.

import { h, fill, keyed, settle } from "../dom.js";
import { get } from "../api.js";
import { COUNT_STEPS, Chart, SPAN_STEPS } from "../charts.js";
import { badge, cell, deadLetters, empty, heading, panel, proposeAgents, table } from "../parts.js";
import { ago, count, cut, span, word } from "../words.js";
import { attention } from "./attention.js";
import { PRIORITIES, STATES } from "../values.js";

const SPANS = [[300, "5 min"], [900, "15 min"], [3600, "1 h"]];

export function overview({ query, root }) {
  let spanS = spanOf(query);
  const needs = h("ul", { class: "attention", "aria-label": "Needs attention" });
  const tiles = h("div", { class: "tiles" });
  const spans = h("div", { class: "row spans", role: "group", "aria-label": "Time shown" });
  const charts = {
    flow: new Chart("Tasks a second", ["submitted", "completed", "failed"], rate, 0.2),
    queued: new Chart("Waiting tasks", ["queued"], count, 1, COUNT_STEPS),
    dispatch: new Chart("Time to dispatch", ["median", "95 %"], span, 10, SPAN_STEPS),
    run: new Chart("Run time", ["median", "95 %"], span, 10, SPAN_STEPS),
  };
  const noCharts = h("div");
  const plots = h("div", { class: "charts" }, Object.values(charts).map((c) => c.element));
  const agents = h("div");
  const queue = h("div");
  const newest = h("tbody");
  const newestHolder = h("div");
  fill(
    root,
    heading("Overview", h("a", { class: "button primary", href: "#/new" }, "New task")),
    needs, tiles,
    h("div", { class: "heading small" }, h("h2", {}, "Throughput and latency"), spans), noCharts, plots,
    h("div", { class: "columns" },
      panel("Agents by state", agents),
      panel("Waiting by priority", queue)),
    panel(h("a", { href: "#/tasks" }, "Newest tasks"), newestHolder),
  );
  const rows = table("Newest tasks", ["Task", "Status", "Agent", "Created"], newest);

  async function refresh() {
    const [stats, listed, ready, latest, series] = await Promise.all([
      get("/api/tasks/stats"), get("/api/agents"), readiness(), get("/api/tasks?limit=8"),
      get(`/api/stats/series?span_s=${spanS}`).catch((error) => error),
    ]);
    proposeAgents(listed.agents);
    deadLetters(stats.by_status.dead_letter);
    const found = await attention(stats, listed.agents, ready);
    keyed(needs, found, (one) => one.key, (one) => h("li", { data: { kind: one.kind } },
      h("a", { href: one.href }, one.text), one.more && h("span", {}, one.more)));
    showTiles(stats, listed.agents);
    showSeries(series);
    settle(agents, listed.agents.map((a) => a.state), () => byState(listed.agents));
    settle(queue, stats.by_priority, () => byPriority(stats.by_priority));
    settle(newestHolder, latest.tasks.length > 0, () => latest.tasks.length ? rows : empty(
      "No task yet. Put one into the queue:", 'agentcom submit "say hello"'));
    keyed(newest, latest.tasks, (t) => t.id, (t) => h("tr", {},
      cell("Task", h("a", { href: `#/tasks/${t.id}` }, cut(t.description || t.id, 90))),
      cell("Status", badge(t.status)),
      cell("Agent", t.agent_id ? h("a", { href: `#/agents/${encodeURIComponent(t.agent_id)}` }, t.agent_id) : "–"),
      cell("Created", ago(t.created_at))));
  }

  function showTiles(stats, all) {
    const by = stats.by_status;
    const slots = all.reduce((sum, a) => sum + a.slots, 0);
    const running = all.reduce((sum, a) => sum + a.running, 0);
    const entries = [
      ["Waiting", by.queued, "#/tasks?status=queued"],
      ["Running", by.assigned + by.working, "#/tasks?status=working"],
      ["Completed", by.completed, "#/tasks?status=completed"],
      ["Dead letters", by.dead_letter, "#/dead-letters", by.dead_letter > 0 ? "bad" : ""],
      ["Agents", all.length, "#/agents"],
      ["Slots taken", `${count(running)} of ${count(slots)}`, "#/agents"],
    ];
    keyed(tiles, entries, (e) => e[0], ([name, value, href, kind]) =>
      h("a", { class: "tile", href, data: { kind: kind ?? "" } },
        h("span", {}, name), h("b", {}, typeof value === "number" ? count(value) : value)));
  }

  function showSeries(series) {
    const known = Array.isArray(series.submitted);
    plots.hidden = !known;
    settle(noCharts, known, () => known ? [] : h("p", { class: "hint" }, "No figures yet."));
    if (!known) return;
    const step = series.step_s;
    const end = series.end / 1000;
    const times = Array.from({ length: series.points }, (_, i) => end - (series.points - 1 - i) * step);
    const perSecond = (list) => list.map((n) => (n === null ? null : n / step));
    charts.flow.show(times, perSecond(series.submitted), perSecond(series.completed), perSecond(series.failed));
    charts.queued.show(times, series.queued);
    charts.dispatch.show(times, series.dispatch_ms.p50, series.dispatch_ms.p95);
    charts.run.show(times, series.run_ms.p50, series.run_ms.p95);
  }

  function showSpans() {
    fill(spans, SPANS.map(([s, text]) => h("a", {
      class: "button quiet", href: s === 900 ? "#/" : `#/?span=${s}`, "aria-current": s === spanS ? "true" : null,
    }, text)));
  }
  showSpans();

  return {
    title: "Overview",
    gap: 2000,
    poll: 5000,
    refresh,
    wants: (event) => event.event !== "task_progress",
    moved(next) {
      spanS = spanOf(next);
      showSpans();
    },
    close() {
      for (const chart of Object.values(charts)) chart.stop();
    },
  };
}

function spanOf(query) {
  const asked = Number(query.get("span"));
  return SPANS.some(([s]) => s === asked) ? asked : 900;
}

function rate(n) {
  return n >= 100 ? count(n) : String(Number(n.toFixed(n >= 10 ? 1 : 2)));
}

/** Whether the hub is ready; it answers 503 where it is not, which is no failure here. */
async function readiness() {
  try {
    return await get("/ready");
  } catch (error) {
    if (error.body?.status === "not_ready") return error.body;
    throw error;
  }
}

function byState(all) {
  if (!all.length) {
    return empty("No agent is connected. Start one on the hub's own machine:",
      "agentcom agent --agent-id NAME --exec COMMAND");
  }
  const counts = STATES.map((state) => [state, all.filter((a) => a.state === state).length]);
  return bars(counts.filter(([, n]) => n), (state) => `#/agents?state=${state}`, badge);
}

function byPriority(counts) {
  return bars(PRIORITIES.map((p) => [p, counts[p] ?? 0]), (p) => `#/tasks?status=queued&priority=${p}`, word);
}

function bars(counts, href, label) {
  const most = Math.max(1, ...counts.map(([, n]) => n));
  return h("ul", { class: "bars" }, counts.map(([name, n]) => h("li", {},
    h("a", { href: href(name) }, label(name)),
    h("meter", { min: 0, max: most, value: n, "aria-label": word(name) }), h("b", {}, count(n)))));
}


// One agent: the three questions of its liveness, its tasks, and what operators do to it.

import { h, fill, settle } from "../dom.js";
import { get, part, post } from "../api.js";
import { badge, bar, block, button, cell, confirm, empty, facts, heading, notice, panel, table } from "../parts.js";
import { lacks, may } from "../session.js";
import { ago, many, time } from "../words.js";
import { chips, slots } from "./agents.js";
import { drainAgent } from "./drains.js";
import { row } from "./tasks.js";

const PAST = 20;

export function agent({ id, root, refresh: again }) {
  const path = `/api/agents/${part(id)}`;
  const top = h("div");
  const about = h("div");
  const live = h("div");
  const drain = h("div");
  const now = h("div");
  const reports = h("div");
  const past = h("div");
  fill(root, top, about, drain, live, now, reports, past);

  async function refresh() {
    const [shown, { tasks }, subscribed] = await Promise.all([
      get(path), get(`/api/tasks?agent_id=${part(id)}&limit=${PAST}`),
      may("agent") ? get(`${path}/subscriptions`).catch(() => null) : null,
    ]);
    const { at, ...liveness } = shown.liveness;
    settle(top, [shown.state === "away", Boolean(shown.drain)], () => head(shown));
    settle(about, [shown.state, shown.status, shown.name, shown.capabilities, shown.labels, shown.running, shown.slots, subscribed], () => said(shown, subscribed));
    settle(drain, shown.drain, () => drained(shown.drain));
    settle(live, liveness, () => three(liveness));
    settle(now, [shown.tasks, liveness.tasks], () => running(shown, liveness));
    settle(reports, [shown.resource_report, shown.wake_result], () => [
      shown.resource_report && panel("Resources, as it told", block(shown.resource_report, path)),
      shown.wake_result && panel("Wake result, as it told", block(shown.wake_result, path))]);
    settle(past, tasks, () => panel(h("a", { href: `#/tasks?agent_id=${part(id)}` }, "Its newest tasks"), tasks.length
      ? table("Its newest tasks", ["Task", "Status", "Priority", "Agent", "Attempts", "Created", "Changed"], h("tbody", {}, tasks.map(row)))
      : h("p", { class: "hint" }, "It has had none that is remembered.")));
  }

  function head(shown) {
    const away = shown.state === "away";
    const why = lacks("admin");
    const act = (what, words) => async () => {
      await post(`${path}/${what}`);
      notice(words);
      again();
    };
    return heading(id,
        h("a", { class: "button", href: `#/new?agent_id=${part(id)}` }, "New task for it"),
        shown.drain ? button("Resume", act("resume", `${id} gets work again.`), { why, kind: "primary" })
          : button("Drain", async () => {
            await drainAgent(id);
            again();
          }, { why }),
        !away && button("Disconnect", async () => {
          const reason = await confirm({
            title: `Disconnect ${id}?`, yes: "Disconnect", danger: true, field: "Why (the agent is told)",
            text: "Its connection is closed; it may come back at once. Its tasks are held for it. To keep work from it, drain it.",
          });
          if (reason === null) return;
          await post(`${path}/disconnect`, reason ? { reason } : {});
          notice(`${id} is disconnected.`);
          again();
        }, { why }));
  }

  function said(shown, subscribed) {
    const away = shown.state === "away";
    return panel(null, facts([
      ["State", badge(shown.state)],
      !away && ["Says", shown.status],
      !away && shown.name !== id && ["Name", shown.name],
      !away && ["Slots", slots(shown)],
      !away && ["Can", chips(shown)],
      ["Channels", !may("agent") ? "not for your token" : subscribed && (subscribed.subscriptions.length
        ? subscribed.subscriptions.slice(0, 20).map((c, i) => [i > 0 && ", ", h("a", { href: `#/channels/${part(c)}` }, c)])
        : "none")],
      ["Messages", h("a", { href: `#/messages?from=${part(id)}` }, "that it sent")],
    ]));
  }

  return {
    title: id, refresh, gap: 1000, poll: 5000,
    wants: (event) => event.agent_id === id && event.event !== "task_progress",
  };
}

function drained(drain) {
  if (!drain) return [];
  return panel("Out of service", h("p", {}, `${drain.by} drains it`, drain.note && `: ${drain.note}`, ". ",
    drain.drained ? "Nothing runs there any more." : "What it has goes on."),
  facts([drain.since && ["Since", time(drain.since)], drain.deadline && ["What runs goes back", time(drain.deadline)]]));
}

const WORK = {
  away: "It is away.", unresponsive: "It let an offer pass without a word.",
  draining: "It is given nothing more.", paused: "It did not take a task, and is left alone for a while.",
  returning: "It is just back and tells what it has.", submits_only: "It has no slots: it takes no offers.",
  full: "All of its slots are taken.", takes_work: "Nothing keeps offers from it.",
};

function three({ connection: c, work: w, tasks }) {
  const heard = tasks.map((t) => t.heard_at).filter((t) => t !== null);
  return h("div", { class: "columns three" },
    panel("Is it there?", h("p", {}, badge(c.state), c.contested && h("strong", {}, " Several agents fight over this id.")), facts([
      c.since && ["Since", ago(c.since)],
      ["Last heard", ago(c.heard_at)],
      c.silence_ends_at && ["Closed if silent", ago(c.silence_ends_at)],
      c.held_until && ["Tasks no longer kept", ago(c.held_until)],
    ])),
    panel("Does it take work?", h("p", {}, badge(w.state), " ", WORK[w.state] ?? ""), facts([
      w.since && ["Since", ago(w.since)],
      ["Last spoke of a task", ago(w.answered_at)],
      w.ignored > 0 && ["Offers let pass", String(w.ignored)],
      w.pause_ends_at && ["Offered work again", ago(w.pause_ends_at)],
      w.probe && ["Tried again", w.probe.at ? ago(w.probe.at) : w.probe.state.replaceAll("_", " ")],
    ])),
    panel("Do its tasks move?", h("p", {}, tasks.length ? many(tasks.length, "task") : "It has none."), tasks.length > 0 && facts([
      ["Last heard of one", heard.length ? ago(Math.max(...heard)) : "–"],
      ["Silent longest", heard.length ? ago(Math.min(...heard)) : "–"],
    ])));
}

const ENDS = [
  ["accept_ends_at", "to accept"], ["attempt_ends_at", "attempt ends"], ["hold_ends_at", "no longer held"],
  ["asked_again_at", "asked again"], ["silence_ends_at", "given up if silent"],
];

function running(shown, liveness) {
  if (!shown.tasks.length) return panel("What it has", empty("Nothing runs there, and nothing waits for it alone."));
  const told = new Map(liveness.tasks.map((t) => [t.task_id, t]));
  return panel("What it has, and what waits for it alone",
    table("Its tasks", ["Task", "Status", "Progress", "Assigned", "Last heard", "Next"], h("tbody", {},
      shown.tasks.slice(0, 100).map((t) => {
        const more = told.get(t.task_id) ?? {};
        return h("tr", {},
          cell("Task", h("a", { href: `#/tasks/${t.task_id}`, class: "id" }, t.task_id)),
          cell("Status", badge(t.status)),
          cell("Progress", bar(t.progress) ?? "–"),
          cell("Assigned", ago(more.assigned_at)),
          cell("Last heard", ago(more.heard_at)),
          cell("Next", ENDS.filter(([name]) => more[name]).map(([name, text]) => [text, " ", ago(more[name]), " "])));
      }))),
    shown.tasks.length > 100 && h("p", { class: "hint" }, `The first 100 of ${shown.tasks.length}.`));
}

// One task: what it is, how far it is, what happened, why it waits, what it gave.

import { h, fill, settle } from "../dom.js";
import { get, part, post, remove } from "../api.js";
import { badge, bar, block, button, confirm, facts, heading, notice, panel } from "../parts.js";
import { lacks } from "../session.js";
import { cut, many, span, time } from "../words.js";
import { LIVING } from "../values.js";
import { Timeline } from "./timeline.js";
import { explained } from "./explained.js";

export function task({ id, root, refresh: again }) {
  const path = `/api/tasks/${part(id)}`;
  const top = h("div");
  const lead = h("div");
  const words = h("div");
  const what = h("div");
  const why = h("div");
  const wrong = h("div");
  const result = h("div");
  const more = h("div");
  const line = new Timeline(id);
  const output = panel("Output", line.output);
  output.hidden = true;
  const happened = panel("What happened", line.element);
  happened.hidden = true;
  const side = h("div", {}, what, more);
  fill(root, top, lead, words, h("div", { class: "task" }, h("div", {}, why, wrong, output, result, happened), side));
  let loaded = null;
  let stale = false;
  let known = null;

  async function refresh() {
    loaded ??= line.load();
    const [shown, told] = await Promise.all([get(path), get(`${path}/explain?limit=20`), loaded.catch((error) => {
      loaded = null;
      throw error;
    })]);
    if (stale) {
      stale = false;
      loaded = line.load();
    }
    if (output.hidden && !line.output.hidden) {
      output.hidden = false;
      line.toEnd();
    }
    known = shown;
    happened.hidden = false;
    document.title = `${cut(shown.description || id, 50)} · AgentCom`;
    settle(top, [shown.status, shown.agent_id], () => head(shown));
    settle(lead, [shown.status, shown.progress], () => far(shown));
    settle(words, shown.description, () => h("pre", { class: "description", tabindex: 0 }, shown.description));
    settle(why, told, () => explained(told));
    settle(wrong, shown.last_error, () => shown.last_error && panel("Last error", h("pre", { class: "block bad", tabindex: 0 }, shown.last_error)));
    settle(result, [shown.result, output.hidden], () => outcome(shown));
    settle(what, [shown, line.began], () => about(shown));
    settle(more, shown, () => asked(shown));
  }

  function head(shown) {
    const living = LIVING.includes(shown.status);
    const actions = [];
    if (living) {
      actions.push(button("Cancel", async () => {
        const reason = await confirm({
          title: "Cancel this task?", yes: "Cancel the task", no: "Keep it", danger: true, field: "Why (the agent is told)",
          text: "It ends for good. The agent that works on it is told to stop.",
        });
        if (reason === null) return;
        await post(`${path}/cancel`, reason ? { reason } : {});
        notice("The task is cancelled.");
        again();
      }, { why: lacks("submit") }));
    }
    if (shown.status === "assigned" || shown.status === "working") {
      actions.push(button("Requeue", async () => {
        const reason = await confirm({
          title: "Take it from its agent?", yes: "Requeue", danger: true, field: "Why",
          text: `${shown.agent_id} is told to stop, and the task goes back to the queue. No attempt is spent.`,
        });
        if (reason === null) return;
        await post(`${path}/requeue`, reason ? { reason } : {});
        notice("The task is back in the queue.");
        again();
      }, { why: lacks("admin") }));
    }
    if (shown.status === "dead_letter") {
      actions.push(button("Retry", async () => {
        await post(`${path}/retry`);
        notice("The task is back in the queue.");
        again();
      }, { why: lacks("submit"), kind: "primary" }));
      actions.push(button("Delete", async () => {
        if ((await confirm({ title: "Delete this task?", yes: "Delete", danger: true, text: "It is gone for good; the log keeps what happened to it." })) === null) return;
        await remove(path);
        notice("The task is deleted.");
        location.hash = "#/dead-letters";
      }, { why: lacks("admin") }));
    }
    return heading(h("span", { class: "id" }, id), ...actions);
  }

  function far(shown) {
    return h("p", { class: "lead row" }, badge(shown.status), LIVING.includes(shown.status) && bar(shown.progress));
  }

  function about(shown) {
    // An attempt that was begun anew, as after a restore, keeps when it was assigned first.
    const began = Math.max(shown.assigned_at ?? 0, line.began);
    const ran = began && !LIVING.includes(shown.status) ? span(shown.updated_at - began) : null;
    const labels = Object.entries(shown.labels);
    return panel("This task", facts([
      (shown.agent_id || shown.status !== "queued") && [shown.status === "queued" ? "Last agent" : "Agent", shown.agent_id && h("a", { href: `#/agents/${part(shown.agent_id)}` }, shown.agent_id)],
      shown.pinned && ["Only for", h("a", { href: `#/agents/${part(shown.pinned)}` }, shown.pinned)],
      ["Priority", shown.priority],
      shown.capabilities.length > 0 && ["Capabilities", shown.capabilities.join(", ")],
      labels.length > 0 && ["Labels", labels.map(([key, value]) => typeof value === "string" ? `${key}=${value}` : `${key} ${JSON.stringify(value)}`).join(", ")],
      ["Attempts", `${shown.attempts} of ${shown.max_attempts}${shown.series > 1 ? `, series ${shown.series}` : ""}`],
      ["Generation", String(shown.generation)],
      shown.requeues > 0 && ["Went back", many(shown.requeues, "time")],
      [shown.origin === "push" ? "Pushed by" : "Submitted by", shown.submitted_by],
      ["Created", time(shown.created_at)],
      shown.assigned_at && ["Assigned", time(began)],
      ["Changed", time(shown.updated_at)],
      ran && ["Last attempt took", ran],
      shown.status === "queued" && shown.ready_at && ["Not before", time(shown.ready_at)],
      shown.expires_at && ["Expires", time(shown.expires_at)],
      shown.tokens_used !== null && ["Tokens used", String(shown.tokens_used)],
    ]));
  }

  function asked(shown) {
    const seconds = (n) => (n === null ? null : span(n * 1000));
    return [
      Object.keys(shown.metadata).length > 0 && panel("Metadata", block(shown.metadata, path)),
      h("details", { class: "panel" }, h("summary", {}, "What was asked for"), facts([
        shown.capabilities.length === 0 && ["Capabilities", "none"],
        Object.keys(shown.labels).length === 0 && ["Labels", "none"],
        ["Backoff", `${shown.backoff.initial_s} s × ${shown.backoff.factor}, ${shown.backoff.max_s} s at most`],
        ["Accept within", seconds(shown.accept_timeout_s)],
        ["An attempt ends after", seconds(shown.attempt_timeout_s) ?? "no limit"],
        ["Waits at most", seconds(shown.queue_timeout_s) ?? "no limit"],
        ["Deadline", shown.deadline === null ? "none" : time(shown.deadline)],
        ["Held for its agent", seconds(shown.hold_s)],
        ["On disconnect", shown.on_disconnect],
        ["Idempotency key", shown.idempotency_key ?? "none"],
        ["Raw", h("a", { href: path, target: "_blank", rel: "noopener" }, "JSON")],
      ])),
    ];
  }

  function outcome(shown) {
    if (shown.result === null) return null;
    const told = shown.result;
    if (output.hidden || typeof told !== "object" || !("output" in told)) return panel("Result", block(told, path));
    const { output: printed, ...rest } = told;
    return panel("Result", Object.keys(rest).length > 0 && block(rest, path),
      h("p", { class: "hint" }, "Its output is above, and in the ", h("a", { href: path, target: "_blank", rel: "noopener" }, "raw task"), "."));
  }

  /** Whether agents that come and go change where the task is, or why it waits. */
  function concerns(event) {
    if (known?.status === "queued" || event.agent_id === null) return true;
    return LIVING.includes(known?.status) && event.agent_id === known.agent_id;
  }

  return {
    title: id,
    gap: 700,
    poll: 15000,
    refresh,
    wants(event) {
      line.hear(event);
      return event.task_id === id || (event.topic === "presence" && concerns(event));
    },
    anew() {
      stale = true;
    },
    close: () => line.close(),
  };
}

// Tasks that failed for good: retry or delete some, or all of an error.

import { h, fill, keyed, settle } from "../dom.js";
import { get, post, url } from "../api.js";
import { agentField, button, cell, confirm, empty, field, heading, notice, table } from "../parts.js";
import { lacks } from "../session.js";
import { ago, count, cut, many } from "../words.js";

const FILTERS = ["last_error", "agent_id"];
const PAGE = 100;

export function deadLetters({ query, root, refresh: again }) {
  let asked = query;
  let total = 0;
  const chosen = new Set();
  const inputs = {
    last_error: h("input", { type: "text", autocomplete: "off", spellcheck: "false", placeholder: "just this text" }),
    agent_id: agentField(""),
  };
  const form = h("form", { class: "filters" }, field("Error", inputs.last_error), field("Agent", inputs.agent_id),
    h("a", { class: "button quiet", href: "#/dead-letters" }, "Clear"));
  const actions = h("div", { class: "row actions", role: "group", "aria-label": "With dead letters" });
  const errors = h("ul", { class: "errors", "aria-label": "Errors of this page" });
  const all = h("input", { type: "checkbox", "aria-label": "Choose all on this page" });
  const body = h("tbody");
  const holder = h("div");
  const pages = h("nav", { class: "row pages", "aria-label": "Pages" });
  const list = table("Dead letters", [all, "Task", "Last error", "Agent", "Attempts", "Given up"], body);
  fill(root, heading("Dead letters"), form, errors, actions, holder, pages);
  load();
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    go();
  });
  form.addEventListener("change", go);
  all.addEventListener("change", () => {
    for (const box of body.querySelectorAll("input[type=checkbox]")) {
      box.checked = all.checked;
      choose(box.value, all.checked);
    }
  });

  function go() {
    const hash = url("#/dead-letters", Object.fromEntries(FILTERS.map((n) => [n, inputs[n].value.trim()])));
    if (hash !== location.hash) location.hash = hash;
  }

  function load() {
    for (const name of FILTERS) inputs[name].value = asked.get(name) ?? "";
    chosen.clear();
    all.checked = false;
  }

  function choose(id, yes) {
    if (yes) chosen.add(id);
    else chosen.delete(id);
    showActions();
  }

  function filters() {
    return Object.fromEntries(FILTERS.filter((n) => asked.get(n)).map((n) => [n, asked.get(n)]));
  }

  function showActions() {
    const some = Object.keys(filters()).length > 0;
    const those = some ? "all that match" : `all ${count(total)}`;
    const none = chosen.size ? null : "Choose some first.";
    settle(actions, [total, [...chosen], those], () => total > 0 && [
      button(`Retry chosen (${chosen.size})`, () => retry({ task_ids: [...chosen] }), { why: lacks("submit") ?? none, kind: "primary" }),
      button(`Retry ${those}`, async () => {
        const yes = await confirm({ title: `Retry ${those}?`, yes: "Retry", text: "Each is given a new series of attempts." });
        if (yes !== null) await retry(some ? filters() : { all: true });
      }, { why: lacks("submit") }),
      button(`Delete chosen (${chosen.size})`, () => drop({ task_ids: [...chosen] }, many(chosen.size, "dead letter")), { why: lacks("admin") ?? none }),
      button(`Delete ${those}`, () => drop(some ? filters() : { all: true }, those), { why: lacks("admin") }),
    ]);
  }

  async function retry(body) {
    const told = await post("/api/tasks/dead-letter/retry", body);
    done(`${many(told.retried, "task")} back in the queue`, told.skipped);
  }

  async function drop(body, words) {
    const yes = await confirm({ title: `Delete ${words}?`, yes: "Delete", danger: true, text: "They are gone for good; the log keeps what happened to them." });
    if (yes === null) return;
    const told = await post("/api/tasks/dead-letter/delete", body);
    done(`${many(told.deleted, "task")} deleted`, told.skipped);
  }

  function done(words, skipped) {
    notice(`${words}${skipped ? `, ${skipped} were none any more` : ""}.`);
    chosen.clear();
    all.checked = false;
    again();
  }

  async function refresh() {
    const wanted = filters();
    const [told, stats] = await Promise.all([
      get(url("/api/tasks/dead-letter", { ...wanted, limit: PAGE, cursor: asked.get("cursor") })), get("/api/tasks/stats"),
    ]);
    total = stats.by_status.dead_letter;
    settle(holder, told.tasks.length ? "" : [total], () => told.tasks.length ? list
      : empty(total ? "No dead letter is like that." : "No dead letters: nothing has failed for good."));
    const there = new Set(told.tasks.map((t) => t.id));
    for (const id of chosen) if (!there.has(id)) chosen.delete(id);
    keyed(body, told.tasks, (t) => t.id, row);
    const groups = new Map();
    for (const t of told.tasks) groups.set(t.last_error, (groups.get(t.last_error) ?? 0) + 1);
    const most = [...groups].filter(([e]) => e).sort((a, b) => b[1] - a[1]).slice(0, 6);
    keyed(errors, wanted.last_error ? [] : most, ([e]) => e, ([e, n]) => h("li", {},
      h("a", { href: url("#/dead-letters", { ...wanted, last_error: e }) }, h("b", {}, `${n}×`), ` ${cut(e, 90)}`)));
    showActions();
    settle(pages, [wanted, asked.get("cursor"), told.cursor], () => [
      asked.get("cursor") && h("a", { class: "button", href: url("#/dead-letters", wanted) }, "Newest"),
      told.cursor && h("a", { class: "button", href: url("#/dead-letters", { ...wanted, cursor: told.cursor }) }, "Older")]);
  }

  function row(t) {
    const box = h("input", { type: "checkbox", value: t.id, "aria-label": `Choose ${t.id}` });
    box.checked = chosen.has(t.id);
    box.addEventListener("change", () => choose(t.id, box.checked));
    return h("tr", {},
      h("td", { class: "choose" }, box),
      cell("Task", h("a", { href: `#/tasks/${t.id}`, class: "what" }, cut(t.description || t.id, 100)), h("span", { class: "id" }, t.id)),
      cell("Last error", h("span", { class: "trouble" }, cut(t.last_error ?? "–", 200))),
      cell("Agent", t.agent_id ? h("a", { href: `#/agents/${encodeURIComponent(t.agent_id)}` }, t.agent_id) : "–"),
      cell("Attempts", `${t.attempts} of ${t.max_attempts}`),
      cell("Given up", ago(t.updated_at)));
  }

  return {
    title: "Dead letters", refresh, gap: 1500,
    wants: (event) => ["task_dead_letter", "task_deleted", "task_requeued"].includes(event.event),
    moved(next) {
      asked = next;
      load();
    },
  };
}

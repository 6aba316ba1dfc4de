// The list of tasks: filters and search in the address, rows kept up to date.

import { h, fill, keyed, settle } from "../dom.js";
import { get, url } from "../api.js";
import { agentField, badge, bar, cell, empty, field, heading, select, table } from "../parts.js";
import { ago, count, cut } from "../words.js";
import { PRIORITIES, STATUSES } from "../values.js";

const FILTERS = ["search", "status", "priority", "agent_id", "submitted_by"];
const PAGE = 50;
const LOOKS = 5;
const ENOUGH = 20;
const TYPED_MS = 350;

export function tasks({ query, root }) {
  let asked = query;
  const inputs = {
    search: h("input", { type: "search", maxlength: 200, autocomplete: "off", spellcheck: "false", placeholder: "id, description, agent, error" }),
    status: select(STATUSES, null, "any status"),
    priority: select(PRIORITIES, null, "any priority"),
    agent_id: agentField(""),
    submitted_by: h("input", { type: "text", maxlength: 128, autocomplete: "off", spellcheck: "false" }),
  };
  const form = h("form", { class: "filters" },
    field("Search", inputs.search), field("Status", inputs.status), field("Priority", inputs.priority),
    field("Agent", inputs.agent_id), field("Submitted by", inputs.submitted_by),
    h("a", { class: "button quiet", href: "#/tasks" }, "Clear"));
  const said = h("p", { class: "hint", role: "status" });
  const body = h("tbody");
  const holder = h("div");
  const pages = h("nav", { class: "row pages", "aria-label": "Pages" });
  const list = table("Tasks, newest first", ["Task", "Status", "Priority", "Agent", "Attempts", "Created", "Changed"], body);
  fill(root, heading("Tasks", h("a", { class: "button primary", href: "#/new" }, "New task")), form, said, holder, pages);
  load();

  let typed = null;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    go(false);
  });
  form.addEventListener("change", () => go(false));
  inputs.search.addEventListener("input", () => {
    clearTimeout(typed);
    typed = setTimeout(() => go(true), TYPED_MS);
  });

  /** To the address of what the fields say; typing makes no history. */
  function go(quietly) {
    clearTimeout(typed);
    const next = Object.fromEntries(FILTERS.map((name) => [name, inputs[name].value.trim()]));
    const hash = url("#/tasks", next);
    if (hash === location.hash) return;
    if (quietly) history.replaceState(null, "", hash);
    else history.pushState(null, "", hash);
    dispatchEvent(new HashChangeEvent("hashchange"));
  }

  function load() {
    for (const name of FILTERS) {
      const value = asked.get(name) ?? "";
      if (inputs[name] !== document.activeElement) inputs[name].value = value;
    }
  }

  async function refresh() {
    const mine = asked;
    const wanted = Object.fromEntries(FILTERS.map((name) => [name, mine.get(name)]));
    const found = [];
    let cursor = mine.get("cursor");
    let searched = 0;
    for (let look = 0; look < LOOKS; look += 1) {
      const page = await get(url("/api/tasks", { ...wanted, limit: PAGE, cursor }));
      if (mine !== asked) return;
      found.push(...page.tasks);
      cursor = page.cursor;
      searched += page.searched ?? 0;
      if (!wanted.search || !cursor || found.length >= ENOUGH) break;
    }
    show(found, cursor, searched, wanted);
  }

  function show(found, cursor, searched, wanted) {
    const filtered = FILTERS.some((name) => wanted[name]);
    settle(said, [wanted.search, searched, cursor], () => wanted.search && `${count(searched)} tasks looked at${cursor ? ", there are older ones" : ""}.`);
    const narrowed = filtered || Boolean(asked.get("cursor"));
    settle(holder, found.length ? "" : [narrowed, cursor], () => found.length ? list
      : narrowed ? empty(cursor ? "None among these; look on for older ones." : "No task is like that.")
        : empty("No task yet. Put one into the queue:", 'agentcom submit "say hello"'));
    keyed(body, found, (t) => t.id, row);
    const older = cursor && url("#/tasks", { ...wanted, cursor });
    settle(pages, [wanted, asked.get("cursor"), older], () => [
      asked.get("cursor") && h("a", { class: "button", href: url("#/tasks", wanted) }, "Newest"),
      older && h("a", { class: "button", href: older }, wanted.search ? "Look on" : "Older")]);
  }

  return {
    title: "Tasks",
    refresh,
    gap: 1000,
    wants: (event) => event.topic === "tasks" && !asked.get("search"),
    moved(next) {
      asked = next;
      load();
    },
    close: () => clearTimeout(typed),
  };
}

/** A row of a list of tasks. */
export function row(t) {
  return h("tr", {},
    cell("Task",
      h("a", { href: `#/tasks/${t.id}`, class: "what" }, cut(firstLine(t.description) || t.id, 120)),
      h("span", { class: "id" }, t.id)),
    cell("Status", badge(t.status), t.status === "working" && bar(t.progress, `progress of ${t.id}`)),
    cell("Priority", t.priority),
    cell("Agent", t.agent_id
      ? [t.status === "queued" && h("span", { class: "hint" }, "was "), h("a", { href: `#/agents/${encodeURIComponent(t.agent_id)}` }, t.agent_id)]
      : t.pinned ? h("span", { class: "hint" }, `for ${t.pinned}`) : "–"),
    cell("Attempts", `${t.attempts} of ${t.max_attempts}`),
    cell("Created", ago(t.created_at)),
    cell("Changed", ago(t.updated_at)));
}

function firstLine(text) {
  return text.trim().split("\n", 1)[0];
}

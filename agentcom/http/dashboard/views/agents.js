// The agents that are connected, and those that an operator has drained.

import { h, fill, keyed, settle } from "../dom.js";
import { get, part, post, remove, url } from "../api.js";
import { badge, button, cell, empty, field, heading, panel, proposeAgents, select, table, notice, confirm } from "../parts.js";
import { lacks, may } from "../session.js";
import { ago, count, many } from "../words.js";
import { STATES } from "../values.js";

const SHOWN = 200;

export function agents({ query, root, refresh: again }) {
  let asked = query;
  const text = h("input", { type: "search", maxlength: 200, autocomplete: "off", spellcheck: "false", placeholder: "id, name, status, capability, label" });
  const state = select(STATES, null, "any state");
  const form = h("form", { class: "filters" }, field("Find", text), field("State", state));
  const said = h("p", { class: "hint", role: "status" });
  const body = h("tbody");
  const holder = h("div");
  const drained = h("div");
  const list = table("Connected agents", ["Agent", "State", "Says", "Slots", "Can", "Connected"], body);
  fill(root, heading("Agents", hubDrain()), form, said, holder, drained);
  load();
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", () => {
    history.replaceState(null, "", url("#/agents", { find: text.value.trim(), state: state.value }));
    dispatchEvent(new HashChangeEvent("hashchange"));
  });

  function load() {
    if (text !== document.activeElement) text.value = asked.get("find") ?? "";
    state.value = asked.get("state") ?? "";
  }

  function hubDrain() {
    return button("Drain the hub", async () => {
      const { drainHub } = await import("./drains.js");
      const drain = await get("/api/admin/drain");
      if (drain.status !== "draining") await drainHub(drain.running);
      else notice("The hub is drained already: see below.", "bad");
      again();
    }, { why: lacks("admin"), kind: "quiet" });
  }

  async function refresh() {
    const [listed, drains] = await Promise.all([get("/api/agents"), may("admin") ? get("/api/admin/drain") : null]);
    proposeAgents(listed.agents);
    const wanted = (asked.get("find") ?? "").toLowerCase();
    const wantedState = asked.get("state");
    const found = listed.agents.filter((a) => (!wantedState || a.state === wantedState) && (!wanted || words(a).includes(wanted)));
    settle(said, [found.length, listed.agents.length], () => listed.agents.length > 0 && `${count(found.length)} of ${many(listed.agents.length, "connected agent")}${found.length > SHOWN ? `, the first ${SHOWN} shown` : ""}.`);
    settle(holder, listed.agents.length > 0, () => listed.agents.length ? list
      : empty("No agent is connected. Start one on the hub's own machine:", "agentcom agent --agent-id NAME --exec COMMAND"));
    keyed(body, found.slice(0, SHOWN), (a) => a.agent_id, row);
    settle(drained, drains && [drains.status, drains.note, drains.agents], () => showDrains(drains, again));
  }

  return {
    title: "Agents", refresh, gap: 1000, poll: 5000,
    wants: (event) => event.event !== "task_progress",
    moved(next) {
      asked = next;
      load();
    },
  };
}

function words(a) {
  return [a.agent_id, a.name, a.status, ...a.capabilities, ...Object.entries(a.labels ?? {}).flat()].join(" ").toLowerCase();
}

function row(a) {
  return h("tr", {},
    cell("Agent", h("a", { href: `#/agents/${part(a.agent_id)}`, class: "what" }, a.agent_id),
      a.name !== a.agent_id && h("span", { class: "hint" }, a.name)),
    cell("State", badge(a.state)),
    cell("Says", a.status),
    cell("Slots", slots(a)),
    cell("Can", chips(a)),
    cell("Connected", ago(a.connected_at)));
}

/** How many of an agent's slots are taken. */
export function slots(a) {
  return h("span", { class: "bar" },
    h("meter", { min: 0, max: Math.max(1, a.slots), value: a.running, "aria-label": "slots taken" }),
    h("span", {}, `${a.running} of ${a.slots}`));
}

/** What an agent can: capabilities, then labels. */
export function chips(a) {
  const all = [...a.capabilities, ...Object.entries(a.labels ?? {}).map(([k, v]) => `${k}=${v}`)];
  const most = 12;
  if (!all.length) return h("span", { class: "hint" }, "nothing special");
  return h("span", { class: "chips" }, all.slice(0, most).map((c) => h("span", {}, c)),
    all.length > most && h("span", {}, `and ${all.length - most} more`));
}

function showDrains(drains, again) {
  if (!drains) return [];
  return [
    drains.status === "draining" && panel("The hub is drained",
      h("p", {}, `${drains.by} drains the hub${drains.note ? `: ${drains.note}` : ""}. `, many(drains.running, "task"), " still running."),
      button("Give work again", async () => {
        if ((await confirm({ title: "Give work again?", yes: "Give work again", text: "Waiting tasks are assigned at once." })) === null) return;
        await remove("/api/admin/drain");
        again();
      }, { kind: "primary" })),
    drains.agents.length > 0 && panel("Drained agents", h("ul", { class: "plain" }, drains.agents.map((d) => h("li", { class: "row" },
      h("a", { href: `#/agents/${part(d.agent_id)}` }, d.agent_id), badge(d.connected ? "connected" : "away"),
      d.drained ? "nothing runs there" : `${many(d.running, "task")} still running`, d.note && h("span", { class: "hint" }, d.note),
      button("Resume", async () => {
        await post(`/api/agents/${part(d.agent_id)}/resume`);
        notice(`${d.agent_id} gets work again.`);
        again();
      })))) ),
  ];
}

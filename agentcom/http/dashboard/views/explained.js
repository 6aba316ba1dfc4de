// Why a task waits, rule by rule; where it runs; or who decided its end.

import { h } from "../dom.js";
import { panel, badge } from "../parts.js";
import { count, counting, many, time, word } from "../words.js";

const ENDS = [
  ["accept_ends_at", "is to accept it until"], ["attempt_ends_at", "the attempt ends"],
  ["hold_ends_at", "held until"], ["asked_again_at", "asked again"],
  ["silence_ends_at", "given up if silent until"], ["drain_ends_at", "the drain ends"],
];

/** The times at which something ends, that the words of an answer count down to. */
function ends(told) {
  return [...ENDS.map(([name]) => told[name]), ...(told.reasons ?? []).map((r) => r.until)].filter(Boolean);
}

/** The panel for an answer of `explain`. */
export function explained(told) {
  if (told.waiting) return waits(told);
  const times = ENDS.filter(([name]) => told[name]).map(([name, text]) => h("li", {}, `${text} `, time(told[name])));
  return panel(told.decision ? "How it ended" : "Where it is",
    h("p", {}, counting(told.summary, ends(told))), times.length > 0 && h("ul", { class: "plain" }, times));
}

function waits(told) {
  const others = told.agents_total - told.agents.length;
  return panel("Why it waits",
    h("p", {}, counting(told.summary, ends(told))),
    told.reasons.length > 1 && h("ul", { class: "plain" }, told.reasons.map((r) => h("li", {}, badge(r.rule), " ", counting(r.detail, ends(told))))),
    told.agents.length > 0 && h("details", {},
      h("summary", {}, `Agent by agent (${many(told.agents_total, "agent")})`),
      h("ul", { class: "rules" }, told.agents.map((agent) => h("li", {},
        h("a", { href: `#/agents/${encodeURIComponent(agent.agent_id)}` }, agent.agent_id),
        agent.rules.length
          ? h("ul", {}, agent.rules.map((r) => h("li", {}, badge(r.rule), " ", r.detail)))
          : h("p", {}, "may have it")))),
      others > 0 && h("p", { class: "hint" }, `${many(others, "more agent")}; `,
        Object.entries(told.by_rule).map(([rule, n]) => `${word(rule)}: ${n}`).join(", "))),
    told.queue && told.queue.waiting > 1 && h("p", { class: "hint" }, crowd(told.queue, told.reasons)));
}

/** How many others wait; the task itself is counted among those alike while it is ready. */
function crowd({ waiting, alike }, reasons) {
  const others = waiting - 1;
  const same = Math.max(0, alike - (reasons.some((r) => r.until) ? 0 : 1));
  const said = `${many(others, "other task")} ${others === 1 ? "waits" : "wait"}`;
  if (same === 0) return `${said}, none that asks for the same.`;
  return `${said}, ${count(same)} of them ready and asking for the same.`;
}

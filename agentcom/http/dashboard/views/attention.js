// What somebody should look at: each with a link to where it can be seen or ended.

import { get, url } from "../api.js";
import { may } from "../session.js";
import { count, cut, many, now } from "../words.js";

const LONG_MS = 10000;
const PAGE = 200;
const PAGES = 5;
const READ_MS = 1000;
const KINDS = 8;
const AGAIN_MS = 15000;
const NAMED = 3;
const NAME = 60;

let stuck = { at: -Infinity, found: [], looked: 0 };

/** The things that need somebody, the gravest first. */
export async function attention(stats, agents, ready) {
  const found = [];
  let more = null;
  const add = (kind, key, text, href, more) => found.push({ kind, key, text, href, more });
  if (ready.status !== "ready") {
    const drained = ready.reason.startsWith("draining");
    add("bad", "ready", drained ? "The hub is drained" : "The hub takes no new work",
      drained ? "#/agents" : "#/", drained ? `nothing is assigned: ${ready.reason}` : ready.reason);
  }
  const dead = stats.by_status.dead_letter;
  if (dead) add("bad", "dead", many(dead, "dead letter"), "#/dead-letters", "failed for good: retry or delete");
  named(agents, "unresponsive", "warn", "let an offer pass without a word", add);
  const waiting = stats.by_status.queued;
  if (waiting && !agents.length) {
    add("bad", "nobody", `${many(waiting, "task")} waiting, no agent connected`, "#/tasks?status=queued",
      "start one: agentcom agent --agent-id NAME --exec COMMAND");
  } else if (waiting && may("submit")) {
    const { found: kinds, looked } = await waitingForNobody();
    for (const one of kinds) {
      const text = one.alike > 1 ? `${many(one.alike, "task")} fit no agent, the oldest: ${one.name}` : `No agent fits: ${one.name}`;
      add("warn", one.id, text, `#/tasks/${one.id}`, one.summary);
    }
    if (looked < waiting) more = `the newest ${count(looked)} of ${count(waiting)} waiting tasks were looked at for ones that no agent fits`;
  }
  named(agents, "draining", "note", "given nothing more", add);
  if (!found.length) {
    add("good", "well", "Nothing needs attention", "#/agents", [`${many(agents.length, "agent")} connected`, more].filter(Boolean).join("; "));
  } else if (more) {
    add("note", "looked", "A long queue", "#/tasks?status=queued", more);
  }
  return found;
}

function named(agents, state, kind, means, add) {
  const those = agents.filter((a) => a.state === state);
  for (const agent of those.slice(0, NAMED)) {
    add(kind, `${state} ${agent.agent_id}`, `${agent.agent_id} is ${state}`, `#/agents/${encodeURIComponent(agent.agent_id)}`, means);
  }
  if (those.length > NAMED) {
    add(kind, state, `${many(those.length - NAMED, "more agent")} ${state}`, `#/agents?state=${state}`, means);
  }
}

const FOR_NOBODY = new Set(["no_agent_fits", "pinned_away", "pinned_unknown"]);

/**
 * Tasks that wait though no agent may have them, one of each kind: those that ask for
 * the same stand and fall together. Asked for at most every 15 s, and bounded, so of a
 * long queue only the newest are looked at; what was found stays so while it waits.
 */
async function waitingForNobody() {
  if (performance.now() - stuck.at < AGAIN_MS) return stuck;
  const at = performance.now();
  const { kinds, looked } = await waitingKinds(at);
  for (const old of stuck.found) if (!kinds.has(old.needs)) kinds.set(old.needs, old);
  const found = [];
  for (const kind of [...kinds.values()].sort((a, b) => b.rare - a.rare).slice(0, KINDS)) {
    const told = await explained(kind.id);
    if (told?.waiting && FOR_NOBODY.has(told.reasons[0]?.rule)) found.push({ ...kind, summary: told.reasons[0].detail });
  }
  stuck = { at, found, looked };
  return stuck;
}

/** What waiting tasks ask for, with the oldest that asks for it and how many do. */
async function waitingKinds(began) {
  const kinds = new Map();
  let looked = 0;
  let cursor = null;
  for (let page = 0; page < PAGES && performance.now() - began < READ_MS; page += 1) {
    const told = await get(url("/api/tasks", { status: "queued", limit: PAGE, cursor }));
    looked += told.tasks.length;
    for (const task of told.tasks) {
      if (now() - task.created_at < LONG_MS || task.ready_at > now()) continue;
      const needs = JSON.stringify([task.pinned, task.capabilities, task.labels]);
      const kind = { needs, id: task.id, name: cut(task.description.trim().split("\n", 1)[0] || task.id, NAME) };
      // Of a kind that asks for something, somebody may be missing; any agent has room for the rest one day.
      kind.rare = (task.pinned ? 1 : 0) + task.capabilities.length + Object.keys(task.labels).length;
      kind.alike = (kinds.get(needs)?.alike ?? 0) + 1;
      kinds.set(needs, kind);
    }
    cursor = told.cursor;
    if (!cursor) break;
  }
  return { kinds, looked: cursor ? looked : Infinity };
}

/** Why a task waits; null for one that is gone meanwhile. */
async function explained(id) {
  try {
    return await get(`/api/tasks/${id}/explain?limit=1`);
  } catch (error) {
    if (error.status === 404) return null;
    throw error;
  }
}

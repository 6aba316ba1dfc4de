"use strict";
// Everything from agents is set as text, never as markup.
const REFRESH_MS = 2000;

function row(agent) {
  const cells = [
    agent.name === agent.agent_id ? agent.agent_id : `${agent.name} (${agent.agent_id})`,
    agent.state,
    agent.status,
    `${agent.running} of ${agent.slots}`,
    agent.capabilities.join(", "),
    new Date(agent.connected_at).toLocaleString(),
  ];
  const tr = document.createElement("tr");
  for (const text of cells) {
    const td = document.createElement("td");
    td.textContent = text;
    tr.append(td);
  }
  return tr;
}

async function refresh() {
  const state = document.getElementById("state");
  try {
    const [ready, agents] = await Promise.all([
      fetch("/ready").then((r) => r.json()),
      fetch("/api/agents").then((r) => r.json()),
    ]);
    const well = ready.status === "ready" ? "ready" : `not ready: ${ready.reason}`;
    state.textContent = `${well}, ${agents.agents.length} connected`;
    document.getElementById("agents").replaceChildren(...agents.agents.map(row));
    document.getElementById("none").hidden = agents.agents.length > 0;
  } catch {
    state.textContent = "the hub does not answer; trying again";
  }
  setTimeout(refresh, REFRESH_MS);
}

refresh();

// Submit a task, or push one to an agent that is connected.

import { h, fill } from "../dom.js";
import { get, post } from "../api.js";
import { agentField, field, heading, notice, proposeAgents, select } from "../parts.js";
import { lacks } from "../session.js";
import { PRIORITIES } from "../values.js";

export function newTask({ query, root }) {
  const description = h("textarea", { rows: 5, maxlength: 10000, required: true });
  const agent = agentField(query.get("agent_id"));
  const push = h("input", { type: "checkbox", id: "push" });
  const priority = select(PRIORITIES, "normal");
  const capabilities = h("input", { type: "text", maxlength: 2000, autocomplete: "off", spellcheck: "false" });
  const attempts = h("input", { type: "number", min: 1, max: 1000, value: 3 });
  const metadata = h("textarea", { rows: 4, class: "mono", spellcheck: "false", placeholder: '{"branch": "main"}' });
  const trouble = h("p", { class: "error", role: "alert" });
  const why = lacks("submit");
  const send = h("button", { type: "submit", class: "primary", disabled: Boolean(why), title: why }, "Submit");
  // One key for this form: a repetition after a lost answer makes no second task.
  let key = random();
  const queueOnly = h("div", { class: "fields" },
    field("Priority", priority), field("Attempts", attempts, "how often it is tried"),
    field("Capabilities", capabilities, "with commas; the agent must have all of them"));
  const form = h("form", { class: "panel form" },
    field("What is to be done", description),
    field("Agent", agent, "only this one may have it; leave it empty for any that fits"),
    h("div", { class: "check" }, push, h("label", { for: "push" }, "Push: an order to this agent, now, whether it has room or not")),
    queueOnly,
    field("Metadata", metadata, "a JSON object, handed to the agent as it is"),
    trouble, why && h("p", { class: "hint" }, why),
    h("div", { class: "row end" }, send));
  fill(root, heading("New task"), form);

  function pushed() {
    queueOnly.hidden = push.checked;
    agent.required = push.checked;
    send.textContent = push.checked ? "Push" : "Submit";
  }
  push.addEventListener("change", pushed);
  form.addEventListener("input", () => {
    key = random();
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    fill(trouble);
    let more = {};
    try {
      more = metadata.value.trim() ? JSON.parse(metadata.value) : {};
    } catch {
      fill(trouble, "The metadata is no JSON. It looks like {\"branch\": \"main\"}.");
      metadata.focus();
      return;
    }
    const body = { description: description.value, metadata: more, idempotency_key: key };
    if (agent.value.trim()) body.agent_id = agent.value.trim();
    if (!push.checked) {
      body.priority = priority.value;
      body.max_attempts = Number(attempts.value);
      body.capabilities = capabilities.value.split(",").map((c) => c.trim()).filter(Boolean);
    }
    send.disabled = true;
    try {
      const made = await post(push.checked ? "/api/admin/push-task" : "/api/tasks", body);
      notice(push.checked ? "Pushed." : "Submitted.");
      location.hash = `#/tasks/${made.task_id}`;
    } catch (error) {
      fill(trouble, error.message);
      send.disabled = false;
    }
  });

  return {
    title: "New task",
    wants: () => false,
    async refresh() {
      if (document.activeElement === document.getElementById("main")) description.focus();
      proposeAgents((await get("/api/agents")).agents);
    },
  };
}

function random() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");
}

// The questions before something is taken out of service.

import { post } from "../api.js";
import { confirm, notice } from "../parts.js";
import { many } from "../words.js";

/** Ask, then drain the whole hub. */
export async function drainHub(running) {
  const note = await confirm({
    title: "Drain the hub?", yes: "Drain the hub", danger: true, field: "Why (everybody is told)",
    text: `No agent is given anything more until you end it here. What runs goes on to its end (${many(running, "task")} now), submitted tasks wait, pushes are refused.`,
  });
  if (note === null) return;
  await post("/api/admin/drain", note ? { note } : {});
  notice("The hub is drained.");
}

/** Ask, then drain an agent. */
export async function drainAgent(id) {
  const note = await confirm({
    title: `Drain ${id}?`, yes: "Drain", danger: true, field: "Why (the agent is told)",
    text: "It keeps what it has and is given nothing more, until it is resumed; also after it, or the hub, was started again.",
  });
  if (note === null) return;
  await post(`/api/agents/${encodeURIComponent(id)}/drain`, note ? { note } : {});
  notice(`${id} is drained.`);
}

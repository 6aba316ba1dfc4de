// The channels, and what was published to one.

import { h, fill, keyed, settle } from "../dom.js";
import { get, part, post } from "../api.js";
import { cell, empty, facts, field, folded, heading, notice, panel, table } from "../parts.js";
import { lacks } from "../session.js";
import { count, many, time } from "../words.js";
import { message } from "./messages.js";

const PAGE = 100;
const SHOWN = 500;

export function channels({ root, refresh: again }) {
  const body = h("tbody");
  const holder = h("div");
  const list = table("Channels", ["Channel", "About", "Subscribers", "Made"], body);
  const name = h("input", { type: "text", maxlength: 64, autocomplete: "off", spellcheck: "false" });
  const about = h("input", { type: "text", maxlength: 1000, autocomplete: "off" });
  fill(root, heading("Channels"), holder,
    folded("New channel", [field("Name", name, "a-z, 0-9, - and _"), field("About", about)], "Make it",
      async () => {
        if (!name.value.trim()) return name.focus();
        const made = await post("/api/channels", { name: name.value, description: about.value });
        name.value = "";
        about.value = "";
        notice(`There is a channel ${made.channel} now.`);
        return again();
      }, { why: lacks("agent") }));

  async function refresh() {
    const told = await get("/api/channels");
    settle(holder, told.channels.length > 0, () => told.channels.length ? list
      : empty("No channel yet. Make the first one below, or:", "agentcom channels create builds"));
    keyed(body, told.channels.slice(0, SHOWN), (c) => c.name, (c) => h("tr", {},
      cell("Channel", h("a", { href: `#/channels/${part(c.name)}`, class: "what" }, `#${c.name}`)),
      cell("About", c.description || "–"),
      cell("Subscribers", count(c.subscriber_count)),
      cell("Made", time(c.created_at), ` by ${c.created_by}`)));
  }

  return { title: "Channels", refresh, gap: 1000, poll: 10000, wants: () => false };
}

export function channel({ id, root, refresh: again }) {
  const path = `/api/channels/${part(id)}`;
  const about = h("div");
  const none = h("div");
  const list = h("ol", { class: "messages" });
  const said = h("p", { class: "hint" });
  const text = h("textarea", { rows: 2, maxlength: 10000 });
  fill(root, heading(`#${id}`), about, said, none, list,
    folded("Publish", field("Text", text), "Publish",
      async () => {
        if (!text.value.trim()) return text.focus();
        await post(`${path}/publish`, { payload: { text: text.value } });
        text.value = "";
        return again();
      }, { why: lacks("agent") }));
  let entries = [];
  let since = 0;

  async function refresh() {
    const shown = await get(path);
    settle(about, shown, () => panel(null, facts([
      ["About", shown.description || "–"],
      ["Subscribers", shown.subscribers.length ? shown.subscribers.slice(0, 50).map((a, i) => [i > 0 && ", ",
        h("a", { href: `#/agents/${part(a)}` }, a)]) : "none"],
      ["Made", [time(shown.created_at), ` by ${shown.created_by}`]],
    ])));
    for (let more = true; more;) {
      const told = await get(`${path}/history?since=${since}&limit=${PAGE}`);
      entries = [...entries, ...told.messages].slice(-SHOWN);
      since = told.last_seq ?? since;
      more = told.more;
    }
    fill(none, !entries.length && empty("Nothing was published yet that is kept."));
    fill(said, entries.length > 0 && `${many(entries.length, "message")}, newest first${entries.length === SHOWN ? "; older ones are not shown" : ""}.`);
    keyed(list, [...entries].reverse(), (e) => e.seq, (e) => message(e.message, true));
  }

  return { title: `#${id}`, refresh, gap: 1000, poll: 5000, wants: () => false };
}

// What agents said: the history by filter, and whole threads.

import { h, fill, keyed, settle } from "../dom.js";
import { get, part, post, url } from "../api.js";
import { agentField, block, empty, field, folded, heading, notice } from "../parts.js";
import { lacks } from "../session.js";
import { many, time } from "../words.js";

const FILTERS = ["from", "to", "channel"];
const PAGE = 50;
const DEEPEST = 6;
const TEXT = 4000;

export function messages({ query, root, refresh: again }) {
  let asked = query;
  const inputs = {
    from: agentField(""), to: agentField(""),
    channel: h("input", { type: "text", maxlength: 64, autocomplete: "off", spellcheck: "false" }),
  };
  const form = h("form", { class: "filters" },
    field("From", inputs.from), field("To", inputs.to), field("Channel", inputs.channel),
    h("a", { class: "button quiet", href: "#/messages" }, "Clear"));
  const list = h("ol", { class: "messages" });
  const none = h("div");
  const pages = h("nav", { class: "row pages", "aria-label": "Pages" });
  fill(root, heading("Messages"), form, none, list, pages, sendForm(again));
  load();
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    go();
  });
  form.addEventListener("change", go);

  function go() {
    const hash = url("#/messages", Object.fromEntries(FILTERS.map((n) => [n, inputs[n].value.trim()])));
    if (hash !== location.hash) location.hash = hash;
  }

  function load() {
    for (const name of FILTERS) inputs[name].value = asked.get(name) ?? "";
  }

  async function refresh() {
    const wanted = Object.fromEntries(FILTERS.map((n) => [n, asked.get(n)]));
    const told = await get(url("/api/messages", { ...wanted, limit: PAGE, cursor: asked.get("cursor") }));
    settle(none, told.messages.length ? "" : [wanted], () => !told.messages.length && empty(
      FILTERS.some((n) => wanted[n]) ? "No message is like that." : "Nobody has said anything yet that you may see. Say something:",
      'agentcom send AGENT "hello"'));
    keyed(list, told.messages, (m) => m.id, (m) => message(m, true));
    settle(pages, [wanted, asked.get("cursor"), told.cursor], () => [
      asked.get("cursor") && h("a", { class: "button", href: url("#/messages", wanted) }, "Newest"),
      told.cursor && h("a", { class: "button", href: url("#/messages", { ...wanted, cursor: told.cursor }) }, "Older")]);
  }

  return {
    title: "Messages", refresh, gap: 1000, poll: 5000, wants: () => false,
    moved(next) {
      asked = next;
      load();
    },
  };
}

/** One thread, as the tree that its answers make. */
export function thread({ id, root, refresh: again }) {
  const list = h("ol", { class: "messages" });
  const said = h("p", { class: "hint" });
  fill(root, heading("Thread"), said, list, sendForm(again, id));

  async function refresh() {
    const told = await get(`/api/threads/${part(id)}`);
    const depths = new Map();
    for (const m of told.messages) {
      depths.set(m.id, m.reply_to && depths.has(m.reply_to) ? depths.get(m.reply_to) + 1 : m.id === told.root ? 0 : 1);
    }
    fill(said, `${many(told.count, "message")}${told.cursor ? ", and more" : ""}.`);
    keyed(list, told.messages, (m) => m.id, (m) => {
      const made = message(m, false);
      made.dataset.depth = Math.min(DEEPEST, depths.get(m.id));
      if (m.id === id) made.setAttribute("aria-current", "true");
      return made;
    }, id);
  }

  return { title: "Thread", refresh, gap: 1000, poll: 5000, wants: () => false };
}

/** One message. */
export function message(m, linked) {
  const text = typeof m.payload?.text === "string" && Object.keys(m.payload).length === 1 ? m.payload.text : null;
  return h("li", {},
    h("p", { class: "row" },
      h("b", {}, agentLink(m.from)), h("span", { "aria-label": "to" }, "→"),
      m.channel ? h("a", { href: `#/channels/${part(m.channel)}` }, `#${m.channel}`) : m.to ? agentLink(m.to) : h("span", {}, "everybody"),
      m.message_type !== "chat" && h("span", { class: "chips" }, h("span", {}, m.message_type)),
      h("span", { class: "hint" }, time(m.timestamp)),
      linked && h("a", { href: `#/messages/${part(m.id)}`, class: "hint" }, m.reply_to ? "answer, see thread" : "thread")),
    text === null ? block(m.payload) : h("p", { class: "said" }, text.slice(0, TEXT)));
}

function agentLink(id) {
  return id === "broadcast" ? h("span", {}, "everybody") : h("a", { href: `#/agents/${part(id)}` }, id);
}

function sendForm(again, replyTo = null) {
  const to = agentField("", { placeholder: "everybody" });
  const text = h("textarea", { rows: 2, maxlength: 10000 });
  return folded(replyTo ? "Answer" : "Send a message",
    [field("To", to, "an agent; leave it empty for everybody"), field("Text", text)], "Send",
    async () => {
      if (!text.value.trim()) return text.focus();
      const body = { payload: { text: text.value } };
      if (to.value.trim()) body.to = to.value.trim();
      if (replyTo) body.reply_to = replyTo;
      const told = await post("/api/message", body);
      text.value = "";
      notice(told.note === "unknown_recipient" ? "Nobody of that name is known: no copy is kept for it." : "Sent.", told.note ? "bad" : "good");
      return again();
    }, { why: lacks("agent") });
}


// The pieces that pages are made of.

import { h, fill } from "./dom.js";
import { session } from "./session.js";
import { count, pretty, share, size, word } from "./words.js";

/** A status or state: a word with a dot, so that colour says nothing alone. */
export function badge(name, text) {
  return h("span", { class: "badge", data: { is: name } }, text ?? word(name));
}

/** The heading of a page, with what can be done there. */
export function heading(title, ...actions) {
  return h("div", { class: "heading" }, h("h1", {}, title), h("div", { class: "row" }, actions));
}

/** A part of a page. */
export function panel(title, ...children) {
  return h("section", { class: "panel" }, title && h("h2", {}, title), children);
}

/** What stands where there is nothing: what to do next. */
export function empty(text, ...commands) {
  return h("div", { class: "empty" }, h("p", {}, text), commands.map((c) => h("pre", {}, c)));
}

/** Names and values. */
export function facts(pairs) {
  return h(
    "dl", { class: "facts" },
    pairs.filter(Boolean).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value ?? "–"))),
  );
}

/** A table; on a narrow page each row is a block, and cells say their column. */
export function table(caption, columns, body) {
  return h(
    "table", { class: "list" },
    h("caption", { class: "hidden" }, caption),
    h("thead", {}, h("tr", {}, columns.map((c) => h("th", { scope: "col" }, c)))),
    body,
  );
}

/** A cell that says its column where the table is narrow. */
export function cell(column, ...children) {
  return h("td", { data: { column } }, children);
}

/** A button that says why it cannot be used. */
export function button(text, act, { why = null, kind = "" } = {}) {
  const made = h("button", { type: "button", class: kind, title: why }, text);
  if (why) {
    // Not `disabled`: the reason must be reachable by keyboard and touch.
    made.setAttribute("aria-disabled", "true");
    made.addEventListener("click", () => notice(why, "bad"));
    return made;
  }
  made.addEventListener("click", async () => {
    if (made.getAttribute("aria-busy") === "true") return;
    made.setAttribute("aria-busy", "true");
    try {
      await act();
    } catch (error) {
      notice(error.message, "bad");
    } finally {
      made.removeAttribute("aria-busy");
    }
  });
  return made;
}

/** How far a task is. */
export function bar(progress, label) {
  const part = share(progress);
  if (part === null) return null;
  const percent = `${Math.round(part * 100)} %`;
  return h(
    "span", { class: "bar", title: `progress ${progress}` },
    h("progress", { max: 1, value: part, "aria-label": label ?? "progress" }), h("span", {}, percent),
  );
}

/** JSON or text from elsewhere, bounded; `raw` is where the whole of it is. */
export function block(value, raw) {
  const shown = pretty(value);
  return [
    h("pre", { class: "block", tabindex: 0 }, shown.text),
    !shown.whole && h("p", { class: "hint" }, `The first ${size(shown.text.length)} of ${size(shown.length)}. `,
      raw && h("a", { href: raw, target: "_blank", rel: "noopener" }, "All of it, raw")),
  ];
}

/** Tell something in passing. */
export function notice(text, kind = "good") {
  const place = document.getElementById("notices");
  const note = h("p", { class: "notice", data: { kind } }, text);
  place.append(note);
  while (place.childElementCount > 4) place.firstChild.remove();
  setTimeout(() => note.remove(), kind === "bad" ? 10000 : 5000);
}

/**
 * Ask before something is done; gives null for no, else the text of the field.
 *
 * `field` is the label of a text that may be given along.
 */
export function confirm({ title, text, yes, field = null, danger = false, no = "Not now" }) {
  return new Promise((resolve) => {
    const input = field && h("input", { id: "confirm-text", type: "text", maxlength: 2000, autocomplete: "off" });
    const form = h(
      "form", { class: "sheet" },
      h("h2", { id: "confirm" }, title),
      h("p", {}, text),
      input && [h("label", { for: "confirm-text" }, field), input],
      h("div", { class: "row end" },
        h("button", { type: "button", onclick: () => dialog.close() }, no),
        h("button", { type: "submit", class: danger ? "danger" : "primary" }, yes)),
    );
    const dialog = h("dialog", { "aria-labelledby": "confirm" }, form);
    let answer = null;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      answer = input ? input.value.trim() : "";
      dialog.close();
    });
    const before = document.activeElement;
    dialog.addEventListener("close", () => {
      dialog.remove();
      if (before?.isConnected) before.focus();
      resolve(answer);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** A token that has this scope too and loses none: a token has the scopes it is made with. */
function scopes(more) {
  return more === "admin" ? ["admin"] : [...new Set([...(session()?.scopes ?? []), more])];
}

/** What stands on a page that the hub refused. */
export function refused(error) {
  const what = error.code === "forbidden" ? "Not for your token" : error.status === 404 ? "Not found"
    : error.status === 0 ? "The hub is away" : "That did not work";
  return h("div", { class: "empty" }, h("h2", {}, what), h("p", {}, error.message),
    error.code === "forbidden" && h("p", { class: "hint" },
      "Sign out and sign in with a token that has it, or ask an administrator for one: ",
      h("code", {}, ["agentcom token create NAME", ...scopes(error.body.required_scope)].join(" --scope "))));
}

/** Say in the navigation how many dead letters there are. */
export function deadLetters(n) {
  fill(document.querySelector("#nav [data-name=dead-letters]"), "Dead letters", n > 0 && h("span", { class: "number" }, count(n)));
}

/**
 * Fields that are folded away, and what is done with them: by the button, by Enter, and
 * by Ctrl+Enter in a field of several lines.
 */
export function folded(title, fields, text, act, { why = null } = {}) {
  const send = button(text, act, { why, kind: "primary" });
  // The button acts when it is pressed, and Enter presses a form's button.
  send.type = "submit";
  return h("details", { class: "panel form" }, h("summary", {}, title),
    h("form", { onsubmit: (event) => event.preventDefault() }, fields, h("div", { class: "row end" }, send)));
}

let fields = 0;

/** A field and its label. */
export function field(label, input, hint) {
  fields += 1;
  input.id ||= `field-${fields}`;
  if (hint) input.setAttribute("aria-describedby", `${input.id}-hint`);
  return h("div", { class: "field" }, h("label", { for: input.id }, label), input,
    hint && h("span", { class: "hint", id: `${input.id}-hint` }, hint));
}

/** A choice of a few values. */
export function select(values, chosen, all) {
  const made = h("select", {}, all && h("option", { value: "" }, all), values.map((v) => h("option", { value: v }, word(v))));
  made.value = chosen ?? "";
  return made;
}

/** A text field that proposes the ids of agents that are connected. */
export function agentField(value, properties = {}) {
  return h("input", { type: "text", list: "agents", autocomplete: "off", spellcheck: "false", maxlength: 128, value: value ?? "", ...properties });
}

/** The ids that `agentField` proposes. */
export function proposeAgents(agents) {
  const list = document.getElementById("agents") ?? document.body.appendChild(h("datalist", { id: "agents" }));
  fill(list, agents.slice(0, 200).map((a) => h("option", { value: a.agent_id })));
}

// Who is signed in. The token goes from the field to the hub and is kept nowhere.

import { h, fill } from "./dom.js";
import { Refused, once, onSessionOver, useCsrf } from "./api.js";

let current = null;
let asking = null;
const listeners = [];

/** The session: `agent_id`, `scopes`, `expires_at`; null when signed out. */
export function session() {
  return current;
}

/** Whether the session's token has a scope. */
export function may(scope) {
  const scopes = current?.scopes ?? [];
  return scopes.includes(scope) || scopes.includes("admin");
}

/** Why something is not allowed, for its title; null where it is. */
export function lacks(scope) {
  return may(scope) ? null : `Your token lacks the scope ${scope}.`;
}

/** Be told when somebody signs in or out. */
export function onSession(callback) {
  listeners.push(callback);
}

function become(next) {
  const before = current;
  current = next;
  useCsrf(next?.csrf ?? "");
  for (const listener of listeners) listener(next, before);
}

/** Find the session that the browser has, or ask for a token until there is one. */
export async function signedIn() {
  try {
    become(await once("GET", "/api/session"));
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    await signIn(error.status === 0 ? error.message : "");
  }
}

/** End the session, and ask for another. */
export async function signOut() {
  try {
    await once("DELETE", "/api/session");
  } catch (error) {
    if (error.status !== 401) throw error;
  }
  become(null);
  await signIn("");
}

/** Go on with the session that the browser has; another tab may have begun it. */
export function take(found) {
  if (found.csrf === current?.csrf) return false;
  become(found);
  return true;
}

// What was asked for is asked again only as the same agent id.
onSessionOver(async () => {
  const before = current?.agent_id;
  if (!asking) {
    try {
      take(await once("GET", "/api/session"));
      return before === current.agent_id;
    } catch (error) {
      if (error.status !== 401) return false;
    }
  }
  await signIn(current ? "Your session is over. Sign in again to go on where you were." : "");
  return before === current?.agent_id;
});

/** Ask for a token, over the page, until the hub takes one. */
export function signIn(why) {
  asking ??= askForToken(why).finally(() => {
    asking = null;
  });
  return asking;
}

function askForToken(why) {
  return new Promise((resolve) => {
    const field = h("input", {
      id: "token", type: "password", required: true, autocomplete: "off", spellcheck: "false",
      maxlength: 4096, "aria-describedby": "token-help token-error",
    });
    const trouble = h("p", { id: "token-error", class: "error", role: "alert" });
    const button = h("button", { class: "primary", type: "submit" }, "Sign in");
    const form = h(
      "form", { class: "sheet" },
      h("h2", { id: "sign-in" }, "Sign in"),
      why && h("p", {}, why),
      h("label", { for: "token" }, "Token"),
      field,
      h("p", { id: "token-help", class: "hint" },
        "Paste a token of this hub. On its own machine the administrator's is in ",
        h("code", {}, "~/.agentcom/admin.token"), "; a new one comes from ",
        h("code", {}, "agentcom token create NAME"),
        ". It is sent to the hub once and kept nowhere in this browser."),
      trouble,
      h("div", { class: "row end" }, button),
    );
    const dialog = h("dialog", { class: "sign-in", "aria-labelledby": "sign-in" }, form);
    dialog.addEventListener("cancel", (event) => event.preventDefault());
    dialog.addEventListener("close", () => {
      if (dialog.isConnected) dialog.showModal();
    });
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const token = field.value.trim();
      field.value = "";
      if (!token) return;
      button.disabled = true;
      fill(trouble);
      try {
        const next = await once("POST", "/api/session", { token });
        dialog.remove();
        become(next);
        resolve(true);
      } catch (error) {
        fill(trouble, error.status === 401 ? "The hub does not know this token, or it has ended." : error.message);
        button.disabled = false;
        field.focus();
      }
    });
    document.body.append(dialog);
    dialog.showModal();
    field.focus();
  });
}

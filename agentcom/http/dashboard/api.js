// Asks the hub. The browser's cookie says who asks; what changes anything also carries
// the session's CSRF token, which is kept in memory alone.

import { hearClock } from "./words.js";

const LIMIT_MS = 20000;
const TIMES = 3;

/** What the hub refused, or that it could not be reached (`status` 0). */
export class Refused extends Error {
  constructor(status, body) {
    super(said(status, body));
    this.status = status;
    this.body = body ?? {};
    this.code = this.body.error ?? "";
  }
}

const WORDS = {
  unauthorized: "You are signed out.",
  csrf_failed: "The session has changed. Reload the page and try again.",
  overloaded: "The hub has more work than it can take. Try again in a moment.",
  too_many_failures: "Too many attempts failed from this address. Wait a little, then try again.",
  store_unavailable: "The hub's disk fails or is nearly full, so it takes no new work.",
  stopping: "The hub is stopping.",
  queue_full: "Too many tasks wait already.",
  rate_limited: "Too many messages. Try again in a moment.",
  hub_draining: "The hub is drained: it takes no pushes. Put the task into the queue instead.",
  agent_draining: "The agent is drained: it takes nothing more.",
  task_not_found: "There is no such task. It may have been forgotten or deleted.",
  agent_not_found: "There is no such agent.",
  agent_not_connected: "The agent is not connected.",
  channel_not_found: "There is no such channel.",
  message_not_found: "There is no such message, or none that you may see.",
  not_found: "This hub does not know that question.",
};

function said(status, body) {
  if (status === 0) return "The hub does not answer.";
  const code = body?.error ?? "";
  if (code === "forbidden") return `Your token lacks the scope ${body.required_scope}.`;
  if (code === "invalid_state") return `The task is ${String(body.status).replaceAll("_", " ")} already.`;
  if (code === "validation_failed") {
    return (body.errors ?? []).slice(0, 5).map((e) => `${e.field}: ${e.detail}`).join("; ");
  }
  return WORDS[code] ?? body?.detail ?? body?.hint ?? `The hub answered ${status} ${code}.`;
}

let csrf = "";
let lost = () => {};

/** Remember what writes must carry. */
export function useCsrf(token) {
  csrf = token;
}

/** Be told when the session is over; the promise says whether there is one again. */
export function onSessionOver(callback) {
  lost = callback;
}

/** One request, as it is; throws `Refused`. */
export async function once(method, path, body) {
  const headers = {};
  const init = { method, headers, cache: "no-store", credentials: "same-origin" };
  if (method !== "GET") headers["X-CSRF-Token"] = csrf;
  if (body !== undefined) {
    headers["Content-Type"] = "application/json";
    init.body = JSON.stringify(body);
  }
  let response;
  let told;
  try {
    response = await fetch(path, { ...init, signal: AbortSignal.timeout(LIMIT_MS) });
    hearClock(response.headers.get("date"));
    told = await response.json();
  } catch {
    throw new Refused(response && !response.ok ? response.status : 0, null);
  }
  if (!response.ok) throw new Refused(response.status, told);
  return told;
}

async function ask(method, path, body) {
  for (let times = 0; ; times += 1) {
    try {
      return await once(method, path, body);
    } catch (error) {
      const over = error.status === 401 || error.code === "csrf_failed";
      if (!over || times === TIMES || !(await lost())) throw error;
    }
  }
}

export const get = (path) => ask("GET", path);
export const post = (path, body) => ask("POST", path, body ?? {});
export const remove = (path) => ask("DELETE", path);

/** A path with its parameters; those without a value are left out. */
export function url(path, parameters) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== null && value !== undefined && value !== "") query.set(name, value);
  }
  const text = query.toString();
  return text ? `${path}?${text}` : path;
}

/** A part of a path, whatever is in it. */
export const part = encodeURIComponent;

// Follows the hub's events. An event is a hint: views ask the hub anew, at a bounded rate.

import { get, once } from "./api.js";
import { take } from "./session.js";

const NAMES = [
  "task_submitted", "task_assigned", "task_accepted", "task_progress", "output_truncated",
  "task_complete", "task_failed", "task_rejected", "task_recovering", "task_requeued",
  "task_cancelled", "task_dead_letter", "task_expired", "task_deleted",
  "agent_joined", "agent_left", "status_changed", "agent_draining", "agent_drained",
  "agent_resumed", "hub_draining", "hub_resumed", "hub_started",
];

const AGAIN_FIRST_MS = 1000;
const AGAIN_MOST_MS = 15000;
const HIDDEN_MS = 60000;

const SIGNED_OUT = new Set(["token_revoked", "token_expired", "session_ended"]);

/**
 * The stream of events.
 *
 * `state` is told of each change as (state, words); `event` of each event; `anew` when
 * events are missing or the hub was started again, so that all must be asked for anew.
 */
export class Live {
  constructor({ state, event, anew }) {
    this.tell = state;
    this.event = event;
    this.anew = anew;
    this.cursor = null;
    this.source = null;
    this.timer = null;
    this.wait = AGAIN_FIRST_MS;
    this.broken = false;
    this.resting = false;
    this.known = false;
    this.hidden = null;
    document.addEventListener("visibilitychange", () => this.seen());
  }

  /** Begin, or begin anew with another session. */
  start() {
    this.stop();
    this.known = false;
    this.tell("wait", "connecting");
    this.open();
  }

  /** End. */
  stop() {
    clearTimeout(this.timer);
    this.timer = null;
    this.resting = false;
    this.source?.close();
    this.source = null;
  }

  open() {
    const after = this.cursor ? `?after=${encodeURIComponent(this.cursor)}` : "";
    const source = new EventSource(`/api/events${after}`);
    this.source = source;
    const mine = (listener) => (message) => {
      if (this.source !== source) return;
      if (message.lastEventId) this.cursor = message.lastEventId;
      listener(message);
    };
    source.onopen = mine(() => this.opened());
    source.onerror = () => this.source === source && this.failed(source);
    for (const name of NAMES) source.addEventListener(name, mine((message) => this.got(message)));
    source.addEventListener("gap", mine(() => this.anew("Some events were missed")));
    source.addEventListener("closed", mine((message) => this.closed(message)));
  }

  opened() {
    this.wait = AGAIN_FIRST_MS;
    this.tell("on", "live");
    // What was read before the stream stood may be older than where it began.
    if (this.broken || !this.known) this.anew(this.broken ? "The connection is back" : "");
    this.broken = false;
    this.known = true;
  }

  got(message) {
    let event;
    try {
      event = JSON.parse(message.data);
    } catch {
      return;
    }
    if (event.event === "hub_started") this.anew("The hub was started again");
    this.event(event);
  }

  closed(message) {
    let reason = "";
    try {
      ({ reason } = JSON.parse(message.data));
    } catch {
      // It is closed all the same.
    }
    this.broken = true;
    this.stop();
    if (SIGNED_OUT.has(reason)) {
      this.tell("off", "signed out");
      this.askWho();
      return;
    }
    this.tell("wait", reason === "hub_stopping" ? "the hub is stopping" : "reconnecting");
    this.later();
  }

  failed(source) {
    this.broken = true;
    this.tell("wait", "reconnecting");
    // A browser tries again by itself only where the line broke, not after a refusal.
    if (source.readyState === EventSource.CLOSED) {
      this.stop();
      this.later();
    }
  }

  later() {
    clearTimeout(this.timer);
    const wait = this.wait * (0.5 + Math.random() / 2);
    this.wait = Math.min(AGAIN_MOST_MS, this.wait * 2);
    this.timer = setTimeout(() => this.again(), wait);
  }

  async again() {
    try {
      // A new session starts the stream by itself.
      if (!take(await once("GET", "/api/session"))) this.open();
    } catch (error) {
      if (error.status === 401) this.askWho();
      else {
        this.tell("wait", error.status === 0 ? "the hub is away" : "reconnecting");
        this.later();
      }
    }
  }

  /** The session is over, it seems: asking for it asks for a token where that is so. */
  async askWho() {
    try {
      if (!take(await get("/api/session"))) this.start();
    } catch {
      this.later();
    }
  }

  /** A page that nobody looks at gives its connection back; browsers allow only six. */
  seen() {
    clearTimeout(this.hidden);
    if (document.hidden) {
      this.hidden = setTimeout(() => {
        if (this.source) {
          this.stop();
          this.resting = true;
          this.tell("wait", "resting");
        }
      }, HIDDEN_MS);
    } else if (this.resting) {
      // All is read anew, so what happened meanwhile need not come one by one.
      this.cursor = null;
      this.start();
    }
  }
}

/**
 * Runs `work` when asked, once at a time, and not more often than every `gap` ms, nor
 * than leaves three quarters of the time free. While the page is hidden it waits.
 */
export class Refresher {
  constructor(work, gap = 1000) {
    this.work = work;
    this.gap = gap;
    this.next = 0;
    this.timer = null;
    this.running = false;
    this.wanted = false;
    this.hurried = false;
    this.over = false;
    this.seen = () => !document.hidden && this.wanted && this.ask();
    document.addEventListener("visibilitychange", this.seen);
  }

  /** Something has changed. */
  ask() {
    this.wanted = true;
    if (this.running || this.timer !== null || this.over || document.hidden) return;
    const wait = Math.max(0, this.next - performance.now());
    this.timer = setTimeout(() => this.run(), wait);
  }

  /** Run at once, or again at once where it runs already: somebody waits for it. */
  now() {
    clearTimeout(this.timer);
    this.timer = null;
    this.next = 0;
    this.hurried = this.running;
    this.ask();
  }

  /** Never run again. */
  stop() {
    this.over = true;
    clearTimeout(this.timer);
    document.removeEventListener("visibilitychange", this.seen);
  }

  async run() {
    this.timer = null;
    this.wanted = false;
    this.running = true;
    const began = performance.now();
    try {
      await this.work();
    } finally {
      const ended = performance.now();
      this.next = this.hurried ? ended : ended + Math.max(this.gap, 3 * (ended - began));
      this.hurried = false;
      this.running = false;
      if (this.wanted && !this.over) this.ask();
    }
  }
}

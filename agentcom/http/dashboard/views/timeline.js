// What happened to one task, from its events: a line each, and what its agent printed.

import { h, fill, keyed } from "../dom.js";
import { get, part } from "../api.js";
import { count, exact, local, share, size, span, word } from "../words.js";

const PAGE = 1000;
const PAGES = 20;
const LINES = 300;
const OUTPUT = 262144;
const TEXT = 2000;

export class Timeline {
  constructor(id) {
    this.id = id;
    this.raw = `/api/tasks/${part(id)}/events?limit=${PAGE}`;
    this.list = h("ol", { class: "timeline" });
    this.older = h("p", { class: "hint" });
    this.element = h("div", {}, this.older, this.list);
    this.pre = h("pre", { class: "output", tabindex: 0, "aria-label": "Output" });
    this.follow = h("input", { type: "checkbox", id: "follow", checked: true });
    this.lost = h("p", { class: "hint" });
    this.output = h("div", { hidden: true },
      this.pre,
      h("div", { class: "row" }, h("span", { class: "check" }, this.follow, h("label", { for: "follow" }, "Follow")), this.lost));
    this.pre.addEventListener("scroll", () => {
      if (!this.pushed) this.follow.checked = this.atEnd();
    });
    this.follow.addEventListener("change", () => this.toEnd());
    this.frame = null;
    this.loads = 0;
    this.reset();
  }

  reset() {
    this.seq = 0;
    this.lines = [];
    this.dropped = 0;
    this.early = [];
    this.loading = true;
    this.last = null;
    // When the newest attempt was given out, in Unix milliseconds.
    this.began = 0;
    this.printed = 0;
    this.shown = 0;
    this.pending = "";
    this.pre.replaceChildren();
  }

  /** Read all that is kept; what the stream brings meanwhile is put behind it. */
  async load() {
    this.reset();
    this.loads += 1;
    const mine = this.loads;
    let path = this.raw;
    for (let page = 0; path && page < PAGES; page += 1) {
      const told = await get(path);
      if (mine !== this.loads) return;
      for (const event of told.events) this.add(event);
      path = told.cursor && `${this.raw}&cursor=${part(told.cursor)}`;
    }
    this.more = Boolean(path);
    this.loading = false;
    for (const event of this.early.splice(0)) this.add(event);
    this.paint();
  }

  /** What the stream brought. */
  hear(event) {
    if (event.task_id !== this.id || event.seq === null) return;
    if (this.loading) {
      if (this.early.length < PAGE) this.early.push(event);
      return;
    }
    this.add(event);
    this.frame ??= requestAnimationFrame(() => this.paint());
  }

  add(event) {
    if (event.seq <= this.seq) return;
    this.seq = event.seq;
    const payload = event.payload;
    if (event.event === "task_assigned" || event.event === "task_accepted") this.began = event.timestamp;
    if (event.event === "task_progress") {
      if (payload.output) this.print(payload.output);
      if (payload.progress === undefined && !payload.message) return;
      const line = this.lines.at(-1);
      if (line?.event === "task_progress" && line.generation === event.generation) {
        Object.assign(line, { until: event.timestamp, times: line.times + 1 });
        if (payload.progress !== undefined) line.progress = payload.progress;
        if (payload.message) line.text = payload.message;
        return;
      }
      this.push(event, { progress: payload.progress, text: payload.message ?? "", times: 1 });
      return;
    }
    this.push(event, describe(event));
  }

  push(event, more) {
    this.lines.push({
      seq: event.seq, event: event.event, at: event.timestamp, generation: event.generation,
      after: this.last === null ? null : event.timestamp - this.last, who: event.agent_id, ...more,
    });
    this.last = event.timestamp;
    if (this.lines.length > LINES) {
      this.lines.shift();
      this.dropped += 1;
    }
  }

  print(text) {
    this.printed += text.length;
    this.pending = (this.pending + text).slice(-OUTPUT);
  }

  paint() {
    this.frame = null;
    keyed(this.list, this.lines, (line) => line.seq, entry);
    fill(this.older, (this.dropped || this.more) && [
      this.more ? "Only the first events are shown. " : `${count(this.dropped)} older ones are not shown. `,
      h("a", { href: this.raw, target: "_blank", rel: "noopener" }, "All of them, raw")]);
    if (this.pending) {
      this.pre.append(document.createTextNode(this.pending));
      this.shown += this.pending.length;
      this.pending = "";
      while (this.shown > OUTPUT) {
        const first = this.pre.firstChild;
        const much = Math.min(first.length, this.shown - OUTPUT);
        if (much === first.length) first.remove();
        else first.deleteData(0, much);
        this.shown -= much;
      }
      this.output.hidden = false;
      if (this.follow.checked) this.toEnd();
    }
    const hidden = this.printed - this.shown;
    fill(this.lost, hidden > 0 && [
      `The first ${size(hidden)} of ${size(this.printed)} are not shown. `,
      h("a", { href: this.raw, target: "_blank", rel: "noopener" }, "All of it, raw")]);
  }

  atEnd() {
    return this.pre.scrollHeight - this.pre.scrollTop - this.pre.clientHeight < 24;
  }

  toEnd() {
    if (!this.follow.checked) return;
    this.pushed = true;
    this.pre.scrollTop = this.pre.scrollHeight;
    requestAnimationFrame(() => {
      this.pushed = false;
    });
  }

  close() {
    this.loads += 1;
    if (this.frame !== null) cancelAnimationFrame(this.frame);
  }
}

function entry(line) {
  const took = line.until && line.until > line.at ? `over ${span(line.until - line.at)}` : null;
  const part = line.progress === undefined ? null : share(line.progress);
  return h("li", { data: { is: line.event } },
    h("time", { datetime: new Date(line.at).toISOString(), title: exact(line.at) }, local(line.at)),
    h("span", { class: "after" }, line.after === null ? "" : `+${span(line.after)}`),
    h("div", {},
      h("b", {}, line.title ?? (line.times > 1 ? `Progress, ${count(line.times)} times` : "Progress")),
      line.who && !NOBODY.has(line.event) && [" ", h("a", { href: `#/agents/${part_of(line.who)}` }, line.who)],
      part !== null && ` ${Math.round(part * 100)} %`,
      took && h("span", { class: "hint" }, ` ${took}`),
      line.text && h("p", {}, String(line.text).slice(0, TEXT))));
}

const part_of = encodeURIComponent;

/** Events that are not about an agent, though one is named. */
const NOBODY = new Set(["task_submitted", "task_cancelled", "task_dead_letter", "task_expired", "task_deleted"]);

const REASONS = {
  retry: "an attempt failed, another follows",
  retried: "retried by hand",
  rejected: "the agent did not take it",
  accept_timeout: "the agent did not accept it in time",
  reassign: "the agent was back and had not begun",
  hold_expired: "the agent was away for too long",
  token_revoked: "the agent's last token was revoked",
  operator: "an operator took it from the agent",
  drained: "the agent is drained",
  attempts_exhausted: "all attempts failed",
  not_retryable: "the agent said that another attempt is no use",
  requeue_limit: "it went back to the queue too often",
  deadline: "its deadline passed",
  queue_timeout: "it waited for too long",
};

/** An event as a title and a sentence. */
function describe({ event, payload, generation }) {
  const why = [REASONS[payload.reason] ?? payload.reason, payload.by && `by ${payload.by}`, payload.note].filter(Boolean).join(", ");
  switch (event) {
    case "task_submitted":
      return { title: payload.origin === "push" ? "Pushed" : "Submitted", text: [
        `by ${payload.submitted_by}, ${payload.priority} priority`,
        payload.pinned && `for ${payload.pinned} alone`].filter(Boolean).join(", ") };
    case "task_assigned":
      return { title: "Given to", text: `attempt ${payload.attempt}, generation ${generation}` };
    case "task_accepted":
      return { title: "Begun by" };
    case "task_complete":
      return { title: "Completed by", text: payload.tokens_used ? `${count(payload.tokens_used)} tokens used` : "" };
    case "task_failed":
      return { title: "Attempt failed at", text: [payload.error, payload.reason].filter(Boolean).join("\n") };
    case "task_rejected":
      return { title: "Not taken by", text: payload.reason };
    case "task_recovering":
      return { title: "Back:", text: payload.outcome === "continue" ? "it goes on" : "it had not begun" };
    case "task_requeued":
      return { title: "Back in the queue from", text: why };
    case "task_cancelled":
      return { title: "Cancelled", text: [`by ${payload.by}`, payload.reason].filter(Boolean).join(": ") };
    case "task_dead_letter":
      return { title: "Given up", text: [why, payload.error ?? payload.last_requeue].filter(Boolean).join(": ") };
    case "task_expired":
      return { title: "Expired", text: why };
    case "output_truncated":
      return { title: "Output is cut", text: `the first ${size(payload.kept_bytes)} are kept` };
    default:
      return { title: word(event), text: why };
  }
}

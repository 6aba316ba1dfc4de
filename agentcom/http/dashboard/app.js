// The page's frame: finds the view for the address, and brings it what has happened.

import { h, fill } from "./dom.js";
import { get } from "./api.js";
import { Live, Refresher } from "./live.js";
import { deadLetters as tellDead, notice, refused } from "./parts.js";
import { onSession, session, signOut, signedIn } from "./session.js";
import { tick } from "./words.js";
import { overview } from "./views/overview.js";
import { tasks } from "./views/tasks.js";
import { task } from "./views/task.js";
import { newTask } from "./views/new.js";
import { agents } from "./views/agents.js";
import { agent } from "./views/agent.js";
import { messages, thread } from "./views/messages.js";
import { channel, channels } from "./views/channels.js";
import { deadLetters } from "./views/deadletters.js";

const VIEWS = [
  ["", overview], ["tasks", tasks], ["tasks/*", task], ["new", newTask],
  ["agents", agents], ["agents/*", agent], ["messages", messages], ["messages/*", thread],
  ["channels", channels], ["channels/*", channel], ["dead-letters", deadLetters],
];

const NAV = [
  ["", "Overview"], ["tasks", "Tasks"], ["agents", "Agents"], ["messages", "Messages"],
  ["channels", "Channels"], ["dead-letters", "Dead letters"],
];

const TROUBLE_MS = 10000;
const AGAIN_MS = 5000;
const TOLD_MS = 5000;

const main = document.getElementById("main");
const nav = document.getElementById("nav");
const liveState = document.getElementById("live");
const searchText = document.getElementById("search-text");

let open = null;

/** The address as a path, an id where there is one, and parameters. */
function address() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?", 2);
  const slash = path.indexOf("/");
  const name = slash < 0 ? path : path.slice(0, slash);
  let id = null;
  try {
    id = slash < 0 ? null : decodeURIComponent(path.slice(slash + 1));
  } catch {
    id = path.slice(slash + 1);
  }
  return { name, id, query: new URLSearchParams(query) };
}

function viewOf({ name, id }) {
  const wanted = id === null ? name : `${name}/*`;
  return VIEWS.find(([path]) => path === wanted)?.[1] ?? null;
}

/** Show the view of the address; one that is shown already is told of other parameters. */
function show() {
  if (!session()) return;
  const place = address();
  const view = viewOf(place);
  for (const link of nav.children) {
    if (link.dataset.name === place.name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (place.name === "tasks" && place.id === null) searchText.value = place.query.get("search") ?? "";
  if (open && open.view === view && open.id === place.id && open.shown.moved) {
    open.shown.moved(place.query);
    open.refresher.now();
    return;
  }
  close();
  if (!view) {
    document.title = "Not found · AgentCom";
    fill(main, h("div", { class: "empty" }, h("h1", {}, "Not found"), h("p", {}, "There is no such page. ", h("a", { href: "#/" }, "Overview"))));
    return;
  }
  const root = h("div", { class: "view" });
  const shown = view({ id: place.id, query: place.query, root, refresh: () => mine.refresher.now() });
  const refresher = new Refresher(async () => {
    try {
      await shown.refresh();
      mine.failed?.remove();
      mine.failed = null;
    } catch (error) {
      if (open !== mine) return;
      if (error.status === undefined) throw error;
      const said = refused(error);
      said.classList.add("failed");
      mine.failed?.remove();
      mine.failed = said;
      root.prepend(said);
      // The hub may be well again without any event that says so.
      if (error.status === 0 || error.status === 429 || error.status >= 500) {
        mine.again = setTimeout(() => refresher.ask(), AGAIN_MS);
      }
    } finally {
      root.removeAttribute("aria-busy");
    }
  }, shown.gap ?? 1000);
  const mine = { view, id: place.id, shown, refresher, poll: null, failed: null, again: null };
  if (shown.poll) mine.poll = setInterval(() => refresher.ask(), shown.poll);
  open = mine;
  root.setAttribute("aria-busy", "true");
  document.title = `${shown.title} · AgentCom`;
  fill(main, root);
  scrollTo(0, 0);
  // The new page is read from its beginning, unless somebody types elsewhere.
  if (document.activeElement !== searchText) main.focus({ preventScroll: true });
  refresher.now();
}

function close() {
  if (!open) return;
  open.refresher.stop();
  clearInterval(open.poll);
  clearTimeout(open.again);
  open.shown.close?.();
  open = null;
}

/** When it was last said that all is read anew: one cause has several signs. */
let told = -Infinity;

const live = new Live({
  state(state, words) {
    liveState.dataset.state = state;
    fill(liveState, words);
  },
  event(event) {
    if (event.topic === "presence" || LETTERS.has(event.event)) trouble.ask();
    if (open?.shown.wants(event)) open.refresher.ask();
  },
  anew(why) {
    if (why && performance.now() - told > TOLD_MS) {
      told = performance.now();
      notice(`${why}: everything is read anew.`);
    }
    open?.shown.anew?.();
    open?.refresher.now();
    trouble.now();
  },
});

const LETTERS = new Set(["task_dead_letter", "task_deleted", "task_requeued"]);

/** What the frame itself shows: the number of dead letters, and whether the hub is well. */
const trouble = new Refresher(async () => {
  if (!session()) return;
  try {
    const stats = await get("/api/tasks/stats");
    tellDead(stats.by_status.dead_letter);
  } catch {
    // The view says what is wrong.
  }
}, 5000);

function who(now) {
  fill(
    document.getElementById("who"),
    now && [
      h("span", { title: `Scopes: ${now.scopes.join(", ")}` }, now.agent_id),
      h("button", { type: "button", class: "quiet", onclick: () => signOut() }, "Sign out"),
    ],
  );
}

onSession((now, before) => {
  who(now);
  if (!now) {
    live.stop();
    close();
    fill(main);
    document.title = "AgentCom";
    return;
  }
  live.start();
  // Where somebody else signed in, what was shown may not be theirs to see.
  if (before && before.agent_id !== now.agent_id) close();
  if (!open) show();
  trouble.now();
});

fill(nav, NAV.map(([name, text]) => h("a", { href: `#/${name}`, data: { name } }, text)));
addEventListener("hashchange", show);
setInterval(() => {
  if (!document.hidden) tick();
}, 1000);
setInterval(() => trouble.ask(), TROUBLE_MS);

document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
document.getElementById("search").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = searchText.value.trim();
  location.hash = text ? `#/tasks?${new URLSearchParams({ search: text })}` : "#/tasks";
});
addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey) || event.target.tagName !== "TEXTAREA") return;
  event.target.form?.querySelector("[type=submit]")?.click();
});
addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
  if (document.querySelector("dialog[open]") || event.target.closest?.("input, textarea, select")) return;
  event.preventDefault();
  searchText.focus();
  searchText.select();
});

signedIn();

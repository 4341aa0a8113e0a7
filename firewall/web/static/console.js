// Keeps a page fresh and takes keys. Every page works without it; nothing is decided in here.
"use strict";

const POLL = 20000; // a hidden tab asks now and then instead of holding a connection open
const live = document.querySelector("[data-live]");
let source = null;
let due = null;

const one = (selector, root = document) => root.querySelector(selector);
const all = (selector, root = document) => [...root.querySelectorAll(selector)];

// time left

function spoken(seconds) {
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 600) return `${Math.floor(seconds / 60)} min ${String(seconds % 60).padStart(2, "0")} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  return `${Math.floor(seconds / 86400)} d`;
}

function tick() {
  for (const time of all("time[data-until]")) {
    const text = spoken(Math.max(0, Math.floor((Date.parse(time.dataset.until) - Date.now()) / 1000)));
    if (time.textContent !== text) time.textContent = text;
  }
  for (const bar of all("progress[data-until]")) {
    const [from, until] = [Date.parse(bar.dataset.from), Date.parse(bar.dataset.until)];
    bar.value = Math.min(1, Math.max(0, (until - Date.now()) / (until - from)));
    bar.hidden = false;
  }
}

// live: the server says which hold changed, the page asks for itself and takes over what is new

function pulse(state, text) {
  const shown = one("#pulse");
  if (!shown || shown.dataset.pulse === state) return;
  shown.dataset.pulse = state;
  shown.textContent = text;
}

function refresh() {
  clearTimeout(due);
  due = setTimeout(() => {
    const request = new XMLHttpRequest();
    request.open("GET", one("[data-live]").dataset.live); // not this page's own address: that may be a form's
    request.responseType = "document"; // parsed by the browser without running anything
    request.onload = () => take(request);
    request.send();
  }, 60);
}

// what a person writes into, which outlives the page's renewal
const fields = () => all("[data-live] textarea, [data-live] input:not([type=hidden], [type=checkbox])");
const called = (field) => `${field.form?.action} ${field.name}`;

function take(request) {
  const here = one("[data-live]");
  const fresh = request.response?.getElementById(here.id);
  if (request.status >= 500) return pulse("lost", "the console cannot answer now; this may be old");
  if (!fresh) return location.assign(here.dataset.live); // signed out
  const known = new Set(all("[data-say]").map((row) => row.dataset.row));
  const focused = here.contains(document.activeElement) ? document.activeElement.id : "";
  const written = new Map(fields().filter((field) => field.value !== field.defaultValue).map((field) => [called(field), field.value]));
  const unfolded = new Set(all("details[open] > summary", here).map((summary) => summary.textContent));
  const chosen = one("[data-row][aria-current]")?.dataset.row;
  here.replaceWith(document.importNode(fresh, true));
  pulse(source ? "live" : "poll", source ? "live" : "looks again now and then");
  document.title = request.response.title;
  for (const field of fields()) if (written.has(called(field))) field.value = written.get(called(field));
  for (const summary of all("[data-live] summary")) if (unfolded.has(summary.textContent)) summary.parentElement.open = true;
  if (focused) document.getElementById(focused)?.focus();
  if (chosen) mark(all("[data-row]").find((row) => row.dataset.row === chosen));
  const news = all("[data-say]").filter((row) => !known.has(row.dataset.row));
  if (news.length) one("#announce").textContent = news.map((row) => row.dataset.say).join("; ");
  tick();
}

function concerns(event) {
  const mine = one("[data-live]").dataset.hold;
  const { id } = JSON.parse(event.data);
  return !mine || !id || id === mine;
}

function listen() {
  source = new EventSource("/events");
  source.addEventListener("hello", refresh);
  source.addEventListener("hold", (event) => { if (concerns(event)) refresh(); });
  source.addEventListener("beat", () => { if (!one("[data-live]").dataset.hold) refresh(); });
  source.addEventListener("bye", () => { source.close(); refresh(); });
  source.onerror = () => {
    pulse("lost", "connection lost, trying again");
    if (source.readyState === EventSource.CLOSED) setTimeout(refresh, POLL);
  };
}

function attend() {
  if (document.hidden) { source?.close(); source = null; } else if (!source) listen();
}

// keys

function mark(row) {
  for (const other of all("[data-row][aria-current]")) other.removeAttribute("aria-current");
  row?.setAttribute("aria-current", "true");
}

function step(by) {
  const rows = all("[data-row]");
  if (!rows.length) return;
  const at = rows.findIndex((row) => row.hasAttribute("aria-current"));
  const row = rows[at < 0 ? (by > 0 ? 0 : rows.length - 1) : Math.min(rows.length - 1, Math.max(0, at + by))];
  mark(row);
  one("a", row).focus({ preventScroll: true });
  row.scrollIntoView({ block: "nearest" });
}

function decide(name) {
  const field = one(name);
  const row = one("[data-row][aria-current] a");
  if (field) { field.focus(); field.scrollIntoView({ block: "nearest" }); } else if (row) location.assign(row.href + name);
}

const keys = {
  j: () => step(1),
  k: () => step(-1),
  a: () => decide("#approve"),
  d: () => decide("#reason"),
  n: () => { const next = one("#next") ?? one(".entry a"); if (next) location.assign(next.href); },
  u: () => location.assign("/"),
  "/": () => { const search = one("#search"); if (search) search.focus(); else location.assign("/log#search"); },
  "?": () => one("#help")?.showModal(),
};

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest?.("input, textarea, select, dialog");
  if (event.key === "Escape" && typing) return event.target.blur();
  if (typing || event.ctrlKey || event.metaKey || event.altKey || !Object.hasOwn(keys, event.key)) return;
  event.preventDefault();
  keys[event.key]();
});

// a second click on the way to the server is one decision all the same; this only looks calmer
document.addEventListener("submit", (event) => { for (const button of all("button", event.target)) setTimeout(() => { button.disabled = true; }); });

const keyList = one("#keys");
if (keyList) { keyList.hidden = false; keyList.addEventListener("click", () => one("#help").showModal()); }
if (location.hash && one(location.hash)?.matches("button, textarea, input")) one(location.hash).focus();
tick();
setInterval(tick, 1000);
if (live) {
  attend();
  document.addEventListener("visibilitychange", attend);
  setInterval(() => { if (document.hidden) refresh(); }, POLL);
} else {
  one("#pulse")?.replaceChildren();
}

// The log as one types: the same page, asked for again, and its result taken over. Without it the form is sent.
"use strict";

{
  const WAIT = 180; // between a key and a question, in ms
  const FURTHER = 400; // how often it looks further back by itself while nothing is found
  const form = document.querySelector("form.filters");
  let asked = null;
  let due = null;

  function address(before = "") {
    const query = new URLSearchParams();
    for (const [name, value] of new FormData(form)) if (value.trim()) query.set(name, value.trim());
    const shown = `/log?${query}`;
    if (before) query.set("before", before);
    return [`/log?${query}`, shown];
  }

  function ask(before = "", left = FURTHER) {
    asked?.abort();
    const request = new XMLHttpRequest();
    const [url, shown] = address(before);
    asked = request;
    document.querySelector("#found").setAttribute("aria-busy", "true");
    request.open("GET", url);
    request.responseType = "document"; // parsed by the browser without running anything
    request.onload = () => take(request, shown, left);
    request.onerror = () => document.querySelector("#found").removeAttribute("aria-busy");
    request.send();
  }

  function take(request, shown, left) {
    const fresh = request.response?.getElementById("found");
    if (!fresh) return location.assign(shown); // signed out, or the store is gone
    const found = document.importNode(fresh, true);
    document.querySelector("#found").replaceWith(found);
    history.replaceState(null, "", shown);
    const rows = found.querySelectorAll("[data-row]").length;
    const older = found.dataset.older;
    if (!rows && older && left) {
      found.querySelector(".older p")?.replaceChildren("Nothing among the newest. Looking further back…");
      found.setAttribute("aria-busy", "true");
      return ask(older, left - 1);
    }
    document.querySelector("#announce").textContent = rows ? `${rows}${older ? " and more" : ""} found` : "nothing found";
  }

  form.addEventListener("input", (event) => {
    clearTimeout(due);
    due = setTimeout(ask, event.target.matches("select") ? 0 : WAIT);
  });
  // a search that had nothing on its first page goes on by itself
  const first = document.querySelector("#found");
  if (first.dataset.older && !first.querySelector("[data-row]") && !document.querySelector(".alert")) ask(first.dataset.older);
}

// Comfort only: the page reads without it. Renews what is marked as living, while somebody looks.
"use strict";

(() => {
  comfort();
  const live = document.getElementById("live");
  if (live?.dataset.every) follow(live);

  function comfort() {
    const search = document.getElementById("q");
    const typing = () => /^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement?.tagName ?? "");

    // `/` puts the cursor into the search box, unless somebody is typing.
    document.addEventListener("keydown", (event) => {
      if (event.key !== "/" || !search || typing() || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      search.focus();
      search.select();
    });

    // A second click on a button that is already at work does nothing.
    document.addEventListener("submit", (event) => {
      const form = event.target;
      if (form.method !== "post") return;
      if (form.dataset.sent) event.preventDefault();
      form.dataset.sent = "yes";
    });
    // A page that comes back from the browser's memory may send again.
    window.addEventListener("pageshow", () => {
      for (const form of document.forms) delete form.dataset.sent;
    });

    // One box for all rows that can be chosen.
    for (const tools of document.querySelectorAll(".tools")) {
      const boxes = tools.closest("form").querySelectorAll("tbody input[type=checkbox]");
      const label = document.createElement("label");
      const all = document.createElement("input");
      all.type = "checkbox";
      all.addEventListener("change", () => boxes.forEach((box) => (box.checked = all.checked)));
      label.append(all, " All shown");
      tools.prepend(label);
    }
  }

  function follow(live) {
    const button = document.createElement("button");
    const note = document.createElement("span");
    let running = true;
    let timer;

    button.type = "button";
    button.className = "quiet";
    button.id = "pause-updates";
    button.addEventListener("click", () => {
      running = !running;
      say();
      if (running) renew();
    });
    document.querySelector("footer").append(note, button);
    document.addEventListener("visibilitychange", () => document.hidden || renew());
    say();
    wait();

    function say(problem) {
      button.textContent = running ? "Pause updates" : "Go on updating";
      note.textContent = problem ?? (running ? "" : "Updates are paused.");
    }

    function wait() {
      clearTimeout(timer);
      timer = setTimeout(renew, 1000 * Number(live.dataset.every));
    }

    // Whoever reads with the keyboard, or has marked something, is not disturbed.
    function busy() {
      return document.hidden || live.contains(document.activeElement) || String(document.getSelection()).length > 0;
    }

    async function renew() {
      clearTimeout(timer);
      if (!running) return;
      try {
        if (!busy()) await fetchAndShow();
        say();
      } catch {
        say("No answer: what is shown is of before.");
      }
      if (live.dataset.every) wait();
      else button.remove();
    }

    async function fetchAndShow() {
      const answer = await fetch(location.href, { headers: { accept: "text/html" } });
      // Signed out meanwhile: the browser goes where it would have gone.
      if (answer.redirected) return location.reload();
      if (!answer.ok) throw new Error(`status ${answer.status}`);
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.getElementById("live");
      if (!fresh || busy()) return;
      live.replaceChildren(...fresh.childNodes);
      if (!fresh.dataset.every) delete live.dataset.every;
      for (const part of [".light", "nav ul"]) document.querySelector(part).replaceWith(page.querySelector(part));
    }
  }
})();

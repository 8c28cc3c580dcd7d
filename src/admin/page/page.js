// Optional convenience: the page works without it. Refreshes the part marked as live while the page is visible.
"use strict";

(() => {
  comfort();
  if (document.getElementById("light")) listen();
  const live = document.getElementById("live");
  if (live?.dataset.every) follow(live);

  function comfort() {
    const search = document.getElementById("q");
    const typing = () => /^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement?.tagName ?? "");

    // `/` moves the cursor into the search box, unless a field has the focus.
    document.addEventListener("keydown", (event) => {
      if (event.key !== "/" || !search || typing() || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      search.focus();
      search.select();
    });

    // A second submission of the same form does nothing.
    document.addEventListener("submit", (event) => {
      const form = event.target;
      if (form.method !== "post") return;
      if (form.dataset.sent) event.preventDefault();
      form.dataset.sent = "yes";
    });
    // A page restored from the browser's cache may submit again.
    window.addEventListener("pageshow", () => {
      for (const form of document.forms) delete form.dataset.sent;
    });

    // A check box that selects all rows.
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

  // The verdict in the header and in the title is renewed on every page. Without an answer for five seconds it turns grey and
  // says since when: a page must not look well after its worker has died.
  function listen() {
    const every = 2000;
    const silence = 5000;
    const own = document.title.split(" · ").slice(1).join(" · ");
    const made = new Date(document.querySelector("#light time").dateTime);
    let why = "no answer";
    let heard = { at: performance.now(), time: Number.isNaN(made.getTime()) ? new Date() : made };

    document.body.classList.add("listening");
    ask();
    setInterval(check, 1000);
    document.addEventListener("visibilitychange", () => document.hidden || check());

    async function ask() {
      try {
        const answer = await fetch("/light", {
          headers: { accept: "text/html", "x-handoffd-refresh": "1" },
          signal: AbortSignal.timeout(silence - 1000),
        });
        // After the end of the session the sign-in form answers, which shows nothing.
        why = answer.redirected ? "signed out" : "no answer";
        if (answer.ok && !answer.redirected) show(await answer.text());
      } catch {
        why = "no answer";
      }
      check();
      setTimeout(ask, every);
    }

    function show(text) {
      const fresh = new DOMParser().parseFromString(text, "text/html").getElementById("light");
      if (!fresh) return;
      const shown = document.getElementById("light");
      shown.replaceWith(fresh);
      document.title = `${fresh.dataset.verdict} · ${own}`;
      // The rest of the page follows at once, or it would contradict the verdict.
      if (fresh.dataset.verdict !== shown.dataset.verdict) document.dispatchEvent(new Event("changed"));
      document.body.classList.remove("unheard");
      document.getElementById("silence")?.remove();
      heard = { at: performance.now(), time: new Date() };
    }

    function check() {
      if (performance.now() - heard.at < silence) return;
      const light = document.getElementById("light");
      light.className = "light grey";
      delete light.dataset.verdict;
      light.textContent = `Unknown: ${why} since ${heard.time.toISOString().slice(11, 19)} UTC`;
      const band = document.querySelector(".band h1");
      if (band) band.textContent = light.textContent;
      document.title = `Unknown · ${own}`;
      document.body.classList.add("unheard");
      if (!document.getElementById("silence")) document.getElementById("main").prepend(advice());
    }

    function advice() {
      const text = document.createElement("p");
      text.id = "silence";
      text.className = "verdict";
      text.setAttribute("role", "alert");
      const signIn = "Reload the page and sign in again.";
      const check = "Check that the worker runs and that this browser reaches it (handoffd status, on its machine, shows the cause).";
      text.textContent = `What follows is from before ${heard.time.toISOString().slice(11, 19)} UTC. ${why === "signed out" ? signIn : check}`;
      return text;
    }
  }

  function follow(live) {
    const button = document.createElement("button");
    const note = document.createElement("span");
    let running = true;
    let shownAt = new Date();
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
    document.addEventListener("changed", renew);
    say();
    wait();

    function say(problem) {
      button.textContent = running ? "Pause updates" : "Resume updates";
      note.textContent = problem ?? (running ? "" : "Updates are paused.");
    }

    function wait() {
      clearTimeout(timer);
      timer = setTimeout(renew, 1000 * Number(live.dataset.every));
    }

    // A reader who uses the keyboard or has selected text is not disturbed.
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
        say(`Connection lost. Showing data from ${shownAt.toISOString().slice(11, 16)} UTC.`);
      }
      if (live.dataset.every) wait();
      else button.remove();
    }

    async function fetchAndShow() {
      const answer = await fetch(location.href, {
        headers: { accept: "text/html", "x-handoffd-refresh": "1" },
      });
      // The session has ended: let the browser follow the redirect.
      if (answer.redirected) return location.reload();
      if (!answer.ok) throw new Error(`status ${answer.status}`);
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.getElementById("live");
      if (!fresh || busy()) return;
      live.replaceChildren(...fresh.childNodes);
      shownAt = new Date();
      if (!fresh.dataset.every) delete live.dataset.every;
      document.querySelector("nav ul").replaceWith(page.querySelector("nav ul"));
    }
  }
})();

// The page works without this file. With it, a running verification is shown
// as it happens, and values can be copied with one click.
"use strict";

for (const button of document.querySelectorAll("[data-copy]")) {
  if (!navigator.clipboard) break;
  button.hidden = false;
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(button.dataset.copy);
    } catch {
      return;
    }
    const before = button.textContent;
    button.textContent = button.dataset.copied;
    setTimeout(() => { button.textContent = before; }, 2000);
  });
}

const live = document.querySelector("[data-follow]");
if (live && live.dataset.follow && window.EventSource) {
  const count = live.querySelector("[data-count]");
  const waiting = live.querySelector("[data-waiting]");
  const events = new EventSource(live.dataset.follow);
  const reload = () => { events.close(); location.reload(); };

  events.addEventListener("steps", (event) => {
    const news = JSON.parse(event.data);
    let passed = 0;
    for (const step of news.steps) {
      if (step.result === "passed") passed++;
      const row = live.querySelector(`[data-step="${CSS.escape(step.name)}"]`);
      if (!row) continue;
      row.className = "check " + step.result;
      row.querySelector("[data-result]").textContent = ", " + step.text;
    }
    const text = count.dataset.count.replace("#", passed);
    if (count.textContent !== text) count.textContent = text;
    if (waiting) waiting.hidden = !news.waiting;
  });
  events.addEventListener("done", reload);
  // The browser reconnects by itself, except if the answer was no stream: then
  // the page does what it does without a script.
  events.addEventListener("error", () => {
    if (events.readyState === EventSource.CLOSED) setTimeout(reload, 3000);
  });
}

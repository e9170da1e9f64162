// The page works without this file, where its own URL takes forms. With it, a
// running verification is shown as it happens, values can be copied with one
// click, and the forms also work where the service takes its JSON API's routes
// only: GET integrate, POST api/integration/start and api/integration/complete.
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

const main = document.getElementById("main");
const takesForms = async () => {
  try {
    const answer = await fetch("?ping", {method: "POST"});
    return answer.status !== 404 && answer.status !== 405;
  } catch {
    return true; // sending the form tells why
  }
};

const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1) + (text.endsWith(".") ? "" : ".");

const notify = (form, kind, text, remedy) => {
  form.parentElement.querySelector("[data-notice]")?.remove();
  if (!text) return;
  const notice = document.createElement("section");
  notice.className = "notice " + kind;
  notice.dataset.notice = "";
  notice.setAttribute("role", kind === "error" ? "alert" : "status");
  const mark = notice.appendChild(document.createElement("span"));
  mark.className = "mark";
  mark.setAttribute("aria-hidden", "true");
  const words = notice.appendChild(document.createElement("div"));
  words.appendChild(document.createElement("p")).textContent = sentence(text);
  if (remedy) {
    const p = words.appendChild(document.createElement("p"));
    p.className = "remedy";
    p.textContent = sentence(remedy);
  }
  form.before(notice);
};

// What services make of an error differs; crossaccount's own has code, message,
// remedy and retryable.
const problemIn = (answer) => {
  const problem = answer && typeof answer === "object" ? answer.error ?? answer : {};
  if (typeof problem === "string") return {message: problem};
  return {message: problem.message ?? problem.detail, remedy: problem.remedy, retryable: problem.retryable};
};

const post = async (path, fields) => {
  const response = await fetch(path, {
    method: "POST", headers: {"Content-Type": "application/json", Accept: "application/json"}, body: JSON.stringify(fields),
  });
  let answer = null;
  try {
    answer = await response.json();
  } catch { /* the status says enough */ }
  return {response, answer};
};

const sendAsJSON = async (form) => {
  const {action, ...fields} = Object.fromEntries([...new FormData(form)].filter(([, value]) => value !== ""));
  const path = "api/integration/" + action;
  for (let tries = 1; ; tries++) {
    const {response, answer} = await post(path, fields);
    const problem = problemIn(answer);
    if (response.ok && response.status !== 202) {
      await show(fields, answer ?? {});
      return;
    }
    const again = response.status === 202 || problem.retryable;
    notify(form, again ? "wait" : "error", problem.message ?? main.dataset.failed, problem.remedy);
    if (!again || tries === 60) return;
    const seconds = Number(response.headers.get("Retry-After")) || 5;
    await new Promise((resolve) => { setTimeout(resolve, 1000 * Math.min(seconds, 30)); });
  }
};

// show goes to the page of the onboarding. Where nobody says who is calling, the
// external ID in the answer shows that it was begun in this browser.
const show = async (fields, answer) => {
  const query = new URLSearchParams();
  if (fields.customer_id) query.set("customer_id", fields.customer_id);
  const integration = answer.integration_id ?? fields.integration_id;
  if (integration) query.set("integration", integration);
  const externalID = answer.external_id ?? new URLSearchParams(String(answer.launch_url).split("?").pop()).get("param_ExternalId");
  if (fields.customer_id && externalID) {
    await fetch("?" + query, {headers: {"Crossaccount-External-Id": externalID}});
  }
  location.assign(location.pathname + "?" + query);
};

let routed;
for (const form of document.querySelectorAll("form")) {
  const button = form.querySelector("button:not([type])");
  let busy = false;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (busy) return;
    busy = true;
    button.setAttribute("aria-busy", "true");
    routed ??= await takesForms();
    // The JSON API has no way to check a role again.
    if (routed || form.elements.action.value === "check") {
      HTMLFormElement.prototype.submit.call(form);
      return;
    }
    try {
      await sendAsJSON(form);
    } catch {
      notify(form, "error", main.dataset.failed);
    }
    busy = false;
    button.removeAttribute("aria-busy");
  });
  window.addEventListener("pageshow", () => { // also when the visitor goes back
    busy = false;
    button.removeAttribute("aria-busy");
  });
}

// Keeps an open page fresh. It renders nothing itself: it fetches the page's own address and
// takes over the parts that differ; a log's new lines come from the server as finished HTML.

const dot = document.getElementById("live-dot");
const say = (state, text) => {
  if (!dot) return;
  dot.dataset.state = state;
  dot.textContent = text;
};

let due = false;
let busy = false;
let rest = 1000;

const busyInside = (part) =>
  part.contains(document.activeElement) && /^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement.tagName);

const swap = (part, fresh) => {
  if (part.innerHTML === fresh.innerHTML || busyInside(part)) return;
  const open = [...part.querySelectorAll("details[open][id]")].map((item) => item.id);
  const focused = part.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
  part.innerHTML = fresh.innerHTML;
  for (const id of open) document.getElementById(id)?.setAttribute("open", "");
  if (focused) part.querySelector(`[href="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
};

const refresh = async () => {
  if (busy || document.hidden) {
    due = true;
    return;
  }
  busy = true;
  due = false;
  const began = performance.now();
  try {
    const answer = await fetch(location.href, { headers: { accept: "text/html" } });
    if (answer.ok) {
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      document.title = page.title;
      for (const part of document.querySelectorAll("[data-live][id]")) {
        const fresh = page.getElementById(part.id);
        if (fresh) swap(part, fresh);
      }
    } else if (answer.status === 401) {
      location.reload();
    }
  } catch {
    due = true; // The stream's own reconnect brings the next try.
  }
  // A page that is costly to make is asked for less often.
  rest = Math.min(15000, Math.max(1000, 4 * (performance.now() - began)));
  setTimeout(() => {
    busy = false;
    if (due) refresh();
  }, rest);
};

let stream = null;
const listen = () => {
  const topics = document.body.dataset.topics;
  if (topics === undefined || stream) return;
  stream = new EventSource("/events" + (topics ? "?topics=" + encodeURIComponent(topics) : ""));
  stream.onopen = () => say("on", "live");
  stream.onerror = () => say("off", "reconnecting");
  stream.addEventListener("change", refresh);
};
const quiet = () => {
  stream?.close();
  stream = null;
  say("paused", "paused");
};

// A log that is still written.
const log = document.querySelector("[data-log]");
let following = false;
const follow = async () => {
  if (!log || following || document.hidden || log.dataset.done === "true") return;
  following = true;
  let wait = 1000;
  try {
    const url = log.dataset.log + "&as=html&from=" + log.dataset.next;
    const answer = await fetch(url);
    if (answer.ok) {
      const atEnd = innerHeight + scrollY >= document.documentElement.scrollHeight - 80;
      const text = await answer.text();
      if (text) {
        log.insertAdjacentHTML("beforeend", text);
        wait = 100;
      }
      log.dataset.next = answer.headers.get("x-next");
      log.dataset.done = answer.headers.get("x-done");
      if (atEnd && text) scrollTo(0, document.documentElement.scrollHeight);
    } else {
      wait = 5000;
    }
  } catch {
    wait = 5000;
  }
  following = false;
  if (log.dataset.done === "true") refresh();
  else setTimeout(follow, wait);
};

document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    quiet();
  } else {
    listen();
    refresh();
    follow();
  }
});
addEventListener("pagehide", quiet);
addEventListener("pageshow", (event) => {
  if (event.persisted) {
    listen();
    refresh();
  }
});

// Copies a sample.
for (const button of document.querySelectorAll("[data-copy]")) {
  button.hidden = false;
  button.addEventListener("click", () => {
    navigator.clipboard?.writeText(document.getElementById(button.dataset.copy).textContent);
    button.textContent = "Copied";
  });
}

// Forms that filter send themselves.
for (const form of document.querySelectorAll("form[data-auto]")) {
  form.addEventListener("change", () => form.requestSubmit());
}

if (!document.hidden) {
  listen();
  follow();
}

// Keeps the page live: when the server says that something changed, the same page is fetched again and the parts
// marked data-live are put in place. What a person is typing into is left alone.
"use strict";
(() => {
  const pulse = document.getElementById("pulse");
  if (!pulse) return;
  const say = (text, live) => {
    pulse.textContent = text;
    pulse.classList.toggle("on", live);
  };

  let due = false;
  let busy = false;
  async function refresh() {
    if (busy) {
      due = true;
      return;
    }
    busy = true;
    try {
      const answer = await fetch(location.href, { credentials: "same-origin", redirect: "follow" });
      if (new URL(answer.url).pathname === "/login") {
        location.assign("/login");
        return;
      }
      if (!answer.ok) return;
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const part of document.querySelectorAll("[data-live][id]")) {
        const next = fresh.getElementById(part.id);
        const typing = part.contains(document.activeElement) && document.activeElement.matches("input, select");
        if (next && !typing && part.isConnected && part.innerHTML !== next.innerHTML) {
          part.className = next.className;
          part.innerHTML = next.innerHTML;
        }
      }
    } catch {
      // The stream's own error says that the server is away.
    } finally {
      busy = false;
      if (due) {
        due = false;
        soon();
      }
    }
  }

  let timer = 0;
  const soon = () => {
    if (!timer) {
      timer = setTimeout(() => {
        timer = 0;
        refresh();
      }, 300);
    }
  };

  const stream = new EventSource("/v1/stream");
  stream.addEventListener("open", () => {
    say("live", true);
    soon();
  });
  stream.addEventListener("error", () => say("reconnecting", false));
  stream.addEventListener("ledger", soon);
  stream.addEventListener("device", soon);
  // Evidence and times move on without an event of their own.
  setInterval(soon, 5000);
})();

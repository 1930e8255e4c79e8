// Live reload: the page of one generation follows the store. One connection serves all tabs of a browser: the
// tab that holds the lock is the leader, and passes events on.
(() => {
  "use strict";
  const shown = Number(document.currentScript.dataset.generation);
  const channel = "BroadcastChannel" in window ? new BroadcastChannel("genstore-live") : null;
  let overlay = null;
  let failure = null;

  const hide = () => {
    overlay?.remove();
    overlay = null;
  };

  const show = (message) => {
    hide();
    overlay = document.createElement("genstore-overlay");
    overlay.style.cssText = "all:initial;position:fixed;inset:0;z-index:2147483647";
    const root = overlay.attachShadow({ mode: "open" });
    const style = document.createElement("style");
    style.textContent =
      "div{position:absolute;inset:0;overflow:auto;padding:min(8vh,5rem) 1.5rem;background:rgba(12,14,20,.62);" +
      "backdrop-filter:blur(3px);font:15px/1.55 ui-monospace,SFMono-Regular,Menlo,monospace;color:#f4f4f6}" +
      "section{max-width:56rem;margin:auto;background:#16181f;border:1px solid #34384a;border-top:4px solid #ff5d5d;" +
      "border-radius:10px;padding:1.4rem 1.6rem;box-shadow:0 18px 60px rgba(0,0,0,.5)}" +
      "h1{font:600 17px/1.4 system-ui,sans-serif;margin:0 0 .2rem;color:#ff8080}" +
      "p{font:14px/1.5 system-ui,sans-serif;margin:0 0 1rem;color:#a9adbd}" +
      "pre{margin:0;white-space:pre-wrap;overflow-wrap:anywhere}" +
      "button{all:unset;float:right;cursor:pointer;padding:.1rem .5rem;border-radius:5px;color:#a9adbd}" +
      "button:focus-visible,button:hover{background:#2a2e3c;color:#fff}";
    const box = document.createElement("div");
    const section = document.createElement("section");
    section.setAttribute("role", "alertdialog");
    section.setAttribute("aria-label", "The build failed");
    const close = document.createElement("button");
    close.textContent = "Close";
    close.addEventListener("click", hide);
    const title = document.createElement("h1");
    title.textContent = "The build failed";
    const note = document.createElement("p");
    note.textContent = "This page shows the last good generation. It goes on by itself when the build succeeds.";
    const text = document.createElement("pre");
    text.textContent = message;
    section.append(close, title, note, text);
    box.append(section);
    root.append(style, box);
    document.documentElement.append(overlay);
  };

  const own = () => {
    const path = decodeURIComponent(location.pathname).replace(/^\//, "");
    return [path, path + "index.html", path + ".html", path + "/index.html"];
  };

  const swap = (changed) => {
    const links = [...document.querySelectorAll('link[rel~="stylesheet"]')];
    const found = changed.map((path) =>
      links.filter((link) => decodeURIComponent(new URL(link.href).pathname).replace(/^\//, "") === path));
    if (found.some((list) => list.length === 0)) return false;
    for (const link of found.flat()) {
      const next = link.cloneNode();
      const address = new URL(link.href);
      address.searchParams.set("genstore", String(Date.now()));
      next.href = address.href;
      next.addEventListener("load", () => link.remove());
      next.addEventListener("error", () => link.remove());
      link.after(next);
    }
    return true;
  };

  const moved = (changed) => {
    if (!changed) return location.reload();
    const pages = own();
    const matters = changed.filter((path) => !/\.html?$/.test(path) || pages.includes(path));
    if (matters.length === 0) return;
    if (matters.every((path) => path.endsWith(".css")) && swap(matters)) return;
    location.reload();
  };

  let generation = shown;
  const heard = (event) => {
    if (event.event === "hello") failure = event.failure;
    if (event.event === "failed") failure = event.message;
    if (event.event === "mended" || event.event === "moved") failure = null;
    if (event.event === "hello" || event.event === "moved") {
      // A page that has just connected may hear of one move twice: in the greeting, and as an event.
      if (event.generation === generation) return event.failure ? show(event.failure) : hide();
      const is_next = event.previous === generation;
      generation = event.generation;
      if (event.failure) show(event.failure);
      else hide();
      return moved(is_next ? event.changed : null);
    }
    if (event.event === "failed") show(event.message);
    if (event.event === "mended") hide();
  };

  const lead = () =>
    new Promise(() => {
      const source = new EventSource("/@genstore/events?from=" + generation);
      source.addEventListener("message", (message) => {
        const event = JSON.parse(message.data);
        channel?.postMessage(event);
        heard(event);
      });
      // A tab that was opened later asks for the present state.
      channel?.addEventListener("message", ({ data }) => {
        if (data === "who") channel.postMessage({ event: "hello", generation, failure });
      });
    });
  channel?.addEventListener("message", ({ data }) => {
    if (data !== "who") heard(data);
  });
  if (navigator.locks && channel) {
    navigator.locks.request("genstore-live", lead);
    channel.postMessage("who");
  } else {
    lead();
  }
})();

// The server's own pages: a slider for images, and pages that follow the store while they are visible.
(() => {
  "use strict";
  const main = document.querySelector("main");
  for (const figure of main.querySelectorAll("[data-slider]")) {
    const input = document.createElement("input");
    input.type = "range";
    input.value = "50";
    input.setAttribute("aria-label", "The part of the image that is shown as it was before");
    input.addEventListener("input", () => figure.style.setProperty("--at", `${input.value}%`));
    figure.append(input);
  }
  const { live, current } = main.dataset;
  if (!live || !window.EventSource) return;
  let known = current;
  let renewing = Promise.resolve();

  const renew = async () => {
    const response = await fetch(location.href, { headers: { accept: "text/html" } });
    if (!response.ok) return;
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    const next = page.querySelector("main");
    const open = [...main.querySelectorAll("details[open][id]")].map((element) => element.id);
    const focused = document.activeElement?.id;
    main.replaceChildren(...next.childNodes);
    known = next.dataset.current;
    for (const id of open) document.getElementById(id)?.setAttribute("open", "");
    if (focused) document.getElementById(focused)?.focus();
  };

  const moved = () => {
    if (live === "tells") document.getElementById("moved").hidden = false;
    else renewing = renewing.then(renew).catch(() => {});
  };

  let source = null;
  const listen = () => {
    source = new EventSource("/@genstore/events");
    source.addEventListener("error", () => document.documentElement.classList.remove("connected"));
    source.addEventListener("message", ({ data }) => {
      const event = JSON.parse(data);
      document.documentElement.classList.add("connected");
      if (event.event === "hello" && String(event.generation ?? "") !== known) moved();
      if (event.event === "moved" || (event.event === "changed" && live === "follows")) moved();
    });
  };
  // A browser has few connections for one server: hidden pages leave them to others.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      source?.close();
      source = null;
      document.documentElement.classList.remove("connected");
    } else if (!source) {
      listen();
      if (live === "follows") moved();
    }
  });
  if (!document.hidden) listen();
})();

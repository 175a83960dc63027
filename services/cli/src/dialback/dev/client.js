// In every HTML page under `dialback dev`: loads the page anew after a save, shows what is wrong with one.
(() => {
  const { version: own, problem: told } = document.currentScript.dataset;
  let shown = null;

  const element = (name, text, style) => {
    const made = document.createElement(name);
    if (text) made.textContent = text;
    if (style) made.style.cssText = style;
    return made;
  };

  const source = (place) => {
    const box = element("pre", "", "margin:.5rem 0 1rem;padding:.75rem;overflow:auto;background:#0d0f13;border-radius:6px");
    for (const [number, text] of place.lines) {
      const meant = number === place.line;
      const line = `${meant ? ">" : " "} ${String(number).padStart(4)} | ${text}\n`;
      box.append(element("span", line, meant ? "color:#fff" : "color:#8b93a1"));
      if (meant && place.column !== null) {
        const marks = " ".repeat(place.column) + "^".repeat(Math.max(1, place.end - place.column));
        box.append(element("span", `       | ${marks}\n`, "color:#ff6b6b"));
      }
    }
    return box;
  };

  const hide = () => {
    shown?.remove();
    shown = null;
  };

  const show = (problem) => {
    hide();
    shown = element("dialback-problem");
    const root = shown.attachShadow({ mode: "open" });
    const cover = element("div", "", "position:fixed;inset:0;z-index:2147483647;overflow:auto;padding:2rem;"
      + "background:rgb(22 24 29 / 96%);color:#e6e8eb;font:15px/1.5 ui-monospace,monospace");
    cover.setAttribute("role", "alertdialog");
    cover.setAttribute("aria-label", "The last save is broken");
    cover.append(element("div", "The last save is broken; the version before it goes on.", "color:#8b93a1;font-family:system-ui,sans-serif"));
    cover.append(element("h1", problem.message, "font-size:1.2rem;color:#ff6b6b;white-space:pre-wrap;overflow-wrap:anywhere"));
    for (const place of problem.places) {
      cover.append(element("div", `${place.file}:${place.line}`, "color:#6cb6ff"));
      cover.append(source(place));
    }
    if (!problem.places.length && problem.details.length) {
      cover.append(element("pre", problem.details.join("\n"), "white-space:pre-wrap;color:#8b93a1"));
    }
    if (problem.hint) cover.append(element("p", `hint: ${problem.hint}`));
    const close = element("button", "Hide (Esc)", "font:inherit;padding:.25rem .75rem");
    close.addEventListener("click", hide);
    cover.append(close);
    root.append(cover);
    document.documentElement.append(shown);
  };

  addEventListener("keydown", (event) => {
    if (event.key === "Escape") hide();
  });

  const events = new EventSource("/_dialback/dev/events");
  events.addEventListener("state", (event) => {
    const state = JSON.parse(event.data);
    // A page that was made for a problem shows it already, until there is another one.
    if (state.version !== own || (told && told !== String(state.number))) {
      events.close();
      location.reload();
    } else if (!state.problem) {
      hide();
    } else if (!told) {
      show(state.problem);
    }
  });
  addEventListener("pagehide", () => events.close());
})();

// Which view is shown: `#/invocations/ID` is the view `invocations` with one parameter. A view is
// `{root, title, enter(parameter), leave?()}`; one with `one` hands over to that when there is a parameter.

const parse = () => location.hash.replace(/^#\/?/, "").split("/").filter(Boolean).map(decoded);

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

export class Router {
  #views;
  #shown = null;
  #links;

  constructor(views) {
    this.#views = views;
    this.#links = [...document.querySelectorAll("nav a[href]")];
  }

  /** Show what the address says. `typed`: somebody asked for it just now, so the keyboard goes there too. */
  show(typed = false) {
    const [name = "", parameter] = parse();
    const known = Object.hasOwn(this.#views, name) ? name : "";
    const list = this.#views[known];
    const view = parameter !== undefined && list.one ? list.one : list;
    if (this.#shown !== view) this.#shown?.leave?.();
    for (const each of Object.values(this.#views).flatMap((one) => [one, one.one]).filter(Boolean)) each.root.hidden = each !== view;
    for (const link of this.#links) {
      if (link.getAttribute("href") === `#/${known}`) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    this.#shown = view;
    view.enter(parameter);
    const title = parameter === undefined ? view.title : parameter;
    document.title = title ? `${title} \u00b7 Dialback` : "Dialback";
    if (!typed) return;
    scrollTo(0, 0);
    view.root.querySelector("h1")?.focus({ preventScroll: true });
  }
}

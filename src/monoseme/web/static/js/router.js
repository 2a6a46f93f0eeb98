// Paths to pages, with the browser's own history: every state has an address, and "back" goes where one was.

/**
 * routes: [[pattern, page]] with ":name" for a part of the path. A page is `async ({ params, query, signal }) => { title, node, keys, section }`.
 * `show(view, context)` puts it on the screen; `fail(error, context)` shows what went wrong.
 */
export class Router {
  constructor(routes, { show, fail, busy }) {
    this.routes = routes.map(([pattern, page]) => [compile(pattern), page]);
    this.show = show;
    this.fail = fail;
    this.busy = busy;
    this.visit = new AbortController();
    history.scrollRestoration = "manual";
    addEventListener("popstate", (event) => this.returned(event));
    addEventListener("click", (event) => this.follow(event));
  }

  /** A link into the page itself ("Skip to the page") tells of a new address too, and is no visit: what one has done here stays. */
  returned(event) {
    const isWithin = address() === this.address && (event.state === null || location.hash !== this.hash);
    if (isWithin) this.hash = location.hash;
    else this.open({ scroll: event.state?.scroll ?? 0 });
  }

  /** Remembers where the page at hand is. */
  stand() {
    this.address = address();
    this.hash = location.hash;
  }

  go(url, { replace = false, keepScroll = false } = {}) {
    if (!replace) this.remember();
    history[replace ? "replaceState" : "pushState"]({}, "", url);
    return this.open({ scroll: keepScroll ? scrollY : 0 });
  }

  /** Changes the address without opening it: for a page that has redrawn itself. */
  note(url, { replace = true } = {}) {
    if (!replace) this.remember();
    history[replace ? "replaceState" : "pushState"]({}, "", url);
    this.stand();
  }

  remember() {
    history.replaceState({ ...history.state, scroll: scrollY }, "");
  }

  async open({ scroll = 0 } = {}) {
    this.visit.abort();
    this.visit = new AbortController();
    this.stand();
    const { signal } = this.visit;
    const context = this.match(location.pathname);
    context.query = Object.fromEntries(new URLSearchParams(location.search));
    context.signal = signal;
    this.busy(true);
    try {
      const view = await context.page(context);
      if (signal.aborted) return;
      await this.show(view, context);
      scrollTo(0, scroll);
    } catch (error) {
      if (signal.aborted || error.name === "AbortError") return;
      this.fail(error, context);
    } finally {
      if (!signal.aborted) this.busy(false);
    }
  }

  match(path) {
    for (const [pattern, page] of this.routes) {
      const found = pattern.exec(path);
      if (found) return { page, params: decoded(found.groups ?? {}) };
    }
    return { page: lost, params: {} };
  }

  follow(event) {
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = event.target.closest?.("a[href]");
    if (!link || link.target || link.origin !== location.origin || link.hasAttribute("download")) return;
    if (link.hash || link.pathname.startsWith("/api")) return;
    event.preventDefault();
    this.go(link.pathname + link.search);
  }
}

/** What the page at hand is told by: the part after "#" leads about in it. */
function address() {
  return location.pathname + location.search;
}

async function lost() {
  throw Object.assign(new Error("There is no page at this address."), { hint: "Use the bar on top to go on.", status: 404 });
}

function compile(pattern) {
  return new RegExp(`^${pattern.replace(/:(\w+)/g, "(?<$1>[^/]+)")}/?$`);
}

function decoded(groups) {
  return Object.fromEntries(Object.entries(groups).map(([key, value]) => [key, safely(value)]));
}

function safely(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

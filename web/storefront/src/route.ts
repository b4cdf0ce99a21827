// Which page is shown: the part of the address after the `#`. A change of page moves the focus to its heading, so that a
// screen reader begins there.

import { useEffect, useState } from "preact/hooks";

export type Route =
  | { readonly page: "catalogue" | "checkout" | "orders" }
  | { readonly page: "order"; readonly id: string };

export function parseRoute(hash: string): Route {
  const [page, id] = hash.replace(/^#\/?/, "").split("/");
  if (page === "orders") return id ? { page: "order", id: decode(id) } : { page: "orders" };
  return { page: page === "checkout" ? "checkout" : "catalogue" };
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

export function orderPath(id: string): string {
  return `#/orders/${encodeURIComponent(id)}`;
}

export function useRoute(): Route {
  const [hash, see] = useState(location.hash);
  useEffect(() => {
    const onChange = () => see(location.hash);
    window.addEventListener("hashchange", onChange);
    return () => window.removeEventListener("hashchange", onChange);
  }, []);
  useEffect(() => {
    // Not on the first page: a browser that reloads restores the scroll position.
    if (hash === seen) return;
    seen = hash;
    window.scrollTo({ top: 0, behavior: "instant" });
    document.querySelector<HTMLElement>("h1")?.focus({ preventScroll: true });
  }, [hash]);
  return parseRoute(hash);
}

/** The address shown last; a test has none. */
let seen = globalThis.location?.hash;

export function useTitle(title: string): void {
  useEffect(() => {
    document.title = `${title} · Weirside Provisions`;
  }, [title]);
}

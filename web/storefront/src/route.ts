// Which page is shown: the part of the address after the `#`. A change of page moves the focus to its heading, so that a
// screen reader begins there.

import { useEffect, useState } from "preact/hooks";

export type Route =
  | { readonly page: "catalogue" | "checkout" | "orders" }
  | { readonly page: "order"; readonly id: string }
  | {
      readonly page: "lost";
      /** The address as it was given. */
      readonly address: string;
    };

export function parseRoute(hash: string): Route {
  const [path = ""] = hash.replace(/^#\/?/, "").split("?");
  const [page, id, ...rest] = path.replace(/\/$/, "").split("/");
  if (rest.length === 0 && page === "orders" && id !== undefined) {
    const order = orderId(decoded(id));
    if (order !== undefined) return { page: "order", id: order };
  } else if (id === undefined) {
    if (page === "") return { page: "catalogue" };
    if (page === "checkout" || page === "orders") return { page };
  }
  return { page: "lost", address: decoded(path) ?? path };
}

const ID_BYTES_MAX = 200;

/**
 * The order's id in `text`, if it can be one. Blanks around it are dropped, and an id of the shop's own shape is found however it
 * is written: the pages show it in capitals.
 */
export function orderId(text: string | undefined): string | undefined {
  const id = text?.trim() ?? "";
  // No control characters, separators, or halves of characters: the server takes no such subject.
  if (!/^[^\p{C}\p{Z}/]+$/u.test(id) || new TextEncoder().encode(id).length > ID_BYTES_MAX) return undefined;
  return /^[0-9a-hjkmnp-tv-z]{8}$/i.test(id) ? id.toLowerCase() : id;
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

/** The address of a page that was asked for without the `#`, as in `/shop/orders/09b6y4pv`; undefined for the shop's own. */
export function misplaced(path: string, base = "/shop/"): string | undefined {
  const rest = path.startsWith(base) ? path.slice(base.length) : path.replace(/^\/+/, "");
  return rest === "" || rest === "index.html" ? undefined : `${base}#/${rest}`;
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

// The client's environment: sockets, requests, time, randomness, and events that wake the page. Tests replace it; a page
// uses the browser's.

/** The used part of `WebSocket`. */
export interface Socket {
  onmessage: ((event: { data: unknown }) => void) | null;
  onclose: ((event: { code: number; reason: string }) => void) | null;
  send(text: string): void;
  close(code?: number, reason?: string): void;
}

export interface Environment {
  openSocket(url: string, subprotocol: string): Socket;
  fetch(url: string, init: RequestInit): Promise<Response>;
  /** Runs `action` after `delay_ms`; the returned function cancels it. */
  after(delay_ms: number, action: () => void): () => void;
  /** Milliseconds since the Unix epoch. */
  now(): number;
  /** From [0, 1). */
  random(): number;
  /** Whether there is a network, as far as the browser knows. */
  isOnline(): boolean;
  /** Calls `listener` with what happens to the page and the network; the returned function ends that. */
  onPage(listener: (event: PageEvent) => void): () => void;
}

/**
 * `online`, `offline`: the network is back, or gone. `shown`: the page is visible again, or came back from the browser's
 * back/forward cache. `left`: the page is unloaded, or kept in that cache, which takes no page with an open socket.
 */
export type PageEvent = "online" | "offline" | "shown" | "left";

/** The browser's (with the same globals, Node's). */
export function browser(): Environment {
  return {
    openSocket: (url, subprotocol) => new WebSocket(url, subprotocol) as unknown as Socket,
    fetch: (url, init) => fetch(url, init),
    after(delay_ms, action) {
      const timer = setTimeout(action, delay_ms);
      return () => clearTimeout(timer);
    },
    now: () => Date.now(),
    random: () => Math.random(),
    isOnline: () => globalThis.navigator?.onLine !== false,
    onPage,
  };
}

function onPage(listener: (event: PageEvent) => void): () => void {
  if (typeof window === "undefined") return () => {};
  const until = new AbortController();
  const { signal } = until;
  window.addEventListener("online", () => listener("online"), { signal });
  window.addEventListener("offline", () => listener("offline"), { signal });
  window.addEventListener("pageshow", () => listener("shown"), { signal });
  window.addEventListener("pagehide", () => listener("left"), { signal });
  const whenVisible = () => document.visibilityState === "visible" && listener("shown");
  document.addEventListener("visibilitychange", whenVisible, { signal });
  return () => until.abort();
}

/** A random UUID (version 4). `crypto.randomUUID` is missing on pages that came over plain HTTP from another machine. */
export function uuid(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

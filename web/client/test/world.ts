// A scripted environment for the client: virtual time, sockets driven by the test, requests that it answers. Nothing here
// waits: `advance` runs due timers, `settle` queued microtasks.

import { webcrypto } from "node:crypto";

import type { Environment, PageEvent, Socket } from "../src/environment.ts";
import type { ClientFrame } from "../src/protocol.ts";

export const EPOCH = "0123456789abcdef0123456789abcdef";

// Node 18 has it, but not as a global.
if (!("crypto" in globalThis)) Object.assign(globalThis, { crypto: webcrypto });

export class FakeSocket implements Socket {
  onmessage: Socket["onmessage"] = null;
  onclose: Socket["onclose"] = null;
  readonly sent: ClientFrame[] = [];
  closedWith: number | undefined;

  constructor(
    readonly url: string,
    readonly subprotocol: string,
  ) {}

  send(text: string): void {
    this.sent.push(JSON.parse(text) as ClientFrame);
  }

  close(code = 1005): void {
    this.closedWith = code;
  }

  /** The server sends `frame`; a string as it is. */
  says(frame: unknown): void {
    this.onmessage?.({ data: typeof frame === "string" ? frame : JSON.stringify(frame) });
  }

  hello(epoch = EPOCH): void {
    this.says({ type: "hello", epoch, heartbeat_ms: 25_000, subjects_max: 128 });
  }

  /** The server (or the network) ends the connection. */
  ends(code: number, reason = ""): void {
    this.onclose?.({ code, reason });
  }
}

export interface FakeRequest {
  readonly url: string;
  readonly body: Record<string, unknown>;
}

export class World implements Environment {
  readonly sockets: FakeSocket[] = [];
  readonly requests: FakeRequest[] = [];
  /** The answers to the next requests; an Error is a lost network. */
  readonly answers: (Response | Error)[] = [];
  chance = 0.5;
  #now_ms = 1_767_225_600_000;
  #timers: { readonly at_ms: number; readonly action: () => void }[] = [];
  #listeners = new Set<(event: PageEvent) => void>();
  /** The answer to the question whether Weirgate answers; an Error is none that the page may read. */
  liveness: () => Response | Error = () => new Response("ok\n");
  probes = 0;
  online = true;

  openSocket(url: string, subprotocol: string): Socket {
    const socket = new FakeSocket(url, subprotocol);
    this.sockets.push(socket);
    return socket;
  }

  async fetch(url: string, init: RequestInit): Promise<Response> {
    if (new URL(url).pathname === "/livez") {
      this.probes += 1;
      // Without CORS the page would learn nothing.
      const answer = init.mode === "no-cors" ? Response.error() : this.liveness();
      if (answer instanceof Error) throw answer;
      return answer;
    }
    this.requests.push({ url, body: JSON.parse(String(init.body)) as Record<string, unknown> });
    const answer = this.answers.shift();
    if (!answer) throw new Error(`no answer was scripted for ${url}`);
    if (answer instanceof Error) throw answer;
    return answer;
  }

  after(delay_ms: number, action: () => void): () => void {
    const timer = { at_ms: this.#now_ms + delay_ms, action };
    this.#timers.push(timer);
    return () => void (this.#timers = this.#timers.filter((other) => other !== timer));
  }

  now(): number {
    return this.#now_ms;
  }

  random(): number {
    return this.chance;
  }

  isOnline(): boolean {
    return this.online;
  }

  onPage(listener: (event: PageEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Something happens to the page or the network. */
  happens(event: PageEvent): void {
    if (event === "online" || event === "offline") this.online = event === "online";
    for (const listener of [...this.#listeners]) listener(event);
  }

  wake(): void {
    this.happens("shown");
  }

  get listeners(): number {
    return this.#listeners.size;
  }

  /** The socket opened last. */
  get socket(): FakeSocket {
    const socket = this.sockets.at(-1);
    if (!socket) throw new Error("no socket was opened");
    return socket;
  }

  /** Runs the timers of the next `delay_ms`, in order. */
  advance(delay_ms: number): void {
    const end_ms = this.#now_ms + delay_ms;
    for (;;) {
      const due = this.#timers.filter(({ at_ms }) => at_ms <= end_ms).sort((a, b) => a.at_ms - b.at_ms)[0];
      if (!due) break;
      this.#timers = this.#timers.filter((other) => other !== due);
      this.#now_ms = due.at_ms;
      due.action();
    }
    this.#now_ms = end_ms;
  }
}

/** Lets queued microtasks and finished promises run. */
export function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

export function part(version: number, state: string, text = state) {
  return { version, at_ms: 1_767_225_600_000 + version, state, text };
}

export class MemoryStorage {
  readonly items = new Map<string, string>();
  getItem(name: string): string | null {
    return this.items.get(name) ?? null;
  }
  setItem(name: string, value: string): void {
    this.items.set(name, value);
  }
  removeItem(name: string): void {
    this.items.delete(name);
  }
}

// `@weirgate/client/element`: `<weirgate-status subject="order/o-1" handler="payment">` shows one handler's line of a status,
// and keeps it up to date. Without a framework; elements of the same server share one connection.

import type { ConnectionState } from "./connection.ts";
import type { StatusDocument } from "./document.ts";
import type { Part } from "./protocol.ts";
import { Weirgate } from "./weirgate.ts";

/** The event `status` of the element: its document or the connection has changed. */
export interface StatusDetail {
  readonly document: StatusDocument | undefined;
  readonly part: Part | undefined;
  readonly connection: ConnectionState;
}

const clients = new Map<string, Weirgate>();

/** The client of a server, shared by all elements that name it. */
export function sharedClient(url: string): Weirgate {
  const { href } = new URL(url, globalThis.location?.href);
  const client = clients.get(href) ?? new Weirgate(href);
  clients.set(href, client);
  return client;
}

/** A base that exists where there is no page, so that the module can be imported on a server. */
const Base: typeof HTMLElement = globalThis.HTMLElement ?? (class {} as unknown as typeof HTMLElement);

/**
 * Attributes: `subject`; `handler`, the part to show, or none for the part that changed last; `url`, the server's, `/` unless
 * it is set. The element's content is shown until there is a line. It sets the attributes `state` (the part's word),
 * `delivery` (the state of a failed delivery) and `connection` for style sheets.
 */
export class WeirgateStatus extends Base {
  static readonly observedAttributes = ["subject", "handler", "url"];
  #client: Weirgate | undefined;
  #document: StatusDocument | undefined;
  #stop: (() => void) | undefined;
  #line: HTMLElement | undefined;

  /** The client to use instead of that of `url`. */
  get client(): Weirgate {
    return this.#client ?? sharedClient(this.getAttribute("url") ?? "/");
  }
  set client(client: Weirgate) {
    this.#client = client;
    this.#restart();
  }

  get document(): StatusDocument | undefined {
    return this.#document;
  }

  /** The part that is shown. */
  get shown(): Part | undefined {
    const parts = this.#document?.parts ?? {};
    const handler = this.getAttribute("handler");
    if (handler !== null) return parts[handler];
    return Object.values(parts).reduce<Part | undefined>((last, part) => (last && last.version > part.version ? last : part), undefined);
  }

  connectedCallback(): void {
    this.#restart();
  }

  disconnectedCallback(): void {
    this.#stop?.();
    this.#stop = undefined;
  }

  attributeChangedCallback(name: string, before: string | null, now: string | null): void {
    if (before === now || !this.isConnected) return;
    if (name === "handler") this.#show(this.client.connection);
    else this.#restart();
  }

  #restart(): void {
    this.disconnectedCallback();
    if (!this.isConnected) return;
    const subject = this.getAttribute("subject");
    this.#document = subject ? this.client.get(subject) : undefined;
    this.#show(this.client.connection);
    if (!subject) return;
    this.#stop = this.client.watch(subject, (document, connection) => {
      this.#document = document;
      this.#show(connection);
    });
  }

  #show(connection: ConnectionState): void {
    const part = this.shown;
    this.#set("state", part?.state);
    this.#set("delivery", part?.delivery?.state);
    this.#set("connection", connection.state === "disconnected" && connection.offline ? "offline" : connection.state);
    const line = (this.#line ??= this.#build());
    // Text, never markup: what a handler writes is data.
    if (part?.text) line.textContent = part.text;
    else line.replaceChildren(globalThis.document.createElement("slot"));
    const detail: StatusDetail = { document: this.#document, part, connection };
    this.dispatchEvent(new CustomEvent("status", { detail }));
  }

  #build(): HTMLElement {
    const line = globalThis.document.createElement("span");
    line.setAttribute("part", "text");
    line.setAttribute("role", "status");
    this.attachShadow({ mode: "open" }).append(line);
    return line;
  }

  #set(name: string, value: string | undefined): void {
    if (value) this.setAttribute(name, value);
    else this.removeAttribute(name);
  }
}

/** Defines the element, once. */
export function defineWeirgateStatus(name = "weirgate-status"): void {
  if (!customElements.get(name)) customElements.define(name, WeirgateStatus);
}

declare global {
  interface HTMLElementTagNameMap {
    "weirgate-status": WeirgateStatus;
  }
}

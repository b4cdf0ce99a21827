// The client: who watches which subject, the known documents, and what the server has yet to receive. Connection handles the
// socket; this side starts over at each hello.

import { Connection } from "./connection.ts";
import type { ConnectionState } from "./connection.ts";
import { applyDelta, fromSnapshot, GAP } from "./document.ts";
import type { StatusDocument } from "./document.ts";
import { browser } from "./environment.ts";
import type { Environment } from "./environment.ts";
import { FRAME_BYTES_MAX } from "./protocol.ts";
import type { Delta, Hello, Resume, ServerFrame, Snapshot } from "./protocol.ts";
import { publish } from "./publish.ts";
import type { CloudEvent, Published, PublishOptions } from "./publish.ts";
import { load, remove, save } from "./storage.ts";
import type { DocumentStorage } from "./storage.ts";

/** `document` is undefined until the subject's first document. */
export type Listener = (document: StatusDocument | undefined, connection: ConnectionState) => void;
export type ConnectionListener = (connection: ConnectionState) => void;

export interface WeirgateOptions {
  /** Where the last documents are stored for a refresh of the page, for example `sessionStorage`. Default: nowhere. */
  readonly storage?: DocumentStorage;
  /** How long an unused connection is kept. Default 5,000 ms. */
  readonly linger_ms?: number;
  /** For tests. */
  readonly environment?: Environment;
}

interface Watched {
  readonly listeners: Set<Listener>;
  document: StatusDocument | undefined;
  /** A requested snapshot has not come yet: until then deltas cannot be applied. */
  awaitsSnapshot: boolean;
}

export class Weirgate {
  readonly #environment: Environment;
  readonly #storage: DocumentStorage | undefined;
  readonly #linger_ms: number;
  readonly #url: URL;
  readonly #connection: Connection;
  readonly #watched = new Map<string, Watched>();
  readonly #connectionListeners = new Set<ConnectionListener>();
  /** The server's subscriptions of the present connection. */
  readonly #subscribed = new Set<string>();
  #epoch = "";
  #flushes = false;
  #cancelLinger = () => {};

  /** `url`: the server's, absolute or relative to the page, for instance `/`. Connects with the first `watch`. */
  constructor(url: string | URL, options: WeirgateOptions = {}) {
    this.#environment = options.environment ?? browser();
    this.#storage = options.storage;
    this.#linger_ms = options.linger_ms ?? 5_000;
    this.#url = new URL(url, globalThis.location?.href);
    const live = new URL("/v1/live", this.#url);
    live.protocol = live.protocol.replace("http", "ws");
    this.#connection = new Connection(live.href, this.#environment, {
      onHello: (hello) => this.#onHello(hello),
      onFrame: (frame) => this.#onFrame(frame),
      onState: (state) => this.#onState(state),
    });
  }

  get connection(): ConnectionState {
    return this.#connection.state;
  }

  /** The last known document of `subject`, without waiting; undefined if there is none. */
  get(subject: string): StatusDocument | undefined {
    return this.#watched.get(subject)?.document ?? load(this.#storage, subject);
  }

  /** Calls `listener` soon, and after each change of the document or the connection, until the result is called. */
  watch(subject: string, listener: Listener): () => void {
    // A separate function, so that the same listener can watch twice.
    const own: Listener = (document, connection) => listener(document, connection);
    const watched = this.#watched.get(subject) ?? this.#begin(subject);
    this.#cancelLinger();
    this.#connection.start();
    // Deferred, so that no listener is called before its `watch` has returned.
    watched.listeners.add(own);
    queueMicrotask(() => watched.listeners.has(own) && own(watched.document, this.connection));
    return () => this.#stop(subject, watched, own);
  }

  /** Calls `listener` soon and after each change of the connection, until the returned function is called. */
  onConnection(listener: ConnectionListener): () => void {
    const own: ConnectionListener = (connection) => listener(connection);
    this.#connectionListeners.add(own);
    queueMicrotask(() => this.#connectionListeners.has(own) && own(this.connection));
    return () => void this.#connectionListeners.delete(own);
  }

  /**
   * Publishes `event`, trying again with the same id while the server cannot be reached or is too busy.
   * Rejects with a `PublishError` when the server refuses the event or the tries are used up.
   */
  publish(event: CloudEvent, options: PublishOptions = {}): Promise<Published> {
    return publish(new URL("/v1/events", this.#url).href, event, options, this.#environment);
  }

  /** Tries to connect now; also if the server has forbidden it. */
  reconnect(): void {
    if (this.#watched.size > 0) this.#connection.reconnect();
  }

  /** Deletes the stored document of `subject`. */
  forget(subject: string): void {
    remove(this.#storage, subject);
  }

  /** Ends all watching. */
  close(): void {
    this.#watched.clear();
    this.#cancelLinger();
    this.#connection.stop("closed by the page");
    this.#connectionListeners.clear();
  }

  #begin(subject: string): Watched {
    const watched = { listeners: new Set<Listener>(), document: load(this.#storage, subject), awaitsSnapshot: false };
    this.#watched.set(subject, watched);
    // Stopped and begun again within one flush: the server still sends deltas, but the document is gone.
    this.#subscribed.delete(subject);
    this.#flushSoon();
    return watched;
  }

  #stop(subject: string, watched: Watched, listener: Listener): void {
    watched.listeners.delete(listener);
    if (watched.listeners.size > 0 || this.#watched.get(subject) !== watched) return;
    this.#watched.delete(subject);
    this.#flushSoon();
    if (this.#watched.size > 0) return;
    this.#cancelLinger = this.#environment.after(this.#linger_ms, () => this.#connection.stop("nothing to watch"));
  }

  #onHello(hello: Hello): void {
    this.#epoch = hello.epoch;
    this.#subscribed.clear();
    this.#flush();
  }

  #onState(state: ConnectionState): void {
    for (const listener of [...this.#connectionListeners]) guard(() => listener(state));
    for (const watched of [...this.#watched.values()]) this.#tell(watched);
  }

  #onFrame(frame: ServerFrame): void {
    if (frame.type === "snapshot") this.#onSnapshot(frame);
    else if (frame.type === "delta") this.#onDelta(frame);
    // An error is followed by a close, whose code decides; a heartbeat needs no action.
  }

  #onSnapshot(snapshot: Snapshot): void {
    const watched = this.#watched.get(snapshot.subject);
    if (!watched) return;
    watched.awaitsSnapshot = false;
    this.#replace(watched, fromSnapshot(snapshot));
  }

  #onDelta(delta: Delta): void {
    const watched = this.#watched.get(delta.subject);
    if (!watched || watched.awaitsSnapshot) return;
    const { document } = watched;
    const next = document?.epoch === this.#epoch ? applyDelta(document, delta) : GAP;
    if (next === GAP) this.#subscribeAnew(delta.subject, watched);
    else if (next !== document) this.#replace(watched, next);
  }

  /** The protocol excludes this. If it happens nevertheless, the whole document is requested. */
  #subscribeAnew(subject: string, watched: Watched): void {
    watched.awaitsSnapshot = true;
    this.#connection.send({ type: "subscribe", subjects: [{ subject }] });
  }

  #replace(watched: Watched, document: StatusDocument): void {
    watched.document = document;
    save(this.#storage, document);
    this.#tell(watched);
  }

  #tell(watched: Watched): void {
    for (const listener of [...watched.listeners]) guard(() => listener(watched.document, this.connection));
  }

  /** Successive calls of `watch` become one frame. */
  #flushSoon(): void {
    if (this.#flushes) return;
    this.#flushes = true;
    queueMicrotask(() => {
      this.#flushes = false;
      this.#flush();
    });
  }

  /** Sends the server the difference between its subscriptions and the watched subjects. */
  #flush(): void {
    if (this.connection.state !== "connected") return;
    const ended = [...this.#subscribed].filter((subject) => !this.#watched.has(subject));
    const begun = [...this.#watched].filter(([subject]) => !this.#subscribed.has(subject));
    for (const subject of ended) this.#subscribed.delete(subject);
    for (const [subject] of begun) this.#subscribed.add(subject);
    for (const subjects of chunks(ended)) this.#connection.send({ type: "unsubscribe", subjects });
    for (const subjects of chunks(begun.map((one) => this.#resume(...one)))) {
      this.#connection.send({ type: "subscribe", subjects });
    }
  }

  #resume(subject: string, watched: Watched): Resume {
    const { document } = watched;
    watched.awaitsSnapshot = document?.epoch !== this.#epoch;
    if (!document || watched.awaitsSnapshot) return { subject };
    return { subject, epoch: document.epoch, version: document.version };
  }
}

/** `items` in runs that fit a frame. A UTF-16 unit is at most three bytes of UTF-8. */
function chunks<T>(items: readonly T[]): T[][] {
  const runs: T[][] = [];
  let room = 0;
  for (const item of items) {
    const bytes_max = 3 * (JSON.stringify(item).length + 1);
    if (bytes_max > room) {
      runs.push([]);
      room = FRAME_BYTES_MAX - 128;
    }
    runs.at(-1)?.push(item);
    room -= bytes_max;
  }
  return runs;
}

/** An exception of one listener is reported like the page's own and does not affect the others. */
function guard(call: () => void): void {
  try {
    call();
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}

// One socket at a time: connects, watches heartbeats, the network and the page, and reconnects after a loss unless the server
// forbids it. Knows frames, but not their contents: subjects and documents belong to its owner.

import { delayMs, RECONNECT } from "./backoff.ts";
import type { Environment, PageEvent, Socket } from "./environment.ts";
import { isFinal, parseFrame, SUBPROTOCOL } from "./protocol.ts";
import type { ClientFrame, Hello, ServerFrame } from "./protocol.ts";

export type ConnectionState =
  | { readonly state: "connecting" }
  | { readonly state: "connected" }
  | {
      readonly state: "disconnected";
      /** The reason, for people. */
      readonly reason: string;
      /** The server's close code, if there was one. */
      readonly code?: number;
      /**
       * When the next try is due. Absent when nothing is tried until `reconnect()`, or until the network is back, or until the
       * page is shown again.
       */
      readonly retryAtMs?: number;
      /**
       * The browser reports no network. Once it has lost one, nothing is tried until it is back, and `retryAtMs` is absent. A
       * client that starts without one tries all the same, as browsers err: then it is `connecting`, and after a failure both
       * are there.
       */
      readonly offline?: true;
    };

export interface ConnectionEvents {
  onHello(hello: Hello): void;
  onFrame(frame: ServerFrame): void;
  onState(state: ConnectionState): void;
}

/** From the attempt to connect to the server's hello. */
const HELLO_MS_MAX = 10_000;
/** Minimum heartbeat interval. */
const HEARTBEAT_MS_MIN = 500;
/** A connection that lasted this long was stable: the next loss begins with a quick retry again. */
const STABLE_MS = 10_000;
/** The network is gone, as the browser reports. */
const OFFLINE: ConnectionState = { state: "disconnected", reason: "there is no network", offline: true };
/** The client's close code for a server that went silent or sent an invalid frame. */
const CLOSE_GIVEN_UP = 4000;

export class Connection {
  #state: ConnectionState = { state: "disconnected", reason: "not started" };
  #socket: Socket | undefined;
  #retries = 0;
  #heartbeat_ms = 0;
  #heardAtMs = 0;
  #cancelRetry = () => {};
  #cancelDeadline = () => {};
  #cancelStable = () => {};
  #ignorePage: (() => void) | undefined;
  /** The browser has reported that the network is gone, and not yet that it is back. */
  #isCutOff = false;

  constructor(
    private readonly url: string,
    private readonly environment: Environment,
    private readonly events: ConnectionEvents,
  ) {}

  get state(): ConnectionState {
    return this.#state;
  }

  /** Connects, unless it is connecting or waiting to, or the server has forbidden it. */
  start(): void {
    if (this.#ignorePage === undefined) this.#open();
  }

  /** Connects now: also instead of waiting, and also if the server has forbidden it. */
  reconnect(): void {
    if (this.#state.state === "disconnected") this.#open();
  }

  /** Closes and stays closed until `start` or `reconnect`. */
  stop(reason: string): void {
    this.#release(1000, reason);
    this.#ignorePage?.();
    this.#ignorePage = undefined;
    this.#isCutOff = false;
    this.#become({ state: "disconnected", reason });
  }

  /** Sends `frame` if connected, otherwise nothing: the owner starts over at the next hello. */
  send(frame: ClientFrame): void {
    if (this.#state.state === "connected") this.#socket?.send(JSON.stringify(frame));
  }

  /** Gives up the socket and tries again later. */
  drop(reason: string): void {
    this.#release(CLOSE_GIVEN_UP, reason);
    this.#retryLater(reason);
  }

  #open(): void {
    this.#release(CLOSE_GIVEN_UP, "replaced");
    this.#ignorePage ??= this.environment.onPage((event) => this.#on(event));
    this.#become({ state: "connecting" });
    let socket: Socket;
    try {
      socket = this.environment.openSocket(this.url, SUBPROTOCOL);
    } catch (error) {
      this.#retryLater(String(error));
      return;
    }
    this.#socket = socket;
    // An abandoned socket may still deliver events: only those of the present one count.
    socket.onmessage = ({ data }) => this.#socket === socket && this.#hear(data);
    socket.onclose = ({ code, reason }) => this.#socket === socket && this.#closed(code, reason);
    this.#expectWithin(HELLO_MS_MAX);
  }

  #hear(data: unknown): void {
    const frame = parseFrame(data);
    if (!frame) return this.drop("the server sent what is not a frame");
    this.#heardAtMs = this.environment.now();
    if (frame.type === "hello") this.#welcome(frame);
    else if (this.#state.state !== "connected") return this.drop("the server did not begin with a hello");
    this.#expectWithin(2 * this.#heartbeat_ms);
    if (frame.type !== "hello") this.events.onFrame(frame);
  }

  #welcome(hello: Hello): void {
    this.#heartbeat_ms = Math.max(HEARTBEAT_MS_MIN, hello.heartbeat_ms);
    this.#cancelStable();
    this.#cancelStable = this.environment.after(STABLE_MS, () => (this.#retries = 0));
    this.#become({ state: "connected" });
    this.events.onHello(hello);
  }

  #closed(code: number, reason: string): void {
    this.#release();
    const why = reason || (code === 1006 ? "the server cannot be reached" : `closed by the server (${code})`);
    if (isFinal(code)) this.#become({ state: "disconnected", reason: why, code });
    else this.#retryLater(why, code);
  }

  #retryLater(reason: string, code?: number): void {
    if (this.#isWithoutNetwork()) return this.#become(OFFLINE);
    const delay_ms = delayMs(RECONNECT, this.#retries, this.environment.random());
    this.#retries += 1;
    this.#cancelRetry = this.environment.after(delay_ms, () => this.#open());
    const retryAtMs = this.environment.now() + delay_ms;
    const offline = this.environment.isOnline() ? {} : { offline: true as const };
    this.#become({ state: "disconnected", reason, retryAtMs, ...offline, ...(code === undefined ? {} : { code }) });
  }

  #on(event: PageEvent): void {
    if (event === "offline" || event === "online") this.#isCutOff = event === "offline";
    if (event === "left") this.#pause({ state: "disconnected", reason: "the page is not shown" });
    else if (this.#isWithoutNetwork()) this.#pause(OFFLINE);
    else this.#wake();
  }

  /** Closes until the network or the page is back. What the server has forbidden stays forbidden. */
  #pause(state: ConnectionState): void {
    if (this.#isForbidden()) return;
    this.#release(1000, "paused");
    this.#become(state);
  }

  /** Asks the browser too: an event may have been missed while the page was kept in its cache. */
  #isWithoutNetwork(): boolean {
    return this.#isCutOff && !this.environment.isOnline();
  }

  /** The network or the page is back: stop waiting, and do not trust a connection that was silent. */
  #wake(): void {
    if (this.#isForbidden()) return;
    if (this.#state.state === "disconnected") this.#open();
    else if (this.#state.state === "connected" && this.#isSilent()) this.drop("the server went silent");
  }

  #isForbidden(): boolean {
    return this.#state.state === "disconnected" && this.#state.code !== undefined && isFinal(this.#state.code);
  }

  #isSilent(): boolean {
    return this.environment.now() - this.#heardAtMs > 2 * this.#heartbeat_ms;
  }

  #expectWithin(limit_ms: number): void {
    this.#cancelDeadline();
    this.#cancelDeadline = this.environment.after(limit_ms, () => this.drop("the server went silent"));
  }

  #release(code?: number, reason?: string): void {
    this.#cancelRetry();
    this.#cancelDeadline();
    this.#cancelStable();
    const socket = this.#socket;
    this.#socket = undefined;
    if (socket && code !== undefined) socket.close(code, reason);
  }

  #become(state: ConnectionState): void {
    this.#state = state;
    this.events.onState(state);
  }
}

// Publishes an event exactly once, however often it is sent. The id is chosen before the first try and kept, and the server
// accepts each `source` and `id` only once, so a try whose answer is lost does no harm.

import { delayMs } from "./backoff.ts";
import type { Backoff } from "./backoff.ts";
import { uuid } from "./environment.ts";
import type { Environment } from "./environment.ts";
import { isObject } from "./protocol.ts";

/** A CloudEvents 1.0 event. `id` and `specversion` are filled in when absent; other attributes are extensions. */
export interface CloudEvent {
  readonly id?: string;
  readonly source: string;
  readonly type: string;
  readonly subject?: string;
  readonly data?: unknown;
  readonly [attribute: string]: unknown;
}

/** The server's receipt: the event is durable. */
export interface Published {
  readonly id: string;
  readonly source: string;
  readonly key: string;
  readonly position: number;
  /** The event had been accepted before, at `position`. */
  readonly duplicate: boolean;
  readonly status_url: string;
}

export interface Retry {
  /** Number of failed tries. */
  readonly attempt: number;
  readonly delay_ms: number;
  readonly reason: string;
}

export interface PublishOptions {
  /** Maximum number of tries. Default 10; `Infinity` for a page that keeps the event until it is accepted. */
  readonly attempts_max?: number;
  readonly onRetry?: (retry: Retry) => void;
  readonly signal?: AbortSignal;
}

/** The event was not accepted. `status` is absent if the server never answered. */
export class PublishError extends Error {
  constructor(
    message: string,
    readonly status?: number,
    /** The server's `application/problem+json`, if it sent one. */
    readonly problem?: Readonly<Record<string, unknown>>,
  ) {
    super(message);
    this.name = "PublishError";
  }
}

const BACKOFF: Backoff = { first_ms: 500, max_ms: 20_000 };
const ANSWER_MS_MAX = 15_000;
const RETRY_AFTER_MS_MAX = 5 * 60_000;
/** Number of tries in a row without an answer although Weirgate itself answers. One may be a lost connection. */
const WITHHELD_MAX = 5;

type Try =
  | { readonly published: Published }
  | {
      readonly error: PublishError;
      readonly final: boolean;
      readonly wait_ms: number;
      /** The browser gave no answer to the page, although Weirgate itself answers. */
      readonly withheld?: boolean;
    };

export async function publish(
  url: string,
  event: CloudEvent,
  options: PublishOptions,
  environment: Environment,
): Promise<Published> {
  const data = event.data === undefined ? {} : { datacontenttype: "application/json" };
  const body = JSON.stringify({ specversion: "1.0", ...data, ...event, id: event.id ?? uuid() });
  let withheld = 0;
  for (let attempt = 1; ; attempt += 1) {
    const result = await tryOnce(url, body, options.signal, environment);
    if ("published" in result) return result.published;
    withheld = result.withheld ? withheld + 1 : 0;
    if (withheld === WITHHELD_MAX) throw new PublishError(notAllowed(url));
    if (result.final || attempt >= (options.attempts_max ?? 10)) throw result.error;
    const delay_ms = Math.max(result.wait_ms, delayMs(BACKOFF, attempt - 1, environment.random()));
    options.onRetry?.({ attempt, delay_ms, reason: result.error.message });
    await sleep(delay_ms, options.signal, environment);
  }
}

function notAllowed(url: string): string {
  const { origin } = new URL(url);
  return `the event was not accepted: ${origin} does not allow pages of this origin; add it to live.origins there`;
}

/** What Weirgate answers at `/livez`, to pages of any origin. */
const ALIVE = "ok";

/**
 * Whether Weirgate itself answers. A proxy that answers in its place, while it restarts, does not: pages cannot read its
 * errors, or they say something else.
 */
async function isAlive(url: string, signal: AbortSignal, environment: Environment): Promise<boolean> {
  try {
    const init: RequestInit = { credentials: "omit", cache: "no-store", signal };
    const response = await environment.fetch(new URL("/livez", url).href, init);
    return response.ok && (await response.text()).trim() === ALIVE;
  } catch {
    return false;
  }
}

async function tryOnce(
  url: string,
  body: string,
  signal: AbortSignal | undefined,
  environment: Environment,
): Promise<Try> {
  signal?.throwIfAborted();
  const abort = new AbortController();
  const follow = () => abort.abort(signal?.reason);
  signal?.addEventListener("abort", follow);
  const cancel = environment.after(ANSWER_MS_MAX, () => abort.abort());
  try {
    const headers = { "content-type": "application/cloudevents+json" };
    const response = await environment.fetch(url, { method: "POST", headers, body, signal: abort.signal });
    return await read(response, environment);
  } catch (error) {
    signal?.throwIfAborted();
    // A browser reports a request that CORS forbids like a lost network, and only to pages of other origins.
    const isForeign = new URL(url).origin !== globalThis.location?.origin;
    const withheld = isForeign && (await isAlive(url, abort.signal, environment));
    signal?.throwIfAborted();
    const reason = withheld ? "the server's answer is withheld from this page" : "the server cannot be reached";
    return { error: new PublishError(`${reason}: ${String(error)}`), final: false, wait_ms: 0, withheld };
  } finally {
    cancel();
    signal?.removeEventListener("abort", follow);
  }
}

async function read(response: Response, environment: Environment): Promise<Try> {
  // Reading the body may fail like the network: that is retried too.
  const text = await response.text();
  const answer = parse(text);
  if (response.ok) {
    const events = answer?.["events"];
    const published = Array.isArray(events) ? (events[0] as Published | undefined) : undefined;
    if (published) return { published };
    return { error: new PublishError("the server's answer is not a receipt", response.status), final: false, wait_ms: 0 };
  }
  const detail = answer?.["detail"] ?? answer?.["title"] ?? `status ${response.status}`;
  const error = new PublishError(`the event was not accepted: ${String(detail)}`, response.status, answer);
  const final = response.status !== 429 && response.status < 500;
  return { error, final, wait_ms: retryAfterMs(response.headers.get("retry-after"), environment.now()) };
}

function parse(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** `Retry-After` is a number of seconds or a date. */
function retryAfterMs(header: string | null, now_ms: number): number {
  if (!header) return 0;
  const seconds = Number(header);
  const wait_ms = Number.isFinite(seconds) ? seconds * 1000 : Date.parse(header) - now_ms;
  return Math.min(RETRY_AFTER_MS_MAX, Math.max(0, wait_ms || 0));
}

/** Waits; not longer than until the network is back. */
function sleep(delay_ms: number, signal: AbortSignal | undefined, environment: Environment): Promise<void> {
  return new Promise((resolve, reject) => {
    const end = (settle: () => void) => {
      cancel();
      ignorePage();
      signal?.removeEventListener("abort", stop);
      settle();
    };
    const stop = () => end(() => reject(signal?.reason));
    const cancel = environment.after(delay_ms, () => end(resolve));
    const ignorePage = environment.onPage((event) => event === "online" && end(resolve));
    signal?.addEventListener("abort", stop, { once: true });
  });
}

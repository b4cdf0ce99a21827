// The delay before a retry: exponential with full jitter, so that a thousand pages that lost the same server do not
// reconnect at the same moment (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).

export interface Backoff {
  /** The upper bound of the first delay. Milliseconds. */
  readonly first_ms: number;
  /** The upper bound of every delay. Milliseconds. */
  readonly max_ms: number;
}

export const RECONNECT: Backoff = { first_ms: 250, max_ms: 20_000 };

/** The delay before retry number `retry` (from 0), in milliseconds; `random` is drawn from [0, 1). */
export function delayMs(backoff: Backoff, retry: number, random: number): number {
  return Math.round(random * Math.min(backoff.max_ms, backoff.first_ms * 2 ** Math.min(retry, 30)));
}

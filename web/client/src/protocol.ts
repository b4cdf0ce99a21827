// The frames of `weirgate.v1`, as in docs/protocols/live.md: their types, and the only place where text from the network is
// parsed. Knows no socket and keeps no state.

/** One handler's status of a subject, and the phase of its delivery. */
export interface Part<Data = unknown> {
  /** The position in the log of the commit that last changed the part. */
  readonly version: number;
  /** The time of that commit, in milliseconds since the Unix epoch. */
  readonly at_ms: number;
  /** A word for programs; "" if the handler has not set one yet. */
  readonly state: string;
  /** A line for people. */
  readonly text: string;
  readonly data?: Data;
  /** Present while a delivery of this subject is open. */
  readonly delivery?: PartDelivery;
  /** A replay has corrected what the handler had set. */
  readonly corrected?: boolean;
}

/** A part in a delta: the new one, or that the handler has no status of the subject any more. */
export interface ChangedPart extends Part {
  readonly removed?: boolean;
}

export type PartDelivery =
  | { readonly state: "retrying"; readonly event: number; readonly attempt: number; readonly next_attempt_at_ms: number; readonly message: string }
  | { readonly state: "awaiting-correction"; readonly event: number; readonly attempt: number; readonly message: string; readonly what_is_wrong: string }
  | { readonly state: "dead-lettered"; readonly event: number; readonly attempt: number; readonly message: string };

export type Parts = Readonly<Record<string, Part>>;

export interface Hello {
  readonly type: "hello";
  /** The log's epoch. Versions of different epochs cannot be compared. */
  readonly epoch: string;
  readonly heartbeat_ms: number;
  readonly subjects_max: number;
}

export interface Snapshot {
  readonly type: "snapshot";
  readonly subject: string;
  readonly epoch: string;
  readonly version: number;
  readonly parts: Parts;
}

export interface Delta {
  readonly type: "delta";
  readonly subject: string;
  readonly previous: number;
  readonly version: number;
  readonly parts: Readonly<Record<string, ChangedPart>>;
}

export interface ServerError {
  readonly type: "error";
  readonly code: string;
  readonly message: string;
}

/** `unknown` is a frame of a type that this client does not know: a newer server's, to be ignored. */
export type ServerFrame = Hello | Snapshot | Delta | ServerError | { readonly type: "heartbeat" | "unknown" };

export interface Resume {
  readonly subject: string;
  readonly epoch?: string;
  readonly version?: number;
}

export type ClientFrame =
  | { readonly type: "subscribe"; readonly subjects: readonly Resume[] }
  | { readonly type: "unsubscribe"; readonly subjects: readonly string[] };

/** What the client sent breaks RFC 6455, or is larger than the server allows. */
const CLOSE_BROKEN = [1002, 1003, 1007, 1009];

/** Whether a close code means: do not reconnect automatically. */
export function isFinal(code: number): boolean {
  return (code >= 4500 && code <= 4999) || CLOSE_BROKEN.includes(code);
}

export const SUBPROTOCOL = "weirgate.v1";
/** The server refuses larger frames. Bytes. */
export const FRAME_BYTES_MAX = 16 * 1024;

/** The frame in `text`; undefined if it is not JSON or does not match its type. */
export function parseFrame(text: unknown): ServerFrame | undefined {
  const frame = typeof text === "string" ? parseObject(text) : undefined;
  switch (frame?.["type"]) {
    case "hello":
      return fits(frame, { epoch: "string", heartbeat_ms: "number", subjects_max: "number" });
    case "snapshot":
      return fits(frame, { subject: "string", epoch: "string", version: "number", parts: "parts" });
    case "delta":
      return fits(frame, { subject: "string", previous: "number", version: "number", parts: "parts" });
    case "error":
      return fits(frame, { code: "string", message: "string" });
    case "heartbeat":
      return { type: "heartbeat" };
    default:
      return typeof frame?.["type"] === "string" ? { type: "unknown" } : undefined;
  }
}

/** Whether `value` can serve as the parts of a document. */
export function isParts(value: unknown): value is Parts {
  return isObject(value) && Object.values(value).every((part) => isObject(part) && isPart(part));
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isPart(part: Record<string, unknown>): boolean {
  const { version, at_ms, state, text } = part;
  return typeof version === "number" && typeof at_ms === "number" && typeof state === "string" && typeof text === "string";
}

function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

type FieldType = "string" | "number" | "parts";

function fits<Frame extends ServerFrame>(
  frame: Record<string, unknown>,
  fields: Record<string, FieldType>,
): Frame | undefined {
  const fit = Object.entries(fields).every(([name, type]) =>
    type === "parts" ? isParts(frame[name]) : typeof frame[name] === type,
  );
  return fit ? (frame as unknown as Frame) : undefined;
}

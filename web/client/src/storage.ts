// The last document of each subject, stored for a refresh of the page. Any problem with the storage (full, forbidden, edited
// by hand) costs only the head start.

import type { StatusDocument } from "./document.ts";
import { isObject, isParts } from "./protocol.ts";

/** The used part of `Storage`: `sessionStorage`, `localStorage`, or a page's own. */
export type DocumentStorage = Pick<Storage, "getItem" | "setItem" | "removeItem">;

const PREFIX = "weirgate:";

export function load(storage: DocumentStorage | undefined, subject: string): StatusDocument | undefined {
  try {
    const value: unknown = JSON.parse(storage?.getItem(PREFIX + subject) ?? "null");
    if (!isObject(value)) return undefined;
    const { epoch, version, parts } = value;
    const fits = typeof epoch === "string" && typeof version === "number" && isParts(parts);
    return fits ? Object.freeze({ subject, epoch, version, parts: Object.freeze(parts) }) : undefined;
  } catch {
    return undefined;
  }
}

export function save(storage: DocumentStorage | undefined, { subject, epoch, version, parts }: StatusDocument): void {
  try {
    storage?.setItem(PREFIX + subject, JSON.stringify({ epoch, version, parts }));
  } catch {
    // Full or forbidden: the next refresh begins with a snapshot instead.
  }
}

export function remove(storage: DocumentStorage | undefined, subject: string): void {
  try {
    storage?.removeItem(PREFIX + subject);
  } catch {
    // Forbidden: then nothing was saved either.
  }
}

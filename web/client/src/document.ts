// The document of a subject and how it moves on. Documents never change: each step gives a new one, so that two can be
// told apart with `===`. Knows no socket, no listeners.

import type { Delta, Parts, Snapshot } from "./protocol.ts";

/** All that is publicly known of a subject at one version. */
export interface StatusDocument {
  readonly subject: string;
  readonly epoch: string;
  /** The position of the last change; 0 when nobody has written the subject yet. */
  readonly version: number;
  /** By handler name. */
  readonly parts: Parts;
}

/** A delta begins after the version that the document has: something between them is missing. */
export const GAP = Symbol("gap");

export function fromSnapshot({ subject, epoch, version, parts }: Snapshot): StatusDocument {
  return freeze({ subject, epoch, version, parts });
}

/** The document after `delta`: the same object when nothing changed, `GAP` when the two do not meet. */
export function applyDelta(document: StatusDocument, delta: Delta): StatusDocument | typeof GAP {
  if (delta.previous > document.version) return GAP;
  const newer = Object.entries(delta.parts).filter(
    ([name, part]) => part.version > (document.parts[name]?.version ?? -1),
  );
  if (newer.length === 0 && delta.version <= document.version) return document;
  const parts = { ...document.parts, ...Object.fromEntries(newer) };
  return freeze({ ...document, version: Math.max(document.version, delta.version), parts });
}

function freeze(document: StatusDocument): StatusDocument {
  Object.freeze(document.parts);
  return Object.freeze(document);
}

// The document of a subject and its updates. Documents are immutable: each update gives a new one, so that two can be
// compared with `===`. Knows no socket, no listeners.

import type { ChangedPart, Delta, Parts, Snapshot } from "./protocol.ts";

/** The public state of a subject at one version. */
export interface StatusDocument {
  readonly subject: string;
  readonly epoch: string;
  /** The position of the last change; 0 if the subject has no status yet. */
  readonly version: number;
  /** By handler name. */
  readonly parts: Parts;
}

/** A delta begins after the document's version: changes in between are missing. */
export const GAP = Symbol("gap");

export function fromSnapshot({ subject, epoch, version, parts }: Snapshot): StatusDocument {
  return freeze({ subject, epoch, version, parts });
}

/** The document after `delta`: the same object if nothing changed, `GAP` if changes in between are missing. */
export function applyDelta(document: StatusDocument, delta: Delta): StatusDocument | typeof GAP {
  if (delta.previous > document.version) return GAP;
  const newer = Object.entries(delta.parts).filter(
    ([name, part]) => part.version > (document.parts[name]?.version ?? -1),
  );
  if (newer.length === 0 && delta.version <= document.version) return document;
  const parts: Record<string, ChangedPart> = { ...document.parts, ...Object.fromEntries(newer) };
  for (const [name, part] of newer) if (part.removed) delete parts[name];
  return freeze({ ...document, version: Math.max(document.version, delta.version), parts });
}

function freeze(document: StatusDocument): StatusDocument {
  Object.freeze(document.parts);
  return Object.freeze(document);
}

// The lines of an order as the page lists them: the ordered articles, their results, and their prices. The inventory's
// reserved lines leave out missing articles; its changes add them back, struck through.

import type { Parts } from "@weirgate/client";

import { changesIn, dataOf, linesIn, wholeIn } from "./status.ts";
import type { Change, Line } from "./status.ts";
import { hasFailed } from "./steps.ts";

export interface Row {
  readonly sku: string;
  readonly name: string;
  readonly quantity: number;
  readonly total_cents: number;
  readonly fate: "as-ordered" | "substituted" | "unavailable";
  /** The name of the replaced article. */
  readonly instead_of?: string;
}

export interface Receipt {
  readonly rows: readonly Row[];
  readonly total_cents: number;
  /** The ordered total, if it was different. */
  readonly ordered_total_cents?: number;
}

/** `placed` are the lines as ordered, where the status shows none: before its first, and after a cancellation. */
export function receiptOf(parts: Parts, placed: readonly Line[] = []): Receipt {
  const receipt = listed(parts, placed);
  return hasFailed(parts) ? voidOf(receipt, parts) : receipt;
}

function listed(parts: Parts, placed: readonly Line[]): Receipt {
  const inventory = dataOf(parts["inventory"]);
  const reserved = linesIn(dataOf(parts["invoice"])) ?? linesIn(inventory);
  const changes = changesIn(inventory);
  if (!reserved) return fromPlaced(linesIn(dataOf(parts["order"])) ?? placed, changes);
  const rows = merge(reserved, changes);
  const total_cents = wholeIn(inventory, "total_cents") ?? sum(rows);
  const ordered_total_cents = wholeIn(inventory, "ordered_total_cents") ?? total_cents;
  return { rows, total_cents, ...(ordered_total_cents === total_cents ? {} : { ordered_total_cents }) };
}

/** The receipt of an order that ended without a delivery: as it was, for nothing. Money that is still to be paid back is on it. */
function voidOf({ rows, total_cents }: Receipt, parts: Parts): Receipt {
  return parts["payment"]?.state === "charged" ? { rows, total_cents } : { rows, total_cents: 0, ordered_total_cents: total_cents };
}

function fromPlaced(placed: readonly Line[], changes: readonly Change[]): Receipt {
  const missing = new Set(changes.filter(({ kind }) => kind === "unavailable").map(({ line }) => line));
  const rows = placed.map((line, n) => row(line, missing.has(n) ? "unavailable" : "as-ordered"));
  return { rows, total_cents: sum(rows) };
}

/** Reserved lines are in the order in which they were placed, so the changes' line numbers show where each belongs. */
function merge(reserved: readonly Line[], changes: readonly Change[]): Row[] {
  const byLine = new Map(changes.map((change) => [change.line, change]));
  const rows: Row[] = [];
  const left = [...reserved];
  const length = reserved.length + changes.filter(({ kind }) => kind === "unavailable").length;
  for (let n = 0; n < length; n += 1) {
    const change = byLine.get(n);
    if (change?.kind === "unavailable") {
      rows.push(row(change, "unavailable"));
      continue;
    }
    const line = left.shift();
    if (!line) break;
    rows.push(change ? { ...row(line, "substituted"), instead_of: change.name } : row(line, "as-ordered"));
  }
  return [...rows, ...left.map((line) => row(line, "as-ordered"))];
}

function row({ sku, name, quantity, unit_price_cents }: Line, fate: Row["fate"]): Row {
  return { sku, name, quantity, total_cents: quantity * unit_price_cents, fate };
}

function sum(rows: readonly Row[]): number {
  return rows.reduce((total, { fate, total_cents }) => total + (fate === "unavailable" ? 0 : total_cents), 0);
}

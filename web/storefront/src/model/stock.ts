// What can be ordered: the stock as it is pushed, and what a basket asks of it. Unknown or uncounted stock limits nothing; the
// inventory decides about each order in any case.

import type { StatusDocument } from "@weirgate/client";

import { quantityOf, QUANTITY_MAX, withQuantity } from "./basket.ts";
import type { Basket } from "./basket.ts";
import { articleOf } from "./catalogue.ts";
import { dataOf, wholeIn } from "./status.ts";

/** Units on hand by sku, where they are counted and known. */
export type Stock = ReadonlyMap<string, number>;

/** The units on hand in the status of `sku/<sku>`. */
export function onHandIn(document: StatusDocument | undefined): number | undefined {
  const part = document?.parts["inventory"];
  return part?.state === "sold-out" ? 0 : wholeIn(dataOf(part), "on_hand");
}

/** How many of an article one order may have. */
export function mostOf(stock: Stock, sku: string): number {
  return Math.min(QUANTITY_MAX, stock.get(sku) ?? QUANTITY_MAX);
}

/** A line of the basket for which there is not enough. */
export interface Shortage {
  readonly sku: string;
  readonly name: string;
  /** Units on hand, fewer than the line has. */
  readonly left: number;
}

export function shortagesOf(items: Basket, stock: Stock): Shortage[] {
  return items.flatMap(({ sku, quantity }) => {
    const left = stock.get(sku);
    return left !== undefined && left < quantity ? [{ sku, name: articleOf(sku)?.name ?? sku, left }] : [];
  });
}

/** The sku of a substitute for all units of the line that are missing; undefined if there is none. */
export function substituteFor(items: Basket, stock: Stock, sku: string): string | undefined {
  const by = articleOf(sku)?.replacement;
  if (by === undefined) return undefined;
  return quantityOf(items, by) + Math.max(1, quantityOf(items, sku)) <= mostOf(stock, by) ? by : undefined;
}

/** The basket with the units of `sku` moved to `by`. */
export function withSubstitute(items: Basket, sku: string, by: string): Basket {
  const quantity = quantityOf(items, by) + Math.max(1, quantityOf(items, sku));
  return withQuantity(withQuantity(items, sku, 0), by, quantity);
}

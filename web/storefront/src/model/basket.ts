// The basket: which articles, how many, and whether each may be replaced. Pure functions on a list; the store keeps it.

import { articleOf } from "./catalogue.ts";
import type { Article } from "./catalogue.ts";
import { isRecord, Store } from "./store.ts";

export interface Item {
  readonly sku: string;
  readonly quantity: number;
  readonly substitutes_ok: boolean;
}

export type Basket = readonly Item[];

export const QUANTITY_MAX = 99;

export const basket = new Store<Basket>("shop:basket", (stored) =>
  Array.isArray(stored) ? stored.filter(isItem) : [],
);

function isItem(value: unknown): value is Item {
  if (!isRecord(value) || typeof value["sku"] !== "string" || typeof value["substitutes_ok"] !== "boolean") return false;
  const { sku, quantity } = value;
  return articleOf(sku) !== undefined && Number.isInteger(quantity) && within(quantity as number) === quantity;
}

/** The basket with `quantity` of `sku`; zero removes it. */
export function withQuantity(items: Basket, sku: string, quantity: number): Basket {
  if (quantity < 1) return items.filter((item) => item.sku !== sku);
  const next = within(quantity);
  if (!items.some((item) => item.sku === sku)) return [...items, { sku, quantity: next, substitutes_ok: true }];
  return items.map((item) => (item.sku === sku ? { ...item, quantity: next } : item));
}

export function withSubstitutes(items: Basket, sku: string, substitutes_ok: boolean): Basket {
  return items.map((item) => (item.sku === sku ? { ...item, substitutes_ok } : item));
}

export function quantityOf(items: Basket, sku: string): number {
  return items.find((item) => item.sku === sku)?.quantity ?? 0;
}

export function count(items: Basket): number {
  return items.reduce((sum, { quantity }) => sum + quantity, 0);
}

export interface PricedItem extends Item {
  readonly article: Article;
}

export function priced(items: Basket): PricedItem[] {
  return items.flatMap((item) => {
    const article = articleOf(item.sku);
    return article ? [{ ...item, article }] : [];
  });
}

export function totalCents(items: Basket): number {
  return priced(items).reduce((sum, { article, quantity }) => sum + article.unit_price_cents * quantity, 0);
}

function within(quantity: number): number {
  return Math.min(QUANTITY_MAX, Math.max(1, quantity));
}

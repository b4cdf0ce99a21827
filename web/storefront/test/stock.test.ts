// What can be ordered: the pushed stock, what a basket asks of it, and substitutes.

import assert from "node:assert/strict";
import { test } from "node:test";

import type { Part } from "@weirgate/client";

import type { Basket } from "../src/model/basket.ts";
import { mostOf, onHandIn, shortagesOf, substituteFor, withSubstitute } from "../src/model/stock.ts";
import { part } from "./document.ts";

const line = (sku: string, quantity: number) => ({ sku, quantity, substitutes_ok: true });
const stock = (counts: Record<string, number>) => new Map(Object.entries(counts));

test("the stock is read from the article's status; unknown and uncounted stock limits nothing", () => {
  const status = (inventory?: Part) => onHandIn({ subject: "sku/honey", epoch: "e", version: 1, parts: inventory ? { inventory } : {} });
  assert.equal(status(part("in-stock", { on_hand: 4 })), 4);
  assert.equal(status(part("sold-out", { on_hand: 0 })), 0);
  assert.equal(status(part("sold-out", {})), 0);
  for (const odd of [undefined, part("by-hand"), part("in-stock", { on_hand: "4" }), part("in-stock", { on_hand: -1 }), part("in-stock", { on_hand: 0.5 })]) {
    assert.equal(status(odd), undefined, JSON.stringify(odd));
  }
  assert.equal(onHandIn(undefined), undefined);
  assert.deepEqual([mostOf(stock({}), "honey"), mostOf(stock({ honey: 5 }), "honey"), mostOf(stock({ honey: 0 }), "honey"), mostOf(stock({ honey: 1e6 }), "honey")], [99, 5, 0, 99]);
});

test("a basket is short of what is sold out and of what there is not enough of", () => {
  const items: Basket = [line("honey", 5), line("oat-milk", 2), line("sourdough", 1), line("olive-oil", 99)];
  const short = shortagesOf(items, stock({ honey: 5, "oat-milk": 1, sourdough: 0 }));
  assert.deepEqual(short.map(({ sku, left }) => [sku, left]), [["oat-milk", 1], ["sourdough", 0]]);
  assert.deepEqual(shortagesOf(items, stock({})), []);
});

test("a substitute is offered if there is enough of it for the basket, and takes the line's place", () => {
  const items: Basket = [line("sourdough", 2), line("rye-bread", 1)];
  assert.equal(substituteFor(items, stock({ "rye-bread": 3 }), "sourdough"), "rye-bread");
  assert.equal(substituteFor(items, stock({ "rye-bread": 2 }), "sourdough"), undefined);
  assert.equal(substituteFor([], stock({ "rye-bread": 1 }), "sourdough"), "rye-bread", "out of an empty basket");
  assert.equal(substituteFor([], stock({ "rye-bread": 0 }), "sourdough"), undefined);
  assert.equal(substituteFor(items, stock({}), "olive-oil"), undefined, "it has none");
  assert.deepEqual(withSubstitute(items, "sourdough", "rye-bread").map(({ sku, quantity }) => [sku, quantity]), [["rye-bread", 3]]);
  assert.deepEqual(withSubstitute([], "sourdough", "rye-bread").map(({ sku, quantity }) => [sku, quantity]), [["rye-bread", 1]]);
});

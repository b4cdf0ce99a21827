// Money is written one way: as the handlers write it, by one function of the page, from whole cents.

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { money, moneyChange } from "../src/model/money.ts";

const README = join(process.cwd(), "../handlers/README.md");

test("amounts are written as the handlers write them", () => {
  const rows = [...readFileSync(README, "utf8").matchAll(/^\| (\d+) \| (€[\d,.]+) \|$/gm)];
  assert.ok(rows.length >= 8, "the table of handlers/README.md");
  for (const [, cents, text] of rows) assert.equal(money(Number(cents)), text);
  // A quotient would be rounded to another cent here.
  assert.equal(money(9_007_199_254_740_990), "€90,071,992,547,409.90");
});

test("a difference has its sign, and what is not whole cents is no amount", () => {
  assert.deepEqual([-60, 0, 60, -123_456].map(moneyChange), ["\u2212€0.60", "€0.00", "+€0.60", "\u2212€1,234.56"]);
  for (const cents of [0.5, NaN, Infinity, 2 ** 53]) assert.equal(money(cents), "–", String(cents));
});

test("no other file of the shop formats money", () => {
  const folder = join(process.cwd(), "storefront/src");
  const files = readdirSync(folder, { recursive: true }).map(String).filter((path) => /\.tsx?$/.test(path) && !path.endsWith("money.ts"));
  assert.ok(files.length > 20, String(files.length));
  for (const path of files) assert.doesNotMatch(readFileSync(join(folder, path), "utf8"), /€|EUR\b|currency|toFixed|cents \/ 100/, path);
});

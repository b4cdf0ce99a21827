// The shop's catalogue against the order domain's own (handlers/README.md): an order with any other article or price is
// rejected, so this test compares the two.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { CATALOGUE } from "../src/model/catalogue.ts";

interface Row {
  readonly name: string;
  readonly price: number;
  readonly replacement: string;
}

function documented(): Map<string, Row> {
  const text = readFileSync(join(process.cwd(), "../handlers/README.md"), "utf8");
  const rows = [...text.matchAll(/^\| `([a-z-]+)` \| ([^|]+) \| (\d+) \| (?:`([a-z-]+)` )?\|$/gm)];
  return new Map(rows.map(([, sku = "", name = "", price, replacement = ""]) => [sku, { name, price: Number(price), replacement }]));
}

test("the shop sells the handlers' articles at their prices", () => {
  const articles = documented();
  assert.equal(articles.size, CATALOGUE.length);
  for (const { sku, name, unit_price_cents, replacement } of CATALOGUE) {
    const row = articles.get(sku);
    assert.deepEqual([name, unit_price_cents], [row?.name, row?.price], sku);
    assert.equal(replacement ?? "", row?.replacement, `${sku} is replaced by`);
  }
});

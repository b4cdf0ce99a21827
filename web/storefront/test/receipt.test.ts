// The receipt: ordered articles, their results, and a part of an unexpected shape.

import assert from "node:assert/strict";
import { test } from "node:test";

import { receiptOf } from "../src/model/receipt.ts";
import { invoiceOf, lastMailOf } from "../src/model/status.ts";
import { ACCEPTED, INVOICED, LINES, part, RESERVED, SET_ASIDE } from "./document.ts";

function fates(receipt: ReturnType<typeof receiptOf>): string[] {
  return receipt.rows.map(({ name, fate }) => `${name}: ${fate}`);
}

test("before the first status, the browser's own lines are shown", () => {
  const receipt = receiptOf({}, LINES);
  assert.equal(receipt.total_cents, 480 + 2 * 590 + 1490);
  assert.equal(receipt.ordered_total_cents, undefined);
  assert.equal(receiptOf(ACCEPTED).total_cents, receipt.total_cents, "then the server's");
});

test("changes are at the line's place, with the new price", () => {
  for (const parts of [SET_ASIDE, INVOICED]) {
    const receipt = receiptOf(parts);
    assert.deepEqual(fates(receipt), ["Rye bread: substituted", "Fig jam, 300 g: unavailable", "Coffee beans, 500 g: as-ordered"]);
    assert.equal(receipt.rows[0]?.instead_of, "Sourdough bread");
    assert.deepEqual([receipt.total_cents, receipt.ordered_total_cents], [1910, 3150]);
  }
});

test("without changes there is one total", () => {
  const reserved = { lines: LINES, total_cents: 3150, ordered_total_cents: 3150, changes: [] };
  const receipt = receiptOf({ inventory: part("reserved", reserved) });
  assert.deepEqual(fates(receipt), LINES.map(({ name }) => `${name}: as-ordered`));
  assert.equal(receipt.ordered_total_cents, undefined);
});

test("an order that ended without a delivery costs nothing, unless its money is still to be paid back", () => {
  const cancelled = { ...SET_ASIDE, order: part("cancelled") };
  for (const [parts, total_cents] of [
    [cancelled, 0],
    [{ ...cancelled, inventory: part("released") }, 0],
    [{ ...cancelled, payment: part("declined") }, 0],
    [{ ...cancelled, payment: part("refunded", { total_cents: 1910 }) }, 0],
    [{ ...cancelled, payment: part("charged", { total_cents: 1910 }) }, 1910],
    [{ order: part("rejected") }, 0],
  ] as const) {
    assert.equal(receiptOf(parts, LINES).total_cents, total_cents);
  }
  const receipt = receiptOf({ order: part("cancelled"), inventory: part("released") }, LINES);
  assert.deepEqual([receipt.rows.length, receipt.ordered_total_cents], [3, 3150], "the lines as ordered are still there");
});

test("if nothing is in stock, all lines are struck and cost nothing", () => {
  const changes = LINES.map((line, n) => ({ kind: "unavailable", line: n, ...line }));
  const receipt = receiptOf({ ...ACCEPTED, inventory: part("unavailable", { changes }) });
  assert.ok(receipt.rows.every(({ fate }) => fate === "unavailable"));
  assert.equal(receipt.total_cents, 0);
});

test("an invalid part loses only its own contents", () => {
  for (const data of [null, 7, [], { lines: "many" }, { lines: [{ sku: 1 }] }, { changes: {} }]) {
    assert.equal(receiptOf({ inventory: part("reserved", data) }, LINES).rows.length, 3);
    assert.equal(invoiceOf({ invoice: part("issued", data) }), undefined);
    assert.equal(lastMailOf({ notification: part("sent", data) }), undefined);
  }
});

test("the invoice and the last mail are read whole", () => {
  assert.equal(invoiceOf(INVOICED)?.number, "INV-000021");
  const last = { kind: "charged", to: "ada@example.org", subject: "Paid", text: "Thank you" };
  assert.deepEqual(lastMailOf({ notification: part("sent", { count: 2, last }) }), last);
  assert.equal(RESERVED.changes.length, 2);
});

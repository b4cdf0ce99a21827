// The order in one headline: it is about what holds the order up, and about how it ended.

import assert from "node:assert/strict";
import { test } from "node:test";

import type { Parts } from "@weirgate/client";

import { headlineOf, isOver, waitsAt } from "../src/model/headline.ts";
import { serviceOf } from "../src/model/services.ts";
import { ACCEPTED, AWAITING, CHARGED, DEAD, INVOICED, part, RESERVED, RETRYING, SET_ASIDE, troubled } from "./document.ts";

const UNCHANGED = { ...ACCEPTED, inventory: part("reserved", { ...RESERVED, changes: [] }) };
const BREAKER = { payment: serviceOf({ subject: "s", epoch: "e", version: 1, parts: { "weirgate-breaker": part("open") } }) };
const PAUSED = { inventory: serviceOf({ subject: "s", epoch: "e", version: 1, parts: { "weirgate-handler": part("paused") } }) };

test("a step in trouble is the headline, not the last step that worked", () => {
  const ways: [Parts, string, string][] = [
    [{ order: troubled(RETRYING) }, "Your order waits to be checked", "placed"],
    [{ ...ACCEPTED, inventory: troubled(RETRYING, "checking") }, "Collecting takes longer", "checking"],
    [{ ...UNCHANGED, payment: troubled(RETRYING) }, "Your payment takes longer", "reserved"],
    [{ ...SET_ASIDE, payment: troubled(RETRYING) }, "Your payment takes longer", "reserved"],
    [{ ...UNCHANGED, payment: troubled(DEAD) }, "Your payment did not go through", "reserved"],
    [{ ...UNCHANGED, payment: troubled(AWAITING) }, "Waiting for you", "reserved"],
    [{ ...CHARGED, invoice: troubled(RETRYING) }, "The invoice takes longer", "paid"],
    [{ ...CHARGED, invoice: troubled(DEAD) }, "The invoice could not be written", "paid"],
    [{ ...INVOICED, delivery: troubled(RETRYING, "packed") }, "The delivery takes longer", "packed"],
    [{ ...INVOICED, delivery: troubled(DEAD, "dispatched") }, "The delivery has stopped", "dispatched"],
    [{ order: troubled(DEAD) }, "Your order could not be checked", "placed"],
    // What was done stays done: a cancellation without a reason, a refund.
    [{ order: troubled(DEAD, "accepted") }, "Your order could not be updated", "accepted"],
    [{ ...CHARGED, order: troubled(DEAD, "accepted") }, "Your order could not be updated", "paid"],
    [{ ...CHARGED, order: troubled(RETRYING, "accepted") }, "Updating your order takes longer", "paid"],
    [{ ...ACCEPTED, inventory: troubled(DEAD, "reserved") }, "Your things could not be put back", "reserved"],
    [{ ...UNCHANGED, payment: troubled(DEAD, "charged") }, "A change to your payment did not go through", "paid"],
    [{ ...UNCHANGED, payment: troubled(RETRYING, "charged") }, "A change to your payment takes longer", "paid"],
    [{ ...CHARGED, invoice: troubled(DEAD, "issued") }, "The invoice could not be changed", "invoiced"],
  ];
  for (const [parts, title, state] of ways) assert.deepEqual([headlineOf(parts).title, headlineOf(parts).state], [title, state]);
  assert.equal(headlineOf(UNCHANGED, BREAKER).title, "Your payment takes longer", "no attempt was made, and yet");
  assert.equal(headlineOf(UNCHANGED).title, "All set aside");
  const mails = { ...CHARGED, notification: troubled(DEAD) };
  assert.equal(headlineOf(mails).title, headlineOf(CHARGED).title, "a mail delays no order");
});

test("a paused service is no trouble, but the page says why nothing happens", () => {
  assert.equal(headlineOf(ACCEPTED, PAUSED).title, "Order accepted");
  assert.notEqual(headlineOf(ACCEPTED, PAUSED).text, headlineOf(ACCEPTED).text);
  assert.equal(headlineOf(UNCHANGED, PAUSED).text, headlineOf(UNCHANGED).text);
});

test("what sold out meanwhile is named", () => {
  const { title, text } = headlineOf(SET_ASIDE);
  assert.deepEqual([title, text], ["Set aside, with changes", "Fig jam has sold out meanwhile. We put in rye bread for sourdough bread. Next is the payment."]);
  const missing = RESERVED.changes.map(({ kind: _, ...line }) => ({ ...line, kind: "unavailable", by: undefined }));
  const unavailable = { ...ACCEPTED, inventory: part("unavailable", { changes: missing }) };
  for (const parts of [unavailable, { ...unavailable, order: part("cancelled", { reason: "everything in it is sold out" }) }]) {
    const headline = headlineOf(parts);
    assert.deepEqual([headline.state, headline.title], ["cancelled", "Sold out meanwhile"]);
    assert.equal(headline.text, "Sourdough bread and fig jam have sold out before we could set anything aside. Nothing was charged.");
  }
  assert.equal(headlineOf({ inventory: part("unavailable", { changes: "odd" }) }).text, "Nothing was charged.");
});

test("an order that ended says why, and where the money is", () => {
  const reason = "it was not paid within 10 min";
  const overdue = { ...UNCHANGED, order: part("payment-overdue", { reason }) };
  const ways: [Parts, string, string][] = [
    [{ ...UNCHANGED, payment: part("declined", { reason: "the card was declined" }) }, "Your card was declined", "The order is cancelled. Nothing was charged."],
    [{ ...UNCHANGED, payment: part("declined", { reason: "no" }), order: part("cancelled", { reason: "no" }) }, "Your card was declined", "The bank says: no. The order is cancelled. Nothing was charged."],
    [overdue, "Order cancelled", `Because ${reason}. Nothing was charged.`],
    [{ ...overdue, payment: part("charged", { total_cents: 1910 }) }, "Order cancelled", `Because ${reason}. What was charged is on its way back to you.`],
    [{ ...overdue, payment: part("refunded", { reason }) }, "Order cancelled", `Because ${reason}. What was charged has been paid back.`],
    [{ order: part("rejected", { problems: ["no"] }) }, "We cannot take this order", "Nothing was charged."],
  ];
  for (const [parts, title, text] of ways) assert.deepEqual([headlineOf(parts).title, headlineOf(parts).text, isOver(parts)], [title, text, true]);
});

test("an order waits where its trouble is, until it is over", () => {
  const parts = { ...UNCHANGED, payment: troubled(RETRYING) };
  assert.deepEqual([waitsAt(parts, {}, "payment"), waitsAt(parts, {}, "inventory")], [true, false]);
  assert.deepEqual([waitsAt(UNCHANGED, {}, "payment"), waitsAt(UNCHANGED, BREAKER, "payment")], [false, true]);
  assert.deepEqual([waitsAt(ACCEPTED, PAUSED, "inventory"), waitsAt(UNCHANGED, PAUSED, "inventory")], [true, false]);
  assert.equal(waitsAt({ ...parts, order: part("cancelled") }, {}, "payment"), false);
});

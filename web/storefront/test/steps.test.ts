// The page's view of an order's status: the mood of each step and the headline, for every course of an order.

import assert from "node:assert/strict";
import { test } from "node:test";

import type { Parts } from "@weirgate/client";

import { acceptanceOf, headlineOf, stepsOf, troubleOf } from "../src/model/steps.ts";
import { ACCEPTED, CHARGED, INVOICED, part, SET_ASIDE, troubled } from "./document.ts";

function moods(parts: Parts): string {
  return stepsOf(parts)
    .map(({ mood }) => mood)
    .join(" ");
}

test("a successful order advances one step at a time", () => {
  const ways: [Parts, string, string, number][] = [
    [{}, "placed", "working waiting waiting waiting waiting", 0],
    [ACCEPTED, "accepted", "done working waiting waiting waiting", 1],
    [{ ...ACCEPTED, inventory: part("checking", { lines: 3, answered: 1 }) }, "checking", "done working waiting waiting waiting", 1],
    [SET_ASIDE, "reserved", "done done working waiting waiting", 2],
    [CHARGED, "paid", "done done done working waiting", 3],
    [INVOICED, "invoiced", "done done done done working", 4],
    [{ ...INVOICED, delivery: part("packed") }, "packed", "done done done done working", 5],
    [{ ...INVOICED, delivery: part("dispatched") }, "dispatched", "done done done done working", 6],
    [{ ...INVOICED, delivery: part("delivered") }, "delivered", "done done done done done", 7],
    [{ ...INVOICED, delivery: part("delivered"), order: part("completed") }, "delivered", "done done done done done", 7],
  ];
  for (const [parts, state, expected, progress] of ways) {
    const headline = headlineOf(parts);
    assert.deepEqual([headline.state, moods(parts), headline.progress], [state, expected, progress]);
  }
});

test("no step begins before the server has the order", () => {
  assert.ok(stepsOf({}, { isSent: false }).every(({ mood }) => mood === "waiting"));
});

test("parts may come in any order: a later step that is done counts as done", () => {
  const { payment, ...rest } = INVOICED;
  assert.ok(payment);
  assert.equal(moods(rest), "done done working done waiting");
});

test("a declined card ends the order, before and after it is cancelled", () => {
  const declined = { ...SET_ASIDE, payment: part("declined", { reason: "the card was declined" }) };
  const cancelled = { ...declined, order: part("cancelled", { reason: "the card was declined" }), inventory: part("released") };
  for (const parts of [declined, cancelled]) {
    assert.equal(headlineOf(parts).state, "cancelled");
    assert.equal(headlineOf(parts).text, "Because the card was declined. Nothing was charged.");
    assert.equal(moods(parts), "done done failed skipped skipped");
  }
});

test("a payment that is overdue ends the order, and one that comes too late goes back", () => {
  const reason = "it was not paid within 10 min";
  const overdue = { ...SET_ASIDE, order: part("payment-overdue", { reason }, "Order cancelled"), inventory: part("released") };
  assert.deepEqual(headlineOf(overdue), { state: "cancelled", title: "Order cancelled", text: `Because ${reason}. Nothing was charged.`, progress: 0 });
  assert.equal(moods(overdue), "done done skipped skipped skipped");
  assert.equal(stepsOf(overdue)[0]?.text, "Order accepted");
  for (const [payment, mood] of [["charged", "done"], ["refunded", "failed"]] as const) {
    const late = { ...overdue, payment: part(payment, { total_cents: 1910, reason }) };
    assert.equal(headlineOf(late).text, `Because ${reason}. What was charged is on its way back to you.`);
    assert.equal(moods(late), `done done ${mood} skipped skipped`);
  }
});

test("a rejected or unavailable order ends at its step", () => {
  const rejected = { order: part("rejected", { problems: ["line 1: quantity 0 is not 1 to 99"] }) };
  assert.equal(headlineOf(rejected).state, "rejected");
  assert.equal(moods(rejected), "failed skipped skipped skipped skipped");
  const unavailable = { ...ACCEPTED, inventory: part("unavailable", { changes: [] }) };
  assert.equal(headlineOf(unavailable).state, "cancelled");
  assert.equal(moods(unavailable), "done failed skipped skipped skipped");
});

test("a payment that is retried is in trouble, and stays in its place", () => {
  const delivery = { state: "retrying", event: 7, attempt: 3, next_attempt_at_ms: 1, message: "the payment gateway does not answer" } as const;
  const parts = { ...SET_ASIDE, payment: troubled(delivery) };
  assert.equal(headlineOf(parts).state, "reserved");
  assert.equal(troubleOf(parts), "retrying");
  assert.equal(moods(parts), "done done retrying waiting waiting");
  assert.deepEqual(stepsOf(parts)[2]?.trouble, delivery);
});

test("a payment with wrong details waits for the customer", () => {
  const delivery = { state: "awaiting-correction", event: 7, attempt: 1, message: "the payment details are wrong", what_is_wrong: "no" } as const;
  const parts = { ...SET_ASIDE, payment: troubled(delivery) };
  assert.deepEqual([headlineOf(parts).state, headlineOf(parts).title], ["reserved", "Waiting for you"]);
  assert.equal(troubleOf(parts), "stuck");
  assert.equal(moods(parts), "done done stuck waiting waiting");
});

test("a dead letter is the worst trouble and shows even after an earlier state", () => {
  const dead = { state: "dead-lettered", event: 7, attempt: 16, message: "no" } as const;
  const retrying = { state: "retrying", event: 7, attempt: 1, next_attempt_at_ms: 1, message: "no" } as const;
  const parts = { ...CHARGED, invoice: troubled(dead), notification: troubled(retrying, "sent") };
  assert.equal(troubleOf(parts), "stuck");
  assert.deepEqual([headlineOf(parts).state, headlineOf(parts).title], ["paid", "Stopped for now"]);
  assert.equal(moods(parts), "done done done stuck waiting");
  assert.equal(troubleOf(CHARGED), undefined);
});

test("a mail that is not sent is no trouble of the order", () => {
  const parts = { ...CHARGED, notification: troubled({ state: "dead-lettered", event: 7, attempt: 16, message: "no" }) };
  assert.equal(troubleOf(parts), undefined);
  assert.equal(headlineOf(parts).title, headlineOf(CHARGED).title);
});

test("what the order handler says at the end is not shown as its acceptance", () => {
  const before = { ...INVOICED, order: part("accepted", {}, "Accepted, 31.50 EUR") };
  const accepted = acceptanceOf(before);
  for (const order of [before.order, part("completed", {}, "Completed"), part("cancelled", {}, "Cancelled"), part("payment-overdue")]) {
    const [first] = stepsOf({ ...before, order }, { accepted });
    assert.equal(first?.text, "Accepted, 31.50 EUR", order.state);
    assert.deepEqual([first?.at?.at_ms, first?.at?.version], [before.order.at_ms, before.order.version], order.state);
  }
});

test("an acceptance that this browser has not seen has the words that are left, and no time", () => {
  const [first] = stepsOf({ ...INVOICED, delivery: part("delivered"), order: part("completed", {}, "Completed") });
  assert.deepEqual([first?.text, first?.at], ["Order accepted, €31.50 in all", undefined]);
  assert.equal(acceptanceOf({ order: part("completed") }), undefined);
});

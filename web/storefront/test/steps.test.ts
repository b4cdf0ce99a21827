// The page's view of an order's steps: the mood, text and time of each, for every course of an order.

import assert from "node:assert/strict";
import { test } from "node:test";

import type { Parts } from "@weirgate/client";

import { headlineOf } from "../src/model/headline.ts";
import { serviceOf } from "../src/model/services.ts";
import type { Services } from "../src/model/services.ts";
import { stepsOf, troubleOf } from "../src/model/steps.ts";
import { ACCEPTED, AWAITING, CHARGED, DEAD, INVOICED, LINES, part, RETRYING, SET_ASIDE, troubled } from "./document.ts";

function moods(parts: Parts, services: Services = {}): string {
  return stepsOf(parts, { services })
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

test("in an order that ended without a delivery, no step that was taken back is done", () => {
  const [cancelled, overdue, released] = [part("cancelled"), part("payment-overdue"), part("released")];
  const declined = { ...SET_ASIDE, payment: part("declined") };
  const ways: [string, Parts, string][] = [
    ["declined", declined, "undoing undoing failed skipped skipped"],
    ["declined, cancelled", { ...declined, order: cancelled }, "undone undoing failed skipped skipped"],
    ["declined, cancelled, released", { ...declined, order: cancelled, inventory: released }, "undone undone failed skipped skipped"],
    ["cancelled by the customer while the shelves were searched", { ...ACCEPTED, order: cancelled, inventory: part("checking") }, "undone skipped skipped skipped skipped"],
    ["cancelled, released", { order: cancelled, inventory: released }, "undone undone skipped skipped skipped"],
    ["overdue", { ...SET_ASIDE, order: overdue }, "undone undoing skipped skipped skipped"],
    ["overdue, charged too late", { ...CHARGED, order: overdue, inventory: released }, "undone undone undoing skipped skipped"],
    ["overdue, paid back", { order: overdue, inventory: released, payment: part("refunded") }, "undone undone undone skipped skipped"],
    ["nothing available", { ...ACCEPTED, inventory: part("unavailable") }, "undoing failed skipped skipped skipped"],
    ["nothing available, cancelled", { order: cancelled, inventory: part("unavailable") }, "undone failed skipped skipped skipped"],
    ["rejected", { order: part("rejected") }, "failed skipped skipped skipped skipped"],
  ];
  for (const [what, parts, expected] of ways) assert.equal(moods(parts), expected, what);
});

test("taking back can be in trouble itself, and shows it", () => {
  const parts = { order: part("cancelled"), inventory: part("released"), payment: troubled(RETRYING, "charged") };
  assert.equal(moods(parts), "undone undone retrying skipped skipped");
});

test("a step in trouble stays in its place, and is the order's trouble", () => {
  const ways = [[RETRYING, "retrying"], [DEAD, "stuck"], [AWAITING, "stuck"]] as const;
  for (const [trouble, mood] of ways) {
    const parts = { ...SET_ASIDE, payment: troubled(trouble) };
    assert.equal(moods(parts), `done done ${mood} waiting waiting`);
    assert.deepEqual(troubleOf(parts), { kind: mood, step: "payment" });
    assert.deepEqual(stepsOf(parts)[2]?.trouble, trouble);
  }
  assert.deepEqual(troubleOf({ ...CHARGED, invoice: troubled(DEAD), delivery: troubled(RETRYING) }), { kind: "stuck", step: "invoice" }, "the worst");
  assert.equal(troubleOf({ ...CHARGED, notification: troubled(DEAD, "sent") }), undefined, "a mail delays no order");
});

test("a step behind an open breaker is in trouble, although no attempt of its own has failed", () => {
  const service = (parts: Parts) => serviceOf({ subject: "weirgate/handlers/payment", epoch: "e", version: 9, parts });
  const open = service({ "weirgate-breaker": part("open") });
  const services = { payment: open };
  assert.equal(moods(SET_ASIDE, services), "done done retrying waiting waiting");
  assert.equal(moods(ACCEPTED, services), "done working waiting waiting waiting", "not before its turn");
  assert.equal(moods(CHARGED, services), "done done done working waiting", "not after it");
  assert.equal(troubleOf(SET_ASIDE, { payment: service({ "weirgate-breaker": part("closed") }) }), undefined);
  for (const mode of ["paused", "draining"]) {
    const [, inventory] = stepsOf(ACCEPTED, { services: { inventory: service({ "weirgate-handler": part(mode) }) } });
    assert.deepEqual([inventory?.mood, inventory?.text], ["working", "Paused for the moment; your order keeps its place"], mode);
  }
});

test("the first step keeps its time and its line in every browser, whatever became of the order", () => {
  const acceptance = ACCEPTED["order"];
  assert.ok(acceptance);
  const ends = ["accepted", "completed", "cancelled", "payment-overdue"].map((state) => part(state, {}, "The end"));
  for (const order of [acceptance, ...ends]) {
    const [first] = stepsOf({ ...INVOICED, order }, { acceptance });
    assert.equal(first?.text, "4 items, €31.50 in all", order.state);
    assert.deepEqual([first?.at?.at_ms, first?.at?.version], [acceptance.at_ms, acceptance.version], order.state);
  }
  const [rejected] = stepsOf({ order: part("rejected", {}, "Order rejected") }, { acceptance });
  assert.equal(rejected?.text, "Order rejected");
  const [unknown] = stepsOf({ ...INVOICED, order: part("completed") });
  assert.deepEqual([unknown?.text, unknown?.at], ["€31.50 in all", undefined], "an order from before acceptances were kept");
  assert.equal(stepsOf({ order: part("accepted", { lines: [{ ...LINES[0] }], total_cents: 480 }) })[0]?.text, "1 item, €4.80 in all");
});

// Wrong payment details: how the page shows them, what it sends, and how it recognises a refused number.

import assert from "node:assert/strict";
import { test } from "node:test";

import type { CloudEvent, Published, PublishOptions } from "@weirgate/client";

import { correct, formOf, problemOf, wrongDetailsOf } from "../src/model/card.ts";
import type { Answer } from "../src/model/card.ts";
import { part, SET_ASIDE, troubled } from "./document.ts";

const HINT = "; a payment.details-corrected with the right `card` lets the payment continue";
const WAITING = { state: "awaiting-correction", event: 7, attempt: 1, message: "the payment details are wrong", what_is_wrong: `no; really${HINT}` } as const;

function refusal() {
  const wrong = wrongDetailsOf({ ...SET_ASIDE, payment: troubled(WAITING) });
  assert.ok(wrong);
  return wrong;
}

test("the customer sees the problem, not the correcting event", () => {
  assert.equal(refusal().reason, "no; really");
  const silent = wrongDetailsOf({ ...SET_ASIDE, payment: troubled({ ...WAITING, what_is_wrong: "" }) });
  assert.equal(silent?.reason, WAITING.message);
});

test("no form is shown unless the payment waits, nor for a failed order", () => {
  const payment = troubled(WAITING);
  const retrying = troubled({ state: "retrying", event: 7, attempt: 1, next_attempt_at_ms: 1, message: "no" });
  for (const parts of [{}, SET_ASIDE, { payment: retrying }, { payment, order: part("payment-overdue") }, { payment, order: part("cancelled") }]) {
    assert.equal(wrongDetailsOf(parts), undefined);
  }
});

test("only impossible card numbers are rejected; a wrong digit is found by the server", () => {
  for (const text of ["4242 4242 4242 4242", "4242-4242-4242-4241", " 123456789012 "]) assert.equal(problemOf(text), undefined, text);
  for (const text of ["", "4242", "4242 4242 4242 424x", "1".repeat(20)]) assert.ok(problemOf(text), text);
});

test("an answer counts for its refusal only, even if the next one has the same text", () => {
  const [first, second] = [refusal(), refusal()];
  const answer = (state: Answer["state"]): Answer => ({ event_id: "e-1", version: first.version, card: "1", state });
  assert.equal(formOf(undefined, first), "empty");
  for (const state of ["sending", "sent", "failed"] as const) assert.equal(formOf(answer(state), first), state);
  assert.deepEqual([formOf(answer("sending"), second), formOf(answer("sent"), second)], ["refused", "refused"], "the status may be faster than the receipt");
  assert.equal(formOf(answer("failed"), second), "empty", "the server never had it");
});

test("the correction is the payment handler's event, and is retried until it is accepted", async () => {
  const published: [CloudEvent, PublishOptions | undefined][] = [];
  const publisher = {
    async publish(event: CloudEvent, options?: PublishOptions): Promise<Published> {
      published.push([event, options]);
      return { id: String(event.id), source: event.source, key: "", position: 1, duplicate: false, status_url: "" };
    },
  };
  await correct({ order: "o-1", card: "4242 4242-4242 4242", event_id: "e-1" }, publisher);
  const event = { id: "e-1", source: "/shop", type: "payment.details-corrected", subject: "order/o-1" };
  assert.deepEqual(published, [[{ ...event, data: { order: "o-1", card: "4242424242424242" } }, { attempts_max: Infinity }]]);
});

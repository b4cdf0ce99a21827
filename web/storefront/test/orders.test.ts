// The basket, and submitting an order: once, with the event that the handlers expect, and again after a refresh.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { PublishError } from "@weirgate/client";
import type { CloudEvent, Parts, Published } from "@weirgate/client";

import { count, quantityOf, totalCents, withQuantity, withSubstitutes } from "../src/model/basket.ts";
import type { Basket } from "../src/model/basket.ts";
import { articleOf, CATALOGUE, spoken, unbroken } from "../src/model/catalogue.ts";
import { handIn, isUnderWay, keep, newOrder, orders } from "../src/model/orders.ts";
import type { MyOrder } from "../src/model/orders.ts";
import { ACCEPTED, DEAD, INVOICED, part, RETRYING, SET_ASIDE, troubled } from "./document.ts";

const ADA = { name: "Ada Lovelace", email: "ada@example.org", address: "London" };
const ITEMS: Basket = [{ sku: "sourdough", quantity: 2, substitutes_ok: true }];
const EVENT_ID = "01234567-89ab-4def-8123-456789abcdef";

class FakePublisher {
  readonly events: CloudEvent[] = [];
  readonly forgotten: string[] = [];
  error: Error | undefined;

  async publish(event: CloudEvent): Promise<Published> {
    this.events.push(event);
    if (this.error) throw this.error;
    return { id: String(event.id), source: event.source, key: "", position: 1, duplicate: false, status_url: "" };
  }

  forget(subject: string): void {
    this.forgotten.push(subject);
  }
}

function order(event_id = EVENT_ID) {
  return newOrder({ items: ITEMS, customer: ADA, card: "4242424242424242", event_id, now_ms: 7 });
}

beforeEach(() => orders.set([]));

test("the basket counts, keeps its bounds, and drops removed articles", () => {
  let items: Basket = withQuantity([], "honey", 1);
  items = withQuantity(items, "oat-milk", 500);
  assert.deepEqual([quantityOf(items, "honey"), quantityOf(items, "oat-milk"), count(items)], [1, 99, 100]);
  assert.equal(totalCents(items), 890 + 99 * 249);
  items = withSubstitutes(items, "honey", false);
  assert.equal(withQuantity(items, "honey", 3)[0]?.substitutes_ok, false, "a choice survives a change of quantity");
  assert.deepEqual(withQuantity(withQuantity(items, "honey", 0), "oat-milk", 0), []);
});

test("the order's event matches the handlers", async () => {
  const publisher = new FakePublisher();
  const placed = order();
  keep(placed, publisher);
  await handIn(placed, publisher);
  const [event] = publisher.events;
  assert.match(placed.id, /^[0-9a-z]{8}$/);
  assert.deepEqual(event, {
    id: EVENT_ID,
    source: "/shop",
    type: "order.placed",
    subject: `order/${placed.id}`,
    data: {
      order: placed.id,
      customer: ADA,
      lines: [{ sku: "sourdough", name: "Sourdough bread", quantity: 2, unit_price_cents: 480, substitutes_ok: true }],
      card: "4242424242424242",
    },
  });
});

test("a submitted order is not submitted again, and its card number is deleted", async () => {
  const publisher = new FakePublisher();
  keep(order(), publisher);
  for (let refresh = 0; refresh < 2; refresh += 1) {
    for (const mine of orders.value) await handIn(mine, publisher);
  }
  assert.equal(publisher.events.length, 1);
  assert.ok(!JSON.stringify(orders.value).includes("4242424242424242"));
});

test("the badge counts what is under way: not what is over, refused, or forgotten by the server", () => {
  const now_ms = 7;
  const later_ms = now_ms + 3_600_000;
  const { unsent, ...sent } = order();
  const refused = { ...sent, refused: "no key" };
  assert.ok(unsent);
  const cases: [string, MyOrder, Parts | undefined, number, boolean][] = [
    ["not sent yet", order(), undefined, now_ms, true],
    ["not sent for an hour", order(), {}, later_ms, true],
    ["sent, its status not loaded", sent, undefined, now_ms, false],
    ["sent, no status yet", sent, {}, now_ms, true],
    ["sent an hour ago, and the server knows nothing of it", sent, {}, later_ms, false],
    ["refused", refused, {}, now_ms, false],
    ["accepted", sent, ACCEPTED, later_ms, true],
    ["its payment is retried", sent, { ...SET_ASIDE, payment: troubled(RETRYING) }, later_ms, true],
    ["its payment is a dead letter", sent, { ...SET_ASIDE, payment: troubled(DEAD) }, later_ms, true],
    ["on its way", sent, { ...INVOICED, delivery: part("dispatched") }, later_ms, true],
    ["delivered", sent, { ...INVOICED, delivery: part("delivered") }, later_ms, false],
    ["completed", sent, { ...INVOICED, delivery: part("delivered"), order: part("completed") }, later_ms, false],
    ["rejected", sent, { order: part("rejected") }, later_ms, false],
    ["cancelled", sent, { ...SET_ASIDE, order: part("cancelled") }, later_ms, false],
    ["overdue", sent, { ...SET_ASIDE, order: part("payment-overdue") }, later_ms, false],
    ["declined, about to be cancelled", sent, { ...SET_ASIDE, payment: part("declined") }, later_ms, false],
    ["nothing of it available", sent, { ...ACCEPTED, inventory: part("unavailable") }, later_ms, false],
    ["refunded", sent, { ...SET_ASIDE, payment: part("refunded") }, later_ms, false],
  ];
  for (const [what, mine, parts, at_ms, expected] of cases) assert.equal(isUnderWay(mine, parts, at_ms), expected, what);
});

test("a refusal is stored with the order and shown instead of retried", async () => {
  const publisher = new FakePublisher();
  publisher.error = new PublishError("the event was not accepted: no key", 400);
  keep(order(), publisher);
  for (let refresh = 0; refresh < 2; refresh += 1) {
    for (const mine of orders.value) await handIn(mine, publisher);
  }
  assert.equal(publisher.events.length, 1);
  assert.equal(orders.value[0]?.refused, "the event was not accepted: no key");
});

test("the list is bounded, newest first; dropped orders are forgotten", () => {
  const publisher = new FakePublisher();
  const ids = Array.from({ length: 32 }, (_, n) => `01234567-89ab-4def-8123-${String(n).padStart(12, "0")}`);
  for (const id of ids) keep(order(id), publisher);
  assert.equal(orders.value.length, 30);
  assert.equal(orders.value[0]?.event_id, ids[31]);
  assert.equal(publisher.forgotten.length, 4, "with their acceptances");
});

test("the catalogue has each article once, and only substitutes that it sells", () => {
  assert.equal(new Set(CATALOGUE.map(({ sku }) => sku)).size, CATALOGUE.length);
  for (const { replacement } of CATALOGUE) {
    assert.ok(!replacement || articleOf(replacement), replacement);
  }
  assert.equal(articleOf("nothing"), undefined);
  assert.equal(spoken("Coffee beans, 500 g"), "Coffee beans");
  assert.equal(unbroken("Coffee beans, 500 g"), "Coffee beans, 500\u00a0g");
});

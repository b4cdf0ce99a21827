// The basket, and submitting an order: once, with the event that the handlers expect, and again after a refresh.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { PublishError } from "@weirgate/client";
import type { CloudEvent, Published } from "@weirgate/client";

import { count, quantityOf, totalCents, withQuantity, withSubstitutes } from "../src/model/basket.ts";
import type { Basket } from "../src/model/basket.ts";
import { articleOf, CATALOGUE, unbroken } from "../src/model/catalogue.ts";
import { handIn, keep, newOrder, noteAcceptance, orders } from "../src/model/orders.ts";
import { parseRoute } from "../src/route.ts";
import { part } from "./document.ts";

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

test("the time of acceptance is stored with my order, and outlives the status", () => {
  const placed = order();
  keep(placed, new FakePublisher());
  const accepted = part("accepted", { total_cents: 960 }, "Order accepted, 9.60 EUR in all");
  for (const said of [accepted, part("completed")]) {
    noteAcceptance(placed.id, { order: said });
    const { version, at_ms, text } = accepted;
    assert.deepEqual(orders.value[0]?.accepted, { version, at_ms, text });
  }
  noteAcceptance("another", { order: accepted });
  assert.equal(orders.value.length, 1);
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
  assert.equal(publisher.forgotten.length, 2);
});

test("the catalogue has each article once, and only substitutes that it sells", () => {
  assert.equal(new Set(CATALOGUE.map(({ sku }) => sku)).size, CATALOGUE.length);
  for (const { replacement } of CATALOGUE) {
    assert.ok(!replacement || CATALOGUE.some(({ name }) => name.startsWith(replacement)), replacement);
  }
  assert.equal(articleOf("nothing"), undefined);
  assert.equal(unbroken("Coffee beans, 500 g"), "Coffee beans, 500\u00a0g");
});

test("addresses lead to pages, odd ones to the shop", () => {
  assert.deepEqual(parseRoute("#/orders/09b6y4pv"), { page: "order", id: "09b6y4pv" });
  assert.deepEqual(parseRoute("#/orders/"), { page: "orders" });
  assert.deepEqual(parseRoute("#/orders/%"), { page: "order", id: "%" });
  assert.deepEqual(parseRoute("#/checkout"), { page: "checkout" });
  for (const hash of ["", "#", "#/", "#/nowhere"]) assert.deepEqual(parseRoute(hash), { page: "catalogue" });
});

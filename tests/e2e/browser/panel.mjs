// The panel that breaks things shows what is pushed: a change in another browser, or by another program. It asks the server only
// after such a change, never at intervals. Orders behind an open circuit breaker say why they wait.

import { call, check, travel } from "./travel.mjs";

const ORDERS = 24;

await travel("panel", [1280, 360], async ({ page, requests, at, text, shot, start, go, order, change, elsewhere }) => {
  await start();
  await at("connection", "live");
  const other = await elsewhere();
  await other.start();
  await other.at("connection", "live");
  const open = async (one) => {
    await one.page.click('[data-testid="break-things"]');
    await one.page.locator('[data-testid="fault-payment"]:enabled').waitFor();
  };
  const reads = () => requests.filter((request) => request.startsWith("GET /v1/handlers/")).length;

  await open({ page });
  await other.change("fault-payment", "broken");
  await at("fault-payment", "broken");
  await call("POST", "/v1/handlers/inventory/pause");
  await at("fault-inventory", "broken");
  await shot("pushed");
  await call("POST", "/v1/handlers/inventory/resume");
  await at("fault-inventory", "working");
  // Two handlers at the opening, and after each of three changes.
  check(reads() <= 8, "the panel reads only after a change", requests);
  await page.keyboard.press("Escape");

  // Enough failures for the breaker: the last orders are not even tried.
  const id = await order("tagliatelle");
  await page.locator('[data-testid="step-payment"][data-mood="retrying"]').waitFor();
  const { lines, customer, card } = { lines: [{ sku: "oat-milk", name: "Oat milk, 1 l", quantity: 1, unit_price_cents: 249 }], customer: { name: "Ada", email: "ada@example.org", address: "London" }, card: "4242424242424242" };
  const width = page.viewportSize().width;
  const event = (n) => ({ specversion: "1.0", id: `${id}-${n}`, source: "/shop", type: "order.placed", subject: `order/${id}-${n}`, data: { order: `${id}-${n}`, lines, customer, card } });
  await call("POST", "/v1/events", Array.from({ length: ORDERS }, (_, n) => event(n)), "application/cloudevents-batch+json");
  await open({ page });
  await page.locator('[data-testid="fault-payment-waiting"]', { hasText: "breaker is open" }).waitFor();
  check((await text('[data-testid="fault-payment-waiting"]')).startsWith("1 of your orders waits"), "my order waits", await text('[data-testid="fault-payment-waiting"]'));
  await page.keyboard.press("Escape");
  const late = `${id}-late`;
  await call("POST", "/v1/events", { ...event("late"), id: late }, "application/cloudevents+json");
  await go(`#/orders/${late}`);
  await at("order-state", "reserved");
  await page.locator('[data-testid="order-state"][data-trouble="retrying"]').waitFor();
  check((await text("h1")) === "Your payment takes longer", "an order behind the breaker does not look as if all were well", await text("h1"));
  await shot(`behind-the-breaker-${width}`);
  await change("fault-payment", "working");
  await at("order-state", "delivered");
  await open(other);
  await other.at("fault-payment", "working");
});

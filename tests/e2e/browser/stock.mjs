// What is sold out cannot be ordered: from the first look on, while a page is open, and in a basket. Where the stock goes between
// an order and its reservation, the order's page says so.

import { call, check, travel } from "./travel.mjs";

const HONEY = { sku: "honey", name: "Forest honey, 500 g", unit_price_cents: 890 };
const RYE = { sku: "rye-bread", name: "Rye bread", unit_price_cents: 420 };

/** Places an order without a page: nothing keeps it from asking for what is sold out. */
async function place(order, lines) {
  const customer = { name: "Ada Lovelace", email: "ada@example.org", address: "London" };
  const event = { specversion: "1.0", id: `placed-${order}`, source: "/shop", type: "order.placed", subject: `order/${order}` };
  const data = { order, customer, card: "4242424242424242", lines };
  await call("POST", "/v1/events", { ...event, data }, "application/cloudevents+json");
}

async function count(sku, on_hand, id) {
  const event = { specversion: "1.0", id, source: "/warehouse", type: "stock.counted", subject: `sku/${sku}`, data: { sku, on_hand } };
  await call("POST", "/v1/events", event, "application/cloudevents+json");
}

await travel("stock", [1280, 360], async ({ page, posted, at, text, shot, start, go }) => {
  const width = page.viewportSize().width;
  const card = (sku) => `.card[data-sku="${sku}"]`;
  const add = (sku) => page.click(`${card(sku)} [data-testid="add-to-cart"]`);
  await count("honey", 2, `two-${width}`);
  await count("rye-bread", 9, `nine-${width}`);
  await start();
  await at("connection", "live");
  await page.locator(`${card("honey")} .tag`, { hasText: "2 left" }).waitFor();

  // Sold out from the beginning.
  await page.locator(`${card("sourdough")}[data-out="true"]`).waitFor();
  check(await page.isDisabled(`${card("sourdough")} [data-testid="add-to-cart"]`), "what is sold out cannot be put into the basket", "sourdough");
  await page.click(`${card("sourdough")} [data-testid="add-substitute"]`);
  // No more than there are.
  await add("honey");
  await add("honey");
  check(await page.isDisabled(`${card("honey")} [data-testid="add-to-cart"]`), "nor more than there is", "honey");
  await shot("catalogue");

  // Sold out while it is in the basket: the page learns it at once.
  await page.click('[data-testid="checkout"]');
  await place(`first-${width}`, [{ ...HONEY, quantity: 1, substitutes_ok: false }]);
  await page.locator('[data-testid="shortage"]', { hasText: "not enough left of Forest honey" }).waitFor();
  await page.click('[data-testid="take-what-is-left"]');
  await page.locator('[data-testid="place-order"][aria-disabled="false"]').waitFor();
  await place(`second-${width}`, [{ ...HONEY, quantity: 1, substitutes_ok: false }]);
  await page.locator('[data-testid="shortage"]', { hasText: "Forest honey is sold out" }).waitFor();
  await shot("sold-out-in-the-basket");
  await page.press('input[autocomplete="name"]', "Enter");
  check(posted.length === 0 && page.url().includes("#/checkout"), "the order is not placed", posted);
  const focused = await page.evaluate(() => document.activeElement?.closest(".remedies") !== null);
  check(focused, "the focus is where it can be put right", focused);
  await page.click('[data-testid="take-out"]');
  await page.click('[data-testid="place-order"]');
  await at("order-state", "delivered");
  check(posted.length === 1 && posted[0].data.lines.every(({ sku }) => sku === "rye-bread"), "then what is left is ordered", posted);

  // Sold out between the order and its reservation.
  await place(`late-${width}`, [{ ...HONEY, quantity: 1, substitutes_ok: false }]);
  await go(`#/orders/late-${width}`);
  await at("order-state", "cancelled");
  await page.locator(".headline-text", { hasText: "Forest honey has sold out before" }).waitFor();
  check((await text("h1")) === "Sold out meanwhile", "the page says what happened", await text("h1"));
  check((await page.locator('.step[data-mood="done"]').count()) === 0, "without a tick", "late");
  await shot("sold-out-meanwhile");
  await place(`part-${width}`, [{ ...HONEY, quantity: 1, substitutes_ok: false }, { ...RYE, quantity: 1, substitutes_ok: false }]);
  await go(`#/orders/part-${width}`);
  await at("order-state", "delivered");
  await page.locator(".changes", { hasText: "sold out" }).waitFor();
  check((await text('[data-testid="total"]')) === "€4.20", "what is missing is not paid", await text('[data-testid="total"]'));
});

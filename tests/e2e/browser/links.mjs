// Bad links: each gets a page that says what is wrong and shows the way on, and none costs the page its connection.

import { check, travel } from "./travel.mjs";

const LOST = ["#/nowhere", "#/orders/%E0%A4%A", "#/orders/%00", "#/orders/a%20b", "#/orders/a/b", `#/orders/${"x".repeat(2_000)}`, "#/orders/%E2%80%AEabc"];

await travel("links", [1280, 360], async ({ page, at, text, shot, start, go, order }) => {
  await start();
  await at("connection", "live");
  const id = await order("olive-oil");
  await at("order-state", "delivered");
  for (const hash of LOST) {
    await go(hash);
    await at("lost");
    // Both follow the page, a moment later.
    await page.waitForFunction(() => document.title.startsWith("Not found"));
    await page.waitForFunction(() => document.activeElement === document.querySelector("h1"));
    await at("connection", "live");
    await go("#/orders");
    await at("order", "delivered");
  }
  await go("#/nowhere");
  await at("lost");
  await shot("lost");

  // An unknown order, found by its number: as the page shows it, in capitals and with a blank.
  await go("#/orders/zzzzzzzz");
  await at("order-state", "unknown");
  await shot("unknown");
  await page.fill('[data-testid="find-order"] input', "not one word");
  await page.press('[data-testid="find-order"] input', "Enter");
  await page.locator("#find-problem").waitFor();
  await shot("not-a-number");
  await page.fill('[data-testid="find-order"] input', ` ${id.toUpperCase()} `);
  await page.press('[data-testid="find-order"] input', "Enter");
  await at("order-state", "delivered");

  // A path instead of a fragment.
  const url = process.argv[2];
  const missing = await page.goto(`${url}nowhere`);
  check(missing.status() === 404, "the server says so, too", missing.status());
  await at("lost");
  await page.goto(`${url}orders/${id}`);
  await at("order-state", "delivered");
  check(page.url() === `${url}#/orders/${id}`, "the address is put right", page.url());
  const asset = await fetch(`${url}assets/missing.js`);
  check(asset.status === 404 && !(await asset.text()).includes("<html"), "a missing script is no page", asset.status);
  check((await text("h1")) === "Delivered", "the page is the order's", await text("h1"));
});

// Payments are down, and the page shows it, also through a crash of the server; when they are back, the order continues.

import { ask, check, travel } from "./travel.mjs";

await travel("outage", [1280, 360], async ({ page, requests, at, text, shot, start, order, change }) => {
  await start();
  await at("connection", "live");
  await change("fault-payment", "broken");
  await order("dark-chocolate");
  await page.locator('[data-testid="step-payment"][data-mood="retrying"]').waitFor();
  await page.locator('[data-testid="order-state"][data-trouble="retrying"]').waitFor();
  await page.locator('[data-testid="step-payment"] [data-testid="trouble"][data-state="retrying"]').waitFor();
  check((await text("h1")) === "Your payment takes longer", "the headline is about what fails", await text("h1"));
  await shot("retrying");
  await ask("kill");
  await at("connection", "reconnecting");
  await ask("start");
  await at("connection", "live");
  await page.locator('[data-testid="step-payment"][data-mood="retrying"]').waitFor();
  await change("fault-payment", "working");
  await page.locator('[data-testid="step-payment"][data-state="charged"]').waitFor();
  await at("order-state", "delivered");
  const trouble = await page.locator('[data-testid="trouble"]').count();
  check(trouble === 0, "trouble is gone when it is over", trouble);
  await shot("paid");
  const polls = requests.filter((request) => request.includes("/v1/status"));
  check(polls.length === 0, "the page polls for a status", polls);
});

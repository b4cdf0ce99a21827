// An order progresses while the customer watches: the server is killed in between, the page is refreshed, and the order
// still reaches "delivered". The page never polls for a status: it is pushed.

import { ask, check, travel } from "./travel.mjs";

const STEPS = ["order", "inventory", "payment", "invoice", "delivery"];

await travel("order", [1280, 360], async ({ page, requests, pushed, at, shot, start, order, change }) => {
  await start();
  await at("connection", "live");
  await shot("catalogue");
  // With the inventory away the order waits where a crash can hit it.
  await change("fault-inventory", "broken");
  const id = await order("coffee-beans");
  await at("order-state", "accepted");
  await shot("under-way");
  await ask("kill");
  await at("connection", "reconnecting");
  await shot("server-gone");
  await ask("start");
  await at("connection", "live");
  await at("order-state", "accepted");
  const before = await page.locator('[data-testid="version"]').textContent();
  await page.reload();
  await at("connection", "live");
  await at("order-state", "accepted");
  check((await page.locator('[data-testid="version"]').textContent()) === before, "the refreshed page shows what it showed", before);
  await change("fault-inventory", "working");
  await at("order-state", "delivered");
  await at("receipt");
  for (const step of STEPS) await page.locator(`[data-testid="step-${step}"][data-mood="done"]`).waitFor();
  for (const step of ["packed", "dispatched", "delivered"]) await page.locator(`[data-testid="step-${step}"][data-on="true"]`).waitFor();
  await shot("delivered");
  await page.reload();
  await at("order-state", "delivered");

  const polls = requests.filter((request) => request.includes("/v1/status"));
  check(polls.length === 0, "the page polls for a status", polls);
  check(requests.filter((request) => request === "POST /v1/events").length === 1, "the order was published once", requests);
  const seen = new Set(pushed.filter(({ subject }) => subject === `order/${id}`).flatMap(({ parts }) => Object.values(parts)).map(({ state }) => state));
  for (const state of ["accepted", "reserved", "charged", "issued", "delivered", "completed"]) check(seen.has(state), `${state} was pushed`, [...seen]);
});

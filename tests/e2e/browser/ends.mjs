// How orders end, as every browser sees it: what was taken back has no tick, the first step keeps its time, money is written
// one way, and the badge counts only what is under way.

import { call, check, travel } from "./travel.mjs";

const DECLINED = "4000000000000002";
const WRONG = "4242424242424241";

await travel("ends", [1280, 360], async ({ page, at, text, shot, start, go, order, elsewhere }) => {
  const badge = async () => ((await page.locator('[data-testid="orders-number"]').count()) === 0 ? "" : (await text('[data-testid="orders-number"]')).split(" ")[0]);
  const badgeIs = (number) => page.waitForFunction((expected) => (document.querySelector('[data-testid="orders-number"]')?.textContent.split(" ")[0] ?? "") === expected, number);
  const moods = (of) => of.locator(".step").evaluateAll((steps) => steps.map((step) => step.dataset.mood).join(" "));
  const firstStep = async (of) => [await of.locator('[data-testid="step-order"] .step-head time').textContent(), await of.locator('[data-testid="step-order"] .step-text').textContent()];

  await start();
  await at("connection", "live");
  const waiting = await order("olive-oil", WRONG);
  await at("card-form");
  await badgeIs("1");
  const accepted = await firstStep(page);
  await go("#/");
  const declined = await order("olive-oil", DECLINED);
  await page.locator('[data-testid="step-inventory"][data-mood="undone"]').waitFor();
  await page.locator('[data-testid="step-order"][data-mood="undone"]').waitFor();
  check((await moods(page)) === "undone undone failed skipped skipped", "nothing that was taken back has a tick", await moods(page));
  check((await text('[data-testid="total"]')) === "€0.00", "nothing is owed", await text('[data-testid="total"]'));
  await shot("declined");
  await badgeIs("1");

  await go(`#/orders/${waiting}`);
  await page.fill('[data-testid="card-number"]', "4242 4242 4242 4242");
  await page.press('[data-testid="card-number"]', "Enter");
  // The order handler's last status replaces its first.
  await page.locator('[data-testid="step-order"][data-state="completed"]').waitFor();
  await badgeIs("");
  check((await badge()) === "", "a delivered order is not under way", await badge());
  check(String(await firstStep(page)) === String(accepted), "the first step keeps its time and line", [accepted, await firstStep(page)]);
  await page.reload();
  await at("order-state", "delivered");
  check(String(await firstStep(page)) === String(accepted), "after a reload", await firstStep(page));
  await shot("delivered");

  const other = await elsewhere();
  for (const [id, state] of [[waiting, "delivered"], [declined.toUpperCase(), "cancelled"]]) {
    await other.page.goto(`${process.argv[2]}#/orders/${id}`);
    await other.at("order-state", state);
    await other.page.locator('[data-testid="step-order"] .step-head time').waitFor();
    if (id === waiting) check(String(await firstStep(other.page)) === String(accepted), "in another browser", await firstStep(other.page));
    check((await other.page.locator('[data-testid="receipt"] li').count()) === 1, "the lines are known there", id);
    const shown = await other.page.locator("body").innerText();
    check(!shown.includes("EUR") && shown.includes("€11.90"), "money is written one way", shown);
  }
  await other.shot("declined");

  const { parts } = await call("GET", `/v1/status/order/${waiting}/acceptance`);
  check(parts.order.text === "Order accepted, €11.90 in all", "the handlers write it so, too", parts);
});

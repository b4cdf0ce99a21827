// Three orders were charged too much, one of them is delivered. While their pages are open the shop repairs what a bug left: each page
// corrects itself, and says so. The orders' ids are the arguments.

import { ask, check, travel } from "./travel.mjs";

const [delivered, ...waiting] = process.argv.slice(3);
const WRONG = "Paid €15.19";
const CORRECTED = "Paid €14.90";
const REFUNDED = "Paid €14.90; €0.29 too much was paid back";

await travel("pricing", [1280], async ({ page, at, shot, elsewhere, requests, pushed }) => {
  const first = { page, at, shot, requests, pushed };
  const pages = [[delivered, first]];
  for (const id of waiting) pages.push([id, await elsewhere()]);
  const payment = ({ page }) => page.locator('[data-testid="step-payment"] .step-text');
  /** The page in both widths. */
  const both = async (one, what) => {
    await one.shot(what);
    await one.page.setViewportSize({ width: 360, height: 860 });
    await one.page.emulateMedia({ colorScheme: "dark" });
    await one.shot(`${what}-phone`);
    const overflow = await one.page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    check(overflow <= 0, "the page fits a phone", overflow);
    await one.page.setViewportSize({ width: 1280, height: 860 });
    await one.page.emulateMedia({ colorScheme: "light" });
  };

  for (const [id, one] of pages) {
    await one.page.goto(`${process.argv[2]}#/orders/${id}`);
    await one.at("connection", "live");
    await payment(one).filter({ hasText: WRONG }).waitFor();
  }
  await first.at("order-state", "delivered");
  await pages[1][1].page.locator('[data-testid="order-state"][data-trouble="stuck"]').waitFor();
  await both(first, "wrong");
  const loads = pages.map(([, one]) => one.requests.length);

  await ask("repair");
  // The corrected amount comes with the repair, and is marked; then the payment handler adds what it has paid back.
  for (const [, one] of pages) {
    await payment(one).filter({ hasText: CORRECTED }).waitFor();
    await one.page.locator('[data-testid="step-payment"] [data-testid="corrected"]').waitFor();
  }
  await first.shot("corrected");
  await ask("refund");
  for (const [, one] of pages) await payment(one).filter({ hasText: REFUNDED }).waitFor();
  for (const [id, one] of pages) {
    const said = one.pushed.filter(({ subject }) => subject === `order/${id}`).flatMap(({ parts }) => (parts?.payment ? [parts.payment] : []));
    check(said.some(({ text, corrected }) => corrected === true && text === CORRECTED), "the correction was pushed, marked", said);
  }
  check(String(pages.map(([, one]) => one.requests.length)) === String(loads), "the pages asked for nothing", pages.map(([, one]) => one.requests.slice(-5)));
  await first.at("order-state", "delivered");
  await both(first, "refunded");
  await both(pages[1][1], "refunded-waiting");

  // The others go on as soon as support has given their invoices the right amount.
  await ask("correct");
  for (const [, one] of pages.slice(1)) await one.at("order-state", "delivered");
  await both(pages[1][1], "delivered");
});

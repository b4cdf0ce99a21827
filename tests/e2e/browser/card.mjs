// A card number with a wrong digit: the payment waits for the customer, who corrects it on the order's own page, wrongly at
// first. The result for each number is pushed.

import { check, travel } from "./travel.mjs";

const WRONG = "4242424242424241";
const WRONG_AS_WELL = "4242 4242 4242 4244";
const TOO_SHORT = "4242 4242 4242 424";
const GOOD = "4242 4242 4242 4242";

await travel("card", [1280, 360], async ({ page, requests, posted, at, text, shot, start, order }) => {
  const send = async (number) => {
    await page.fill('[data-testid="card-number"]', number);
    await page.press('[data-testid="card-number"]', "Enter");
  };
  /** The form asks for another number; the page says why. */
  const asks = async (state, why) => {
    await at("card-form", state);
    const reason = await text('[data-testid="card-wrong"]');
    check(reason.includes(why), "the page says what is wrong", reason);
    check(!reason.includes("payment.details-corrected"), "in words for a customer", reason);
  };

  await start();
  await at("connection", "live");
  const id = await order("olive-oil", WRONG);
  await page.locator('[data-testid="order-state"][data-trouble="stuck"]').waitFor();
  await page.locator('[data-testid="step-payment"] [data-testid="trouble"][data-state="awaiting-correction"]').waitFor();
  await asks("empty", "has a digit that is wrong");
  await shot("waiting");

  await send("4242");
  await at("card-problem");
  check(posted.length === 1, "what is no card number stays here", posted);
  for (const [number, why] of [[WRONG_AS_WELL, "has a digit that is wrong"], [TOO_SHORT, "is not 16 digits"]]) {
    await send(number);
    await page.locator('[data-testid="card-wrong"]', { hasText: why }).waitFor();
    await asks("refused", why);
  }
  await shot("refused");
  await page.reload();
  await asks("empty", "is not 16 digits");

  await send(GOOD);
  await page.locator('[data-testid="step-payment"][data-state="charged"]').waitFor();
  await at("order-state", "delivered");
  check((await page.locator('[data-testid="card-form"]').count()) === 0, "the form is gone", id);
  await shot("delivered");

  const corrections = posted.filter(({ type }) => type === "payment.details-corrected");
  const sent = corrections.map(({ source, subject, data }) => `${source} ${subject} ${data.order} ${data.card}`);
  const numbers = [WRONG_AS_WELL, TOO_SHORT, GOOD].map((number) => number.replaceAll(" ", ""));
  check(String(sent) === String(numbers.map((number) => `/shop order/${id} ${id} ${number}`)), "each number was sent once", sent);
  check(new Set(corrections.map((event) => event.id)).size === 3, "each as a separate event", corrections);
  const polls = requests.filter((request) => request.includes("/v1/status"));
  check(polls.length === 0, "the page polls for a status", polls);
});

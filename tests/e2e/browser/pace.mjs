// With a pace, the steps of an order can be watched one after another. The waits are durable timers of the handlers: a crash of
// the server in the middle of one loses nothing.

import { ask, check, travel } from "./travel.mjs";

const STATES = ["accepted", "checking", "reserved", "paid", "invoiced", "packed", "dispatched", "delivered"];

await travel("pace", [1280, 360], async ({ page, at, shot, start, order }) => {
  await start();
  await at("connection", "live");
  // What is shown is noted when it is painted, with its time.
  await page.evaluate(() => {
    const seen = (window.seen = []);
    const note = (time) => {
      const state = document.querySelector('[data-testid="order-state"]')?.dataset.state;
      if (state && seen.at(-1)?.state !== state) seen.push({ state, time });
      requestAnimationFrame(note);
    };
    requestAnimationFrame(note);
  });
  await order("coffee-beans");
  await at("order-state", "delivered");
  const seen = await page.evaluate(() => window.seen);
  const shown = seen.map(({ state }) => state);
  const missing = ["checking", "reserved", "paid", "invoiced", "packed", "dispatched", "delivered"].filter((state) => !shown.includes(state));
  check(missing.length === 0, "each step was shown", shown);
  const places = shown.map((state) => STATES.indexOf(state)).filter((place) => place >= 0);
  check(places.every((place, n) => n === 0 || place > places[n - 1]), "in order", shown);
  const stays = seen.slice(1).map(({ time }, n) => [seen[n].state, time - seen[n].time]).filter(([state]) => STATES.indexOf(state) > 0);
  check(stays.every(([, ms]) => ms > 100), "and long enough to be seen", stays);

  await page.click('nav a[href="#/"]');
  await order("olive-oil");
  await page.locator('[data-testid="step-inventory"][data-mood="done"]').waitFor();
  await ask("kill");
  await at("connection", "reconnecting");
  await ask("start");
  await at("order-state", "delivered");
  await shot("delivered");
});

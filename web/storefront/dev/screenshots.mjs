// A development tool: walks through the shop in Chromium, against the development server, and takes screenshots of what a
// customer sees, wide and narrow, light and dark. Fails if the page does not get to the expected state. `npm run screenshots
// [folder]`; CHROMIUM sets another browser.

import { spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const folder = process.argv[2] ?? join(tmpdir(), "shop-screenshots");
mkdirSync(folder, { recursive: true });

const args = ["--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  chromiumSandbox: false,
  args,
});

/** A separate server for each walk, so that the stock is the initial one. */
async function start() {
  const child = spawn(process.execPath, [fileURLToPath(new URL("server.mjs", import.meta.url)), "0"], { stdio: ["ignore", "pipe", "inherit"] });
  const url = await new Promise((resolve) => child.stdout.once("data", (text) => resolve(/http:\S+/.exec(String(text))?.[0])));
  return { url, stop: () => child.kill() };
}

async function walk(name, { width, height, colorScheme }) {
  const { url, stop } = await start();
  const context = await browser.newContext({ viewport: { width, height }, colorScheme, deviceScaleFactor: 1 });
  const page = await context.newPage();
  const troubles = [];
  page.on("pageerror", (error) => troubles.push(String(error)));
  const fate = (data) => page.request.put(new URL("/dev", url).href, { data });
  const shot = async (what, fullPage = true) => {
    await settled();
    await page.screenshot({ path: join(folder, `${name}-${what}.png`), fullPage });
  };
  /** Nothing that ends is still moving. */
  const settled = () =>
    page.waitForFunction(() => document.getAnimations().every((one) => one.effect?.getComputedTiming().endTime === Infinity || one.playState === "finished"));
  const at = (id, state) => page.locator(`[data-testid="${id}"]${state ? `[data-state="${state}"]` : ""}`).waitFor();
  const add = (sku) => page.click(`[data-testid="add-to-cart"][data-sku="${sku}"]`);

  await page.goto(url);
  await at("connection", "live");
  for (const sku of ["coffee-beans", "coffee-beans", "honey", "oat-milk"]) await add(sku);
  await page.click('[data-testid="add-substitute"]');
  await page.evaluate(() => window.scrollTo(0, 0));
  await shot("1-catalogue");
  await page.click('[data-testid="checkout"]');
  await shot("2-checkout");

  await page.click('[data-testid="break-things"]');
  await page.click('[data-testid="fault-payment"][data-state="working"]');
  await page.locator('[data-testid="fault-payment"][data-state="broken"]:enabled').waitFor();
  await shot("3-fault-injection", false);
  await page.keyboard.press("Escape");
  await page.click('[data-testid="place-order"]');
  await page.locator('[data-testid="step-payment"][data-mood="retrying"]').waitFor();
  await shot("4-retrying");
  await fate({ outage_ms: 4_000 });
  await at("connection", "reconnecting");
  await page.getByText("The server does not answer").waitFor();
  await shot("5-reconnecting");
  await at("connection", "live");
  await page.click('[data-testid="break-things"]');
  await page.click('[data-testid="fault-payment"][data-state="broken"]');
  await page.locator('[data-testid="fault-payment"][data-state="working"]:enabled').waitFor();
  await page.keyboard.press("Escape");
  await at("step-dispatched");
  await page.locator('[data-testid="step-dispatched"][data-on="true"]').waitFor();
  await shot("6-under-way");
  await at("order-state", "delivered");
  await page.reload();
  await at("order-state", "delivered");
  await shot("7-delivered");

  await page.goto(url);
  await add("olive-oil");
  await page.click('[data-testid="checkout"]');
  await page.getByText("Card ending in 0002").click();
  await page.click('[data-testid="place-order"]');
  await at("order-state", "cancelled");
  await page.locator('[data-testid="step-payment"][data-mood="failed"]').waitFor();
  await shot("8-declined");

  await page.click('[data-testid="break-things"]');
  await page.click('[data-testid="fault-payment"][data-state="working"]');
  await page.locator('[data-testid="fault-payment"][data-state="broken"]:enabled').waitFor();
  await page.keyboard.press("Escape");
  await fate({ dead_after: 1 });
  await page.click('nav a[href="#/"]');
  await add("tagliatelle");
  await page.click('[data-testid="checkout"]');
  await page.click('[data-testid="place-order"]');
  await page.locator('[data-testid="step-payment"][data-mood="stuck"]').waitFor();
  await shot("9-dead-lettered");

  await page.click('nav a[href="#/"]');
  await add("oat-milk");
  await page.click('[data-testid="checkout"]');
  await page.getByText("Card ending in 4241").click();
  await page.click('[data-testid="place-order"]');
  await at("card-form", "empty");
  await shot("10-wrong-card");
  await page.fill('[data-testid="card-number"]', "4242 4242 4242 4244");
  await page.click('[data-testid="card-send"]');
  await at("card-form", "refused");
  await shot("11-wrong-card-again");
  await page.click('nav a[href="#/orders"]');
  await page.locator('[data-testid="order"][data-trouble="stuck"]').first().waitFor();
  await shot("12-orders");

  await page.evaluate(() => (location.hash = "#/nowhere"));
  await at("lost");
  await shot("13-lost");

  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  if (overflow > 0) troubles.push(`the page is ${overflow} px wider than the window`);
  await context.close();
  stop();
  if (troubles.length > 0) throw new Error(`${name}: ${troubles.join("; ")}`);
}

try {
  await walk("wide", { width: 1280, height: 860, colorScheme: "light" });
  await walk("narrow", { width: 360, height: 740, colorScheme: "light" });
  await walk("wide-dark", { width: 1280, height: 860, colorScheme: "dark" });
  await walk("narrow-dark", { width: 360, height: 740, colorScheme: "dark" });
  console.log(`the pictures are in ${folder}`);
} finally {
  await browser.close();
}

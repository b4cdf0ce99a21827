// Shared parts of the journeys: a browser, a page that notes its requests and its errors, starting and killing the server
// through the parent process, and screenshots in target/screenshots.

import { mkdirSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "../../..");
const { chromium } = createRequire(join(root, "web/package.json"))("playwright-core");
const folder = join(root, "target/screenshots");
const PATIENCE_MS = 45_000;

const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

/** Ask for the server to be killed (`kill`) or started (`start`), and wait until it is. */
export async function ask(what) {
  console.log(`ask ${what}`);
  await answers.next();
}

/** Walk through a journey at each width; the process fails where the page does. */
export async function travel(name, widths, walk) {
  mkdirSync(folder, { recursive: true });
  const args = ["--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
  const executablePath = process.env.CHROMIUM || "/usr/bin/chromium";
  const browser = await chromium.launch({ executablePath, chromiumSandbox: false, args });
  try {
    for (const width of widths) await visit(browser, name, width, walk);
  } finally {
    await browser.close();
    process.stdin.destroy();
  }
}

async function visit(browser, name, width, walk) {
  const context = await browser.newContext({ viewport: { width, height: 860 }, deviceScaleFactor: 1 });
  context.setDefaultTimeout(PATIENCE_MS);
  const page = await context.newPage();
  const [requests, posted, troubles, pushed] = [[], [], [], []];
  page.on("request", (request) => {
    requests.push(`${request.method()} ${new URL(request.url()).pathname}`);
    if (requests.at(-1) === "POST /v1/events") posted.push(request.postDataJSON());
  });
  page.on("pageerror", (error) => troubles.push(String(error)));
  page.on("websocket", (socket) => socket.on("framereceived", ({ payload }) => pushed.push(JSON.parse(String(payload)))));
  let shots = 0;
  const travelled = {
    page, requests, posted, pushed,
    at: (id, state) => page.locator(`[data-testid="${id}"]${state === undefined ? "" : `[data-state="${state}"]`}`).first().waitFor(),
    shot: async (what) => {
      // Nothing that has ended still moves.
      await page.waitForFunction(() => document.getAnimations().every((one) => one.effect?.getComputedTiming().endTime === Infinity || one.playState === "finished"));
      await page.screenshot({ path: join(folder, `${name}-${width}-${++shots}-${what}.png`), fullPage: true });
    },
    start: () => page.goto(process.argv[2]),
    // `card`: one of those that the checkout offers; the first one unless it is named.
    order: async (sku, card) => {
      await page.click(`[data-testid="add-to-cart"][data-sku="${sku}"]`);
      await page.click('[data-testid="checkout"]');
      if (card) await page.check(`[data-testid="pay-with"][data-card="${card}"]`);
      await page.click('[data-testid="place-order"]');
      await page.locator('[data-testid="order-state"]').waitFor();
      return /#\/orders\/(.+)$/.exec(page.url())?.[1];
    },
    change: async (fault, to) => {
      await page.click('[data-testid="break-things"]');
      await page.click(`[data-testid="${fault}"]:not([data-state="${to}"])`);
      await page.locator(`[data-testid="${fault}"][data-state="${to}"]:enabled`).waitFor();
      await page.keyboard.press("Escape");
    },
  };
  await walk(travelled);
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  if (overflow > 0) troubles.push(`the page is ${overflow} px wider than the window`);
  if (troubles.length > 0) throw new Error(`${name} at ${width} px: ${troubles.join("; ")}`);
  await context.close();
}

/** Fails unless `condition`; `seen` says why. */
export function check(condition, what, seen) {
  if (!condition) throw new Error(`${what}: ${JSON.stringify(seen)}`);
}

// Shared parts of the journeys: a browser, a page that notes its requests and its errors, starting and killing the server
// through the parent process, and screenshots in target/screenshots.

import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "../../..");
const require = createRequire(join(root, "web/package.json"));
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
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

/** The narrow pages are dark. */
async function visit(browser, name, width, walk) {
  const troubles = [];
  const contexts = [];
  const colorScheme = width < 720 ? "dark" : "light";
  const arrive = async (label) => {
    const context = await browser.newContext({ viewport: { width, height: 860 }, deviceScaleFactor: 1, colorScheme });
    context.setDefaultTimeout(PATIENCE_MS);
    contexts.push(context);
    const page = await context.newPage();
    page.on("pageerror", (error) => troubles.push(String(error)));
    return traveller(page, label, troubles);
  };
  const label = `${name}-${width}`;
  // `elsewhere` is another browser: it shares nothing with the first but the server.
  await walk({ ...(await arrive(label)), elsewhere: () => arrive(`${label}-elsewhere`) });
  for (const context of contexts) {
    const overflow = await context.pages()[0].evaluate(() => document.documentElement.scrollWidth - innerWidth);
    if (overflow > 0) troubles.push(`the page is ${overflow} px wider than the window`);
    await context.close();
  }
  if (troubles.length > 0) throw new Error(`${name} at ${width} px: ${troubles.join("; ")}`);
}

function traveller(page, label, troubles) {
  const [requests, posted, pushed] = [[], [], []];
  page.on("request", (request) => {
    requests.push(`${request.method()} ${new URL(request.url()).pathname}`);
    if (requests.at(-1) === "POST /v1/events") posted.push(request.postDataJSON());
  });
  page.on("websocket", (socket) => socket.on("framereceived", ({ payload }) => pushed.push(JSON.parse(String(payload)))));
  let shots = 0;
  return {
    page, requests, posted, pushed,
    at: (id, state) => page.locator(`[data-testid="${id}"]${state === undefined ? "" : `[data-state="${state}"]`}`).first().waitFor(),
    text: async (selector) => (await page.locator(selector).first().textContent()) ?? "",
    /** A picture, and a look for what keeps people from using the page. */
    shot: async (what) => {
      // Nothing that has ended still moves.
      await page.waitForFunction(() => document.getAnimations().every((one) => one.effect?.getComputedTiming().endTime === Infinity || one.playState === "finished"));
      await page.screenshot({ path: join(folder, `${label}-${++shots}-${what}.png`), fullPage: true });
      await page.evaluate(axe);
      const { violations } = await page.evaluate(() => globalThis.axe.run());
      for (const { id, nodes } of violations) troubles.push(`${what}: ${id} of ${nodes.map(({ target }) => target.join(" ")).join(", ")}`);
    },
    start: () => page.goto(process.argv[2]),
    go: (hash) => page.evaluate((to) => void (location.hash = to), hash),
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
}

/** Another program's request to the server: a JSON body, and the JSON answer. */
export async function call(method, path, body, type = "application/json") {
  const json = body === undefined ? {} : { body: JSON.stringify(body), headers: { "content-type": type } };
  const response = await fetch(new URL(path, process.argv[2]), { method, ...json });
  const answer = await response.json();
  check(response.ok, `${method} ${path}`, answer);
  return answer;
}

/** Fails unless `condition`; `seen` says why. */
export function check(condition, what, seen) {
  if (!condition) throw new Error(`${what}: ${JSON.stringify(seen)}`);
}

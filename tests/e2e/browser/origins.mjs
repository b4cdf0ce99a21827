// Pages of other origins: an allowed one publishes, watches and polls, and gives no command; one that is not allowed does
// nothing; a page whose own name was rebound to the server gets nothing from any route.

import { createServer } from "node:http";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const [server, pagesPort] = process.argv.slice(2);
const port = new URL(server).port;
const root = join(dirname(fileURLToPath(import.meta.url)), "../../..");
const { chromium } = createRequire(join(root, "web/package.json"))("playwright-core");
const PAGE = "<!doctype html><title>A page</title><body></body>";

/** Fails unless `condition`; `seen` says why. */
function check(condition, what, seen) {
  if (!condition) throw new Error(`${what}: ${JSON.stringify(seen)}`);
}

/** What a page can try, run in it. Each result is a word or a number that the page itself could see. */
function attempts(server) {
  const seen = (work) => work.then((found) => found, (error) => `failed: ${error.name}`);
  const within = (work) => Promise.race([work, new Promise((done) => setTimeout(() => done("nothing"), 15_000))]);
  const event = (id) => ({ specversion: "1.0", id, source: "/page", type: "ledger.add", subject: "account/9", data: { n: Number(id) } });
  window.tried = {
    publish: (id) => seen(fetch(`${server}/v1/events`, {
      method: "POST", headers: { "content-type": "application/cloudevents+json" }, body: JSON.stringify(event(id)),
    }).then(async (answer) => [answer.status, (await answer.json()).events?.length])),
    publishBinary: (id) => seen(fetch(`${server}/v1/events`, {
      method: "POST",
      headers: { "content-type": "application/json", "ce-specversion": "1.0", "ce-id": id, "ce-source": "/page", "ce-type": "ledger.add", "ce-subject": "account/9", "ce-tenant": "t1" },
      body: JSON.stringify({ n: Number(id) }),
    }).then((answer) => [answer.status])),
    publishWrong: () => seen(fetch(`${server}/v1/events`, {
      method: "POST", headers: { "content-type": "application/cloudevents+json" }, body: "{",
    }).then(async (answer) => [answer.status, typeof (await answer.json()).code])),
    poll: () => seen(fetch(`${server}/v1/status/account/9?after=0&wait=10s`).then(async (answer) => [answer.status, (await answer.json()).subject, answer.headers.has("etag")])),
    query: () => seen(fetch(`${server}/v1/status?subject=account%2F9`).then(async (answer) => [answer.status, (await answer.json()).subject])),
    events: () => within(new Promise((done) => {
      const source = new EventSource(`${server}/v1/live?subject=account/9`);
      source.onmessage = ({ data }) => { source.close(); done(JSON.parse(data).type); };
      source.onerror = () => { source.close(); done("error"); };
    })),
    socket: () => within(new Promise((done) => {
      const socket = new WebSocket(`${server.replace("http", "ws")}/v1/live`, "weirgate.v1");
      socket.onmessage = ({ data }) => { socket.close(); done(JSON.parse(data).type); };
      socket.onerror = () => done("error");
    })),
    read: (path) => seen(fetch(`${server}${path}`).then((answer) => [answer.status])),
    // Neither needs a preflight, and a page does not see the answers.
    blind: (path) => seen(fetch(`${server}${path}`, { method: "POST", mode: "no-cors", headers: { "content-type": "text/plain" }, body: "{}" }).then((answer) => answer.type)),
    form: (path) => {
      const frame = document.body.appendChild(Object.assign(document.createElement("iframe"), { name: "sink" }));
      const form = document.body.appendChild(Object.assign(document.createElement("form"), { method: "POST", action: `${server}${path}`, target: "sink" }));
      return within(new Promise((done) => {
        frame.onload = () => done("sent");
        form.submit();
      }));
    },
    each: async (targets) => {
      const statuses = [];
      for (const [method, path] of targets) statuses.push([method, path, await seen(fetch(`${server}${path}`, { method, ...(["GET", "HEAD"].includes(method) ? {} : { body: "{}" }) }).then(({ status }) => status))]);
      return statuses;
    },
  };
}

const PAUSE = "/v1/handlers/ledger/pause";
const ask = (path) => fetch(`${server}${path}`).then((answer) => answer.json());
const isRunning = async () => (await ask("/v1/handlers/ledger")).state === "running";
const head = async () => (await ask("/v1/events")).head;

const pages = createServer((_, answer) => answer.setHeader("content-type", "text/html").end(PAGE));
await new Promise((listening) => pages.listen(Number(pagesPort), "127.0.0.1", listening));
const names = ["shop.test", "evil.test", "rebound.test"].map((name) => `MAP ${name} 127.0.0.1`).join(",");
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
  chromiumSandbox: false,
  args: ["--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", `--host-resolver-rules=${names}`, "--disable-features=LocalNetworkAccessChecks"],
});

async function open(url, prepare = async () => {}) {
  const page = await browser.newPage();
  await prepare(page);
  await page.goto(url);
  return page;
}
const run = (page, name, argument) => page.evaluate(([name, argument]) => window.tried[name](argument), [name, argument]);

async function allowedPage() {
  const page = await open(`http://shop.test:${pagesPort}/`);
  await page.evaluate(attempts, server);
  const results = {};
  for (const [name, argument] of [["publish", "1"], ["publishBinary", "2"], ["publishWrong"], ["poll"], ["query"], ["events"], ["socket"], ["blind", PAUSE], ["form", PAUSE]]) results[name] = await run(page, name, argument);
  results.list = await run(page, "read", "/v1/events");
  results.handlers = await run(page, "read", "/v1/handlers");
  const expected = {
    publish: [202, 1], publishBinary: [202], publishWrong: [400, "string"], poll: [200, "account/9", true], query: [200, "account/9"], events: "snapshot", socket: "hello",
    blind: "opaque", form: "sent", list: "failed: TypeError", handlers: "failed: TypeError",
  };
  check(JSON.stringify(results) === JSON.stringify(expected), "an allowed page publishes, watches and polls", results);
  check(await isRunning(), "and pauses no handler", results);
}

async function foreignPage() {
  const before = await head();
  const page = await open(`http://evil.test:${pagesPort}/`);
  await page.evaluate(attempts, server);
  const results = {};
  for (const [name, argument] of [["publish", "3"], ["publishBinary", "4"], ["poll"], ["query"], ["events"], ["socket"], ["read", "/v1/handlers"], ["blind", PAUSE], ["form", PAUSE]]) results[name] = await run(page, name, argument);
  results.blindEvent = await run(page, "blind", "/v1/events");
  results.alive = await run(page, "read", "/livez");
  const expected = {
    publish: "failed: TypeError", publishBinary: "failed: TypeError", poll: "failed: TypeError", query: "failed: TypeError", events: "error", socket: "error",
    read: "failed: TypeError", blind: "opaque", form: "sent", blindEvent: "opaque", alive: [200],
  };
  check(JSON.stringify(results) === JSON.stringify(expected), "a page that is not allowed does nothing", results);
  check(await isRunning() && (await head()) === before, "and changes nothing", { before, after: await head() });
}

/** The page came from the attacker; then its name leads to the server, which is of the same origin for the browser. */
async function reboundPage() {
  const { paths } = await ask("/openapi.json");
  const targets = Object.entries(paths).flatMap(([path, item]) => Object.keys(item).map((method) => [method.toUpperCase(), path.replaceAll(/\{\w+\}/g, "1")]));
  targets.push(...["/", "/shop/", "/shop/index.html", "/shop/assets/a.js", "/openapi.json", "/livez", "/readyz"].map((path) => ["GET", path]));
  const before = await head();
  const origin = `http://rebound.test:${port}`;
  const page = await open(`${origin}/attack`, (page) => page.route("**/attack", (route) => route.fulfill({ contentType: "text/html", body: PAGE })));
  await page.evaluate(attempts, origin);
  const statuses = await run(page, "each", targets);
  check(statuses.length >= 35 && statuses.every(([, , status]) => status >= 400 && status < 500), "a rebound page gets 4xx from every route", statuses);
  const results = [await run(page, "events"), await run(page, "socket"), await run(page, "publish", "5"), await run(page, "blind", PAUSE)];
  check(JSON.stringify(results) === JSON.stringify(["error", "error", [421, null], "basic"]), "and follows nothing", results);
  check(await isRunning() && (await head()) === before, "and changes nothing", { before, after: await head() });
  const shop = await page.goto(`${origin}/shop/`);
  check(shop.status() === 421, "no page is served to it", shop.status());
}

try {
  await allowedPage();
  await foreignPage();
  await reboundPage();
} finally {
  await browser.close();
  pages.close();
}

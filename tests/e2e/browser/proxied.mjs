// A page of the server behind a proxy with TLS: it publishes, follows statuses over server-sent events and WebSocket, and
// polls; operators' commands need a password where the proxy asks for one; other names get nothing.

import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const [proxy, password] = process.argv.slice(2);
const root = join(dirname(fileURLToPath(import.meta.url)), "../../..");
const { chromium } = createRequire(join(root, "web/package.json"))("playwright-core");

/** Fails unless `condition`; `seen` says why. */
function check(condition, what, seen) {
  if (!condition) throw new Error(`${what}: ${JSON.stringify(seen)}`);
}

/** Run in the page. */
async function visit(password) {
  const publish = (id) => fetch("/v1/events", {
    method: "POST",
    headers: { "content-type": "application/cloudevents+json" },
    body: JSON.stringify({ specversion: "1.0", id, source: "/page", type: "ledger.add", subject: "account/1", data: { n: Number(id) } }),
  }).then((answer) => answer.status);
  /** Resolves with the deltas' number once there is one after the publication. */
  const follow = (open, subscribe) => new Promise((done) => {
    const late = setTimeout(() => done("nothing came"), 10_000);
    const kinds = [];
    const take = (close) => ({ data }) => {
      const { type } = JSON.parse(data);
      kinds.push(type);
      if (type === "hello") subscribe();
      if (type === "snapshot") void publish(String(Math.floor(performance.now() * 1000)));
      if (type === "delta") {
        clearTimeout(late);
        close();
        done(kinds.join(" "));
      }
    };
    open(take, () => done("error"));
  });
  const results = { publish: await publish("1") };
  results.events = await follow((take, failed) => {
    const source = new EventSource("/v1/live?subject=account/1");
    source.onmessage = take(() => source.close());
    source.onerror = () => { source.close(); failed(); };
  });
  let socket;
  results.socket = await follow((take, failed) => {
    socket = new WebSocket(`${location.origin.replace("http", "ws")}/v1/live`, "weirgate.v1");
    socket.onmessage = take(() => socket.close());
    socket.onerror = failed;
  }, () => socket.send(JSON.stringify({ type: "subscribe", subjects: [{ subject: "account/1" }] })));
  const status = await fetch("/v1/status/account/1");
  const { version } = await status.json();
  results.status = status.status;
  const polled = fetch(`/v1/status/account/1?after=${version}&wait=20s`);
  await publish("2");
  results.poll = (await polled).status;
  // The URL of a status that clients cannot send as a path.
  const event = { specversion: "1.0", id: "3", source: "/page", type: "ledger.add", subject: "account/../2", data: { n: 3 } };
  const published = await fetch("/v1/events", { method: "POST", headers: { "content-type": "application/cloudevents+json" }, body: JSON.stringify(event) });
  const { status_url } = (await published.json()).events[0];
  const queried = await fetch(`${status_url}&after=0&wait=20s`, { credentials: "omit" });
  results.query = [queried.status, queried.redirected, (await queried.json()).subject];
  if (password) {
    const pause = (headers) => fetch("/v1/handlers/ledger/pause", { method: "POST", credentials: "omit", headers }).then((answer) => answer.status);
    results.alive = (await fetch("/livez", { credentials: "omit" })).status;
    results.unasked = await pause({});
    results.list = (await fetch("/v1/events", { credentials: "omit" })).status;
    results.pause = await pause({ authorization: `Basic ${btoa(`operator:${password}`)}` });
  }
  return results;
}

const names = ["shop.example", "evil.example"].map((name) => `MAP ${name} 127.0.0.1`).join(",");
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
  chromiumSandbox: false,
  args: ["--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", `--host-resolver-rules=${names}`],
});
try {
  const context = await browser.newContext({ ignoreHTTPSErrors: true });
  const page = await context.newPage();
  const opened = await page.goto(`${proxy}/shop/`);
  check(opened.status() === 200 && (await page.title()) === "A shop", "the page is served", opened.status());
  const results = await page.evaluate(visit, password);
  const expected = { publish: 202, events: "snapshot delta", socket: password ? "hello snapshot delta" : "error", status: 200, poll: 200, query: [200, false, "account/../2"] };
  if (password) Object.assign(expected, { alive: 200, unasked: 401, list: 401, pause: 200 });
  check(JSON.stringify(results) === JSON.stringify(expected), "a page behind the proxy", results);
  if (password) {
    const other = await context.newPage();
    const answer = await other.goto(proxy.replace("shop.example", "evil.example") + "/shop/").catch((error) => error);
    check(answer instanceof Error || answer.status() >= 400, "another name gets nothing", answer instanceof Error || answer.status());
  }
} finally {
  await browser.close();
}

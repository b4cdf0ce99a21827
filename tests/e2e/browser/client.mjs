// The browser client without the shop: closes are clean, in Chromium and in Node; the React hook and the custom element follow a
// status; a page without a network says so at once; a page of another origin is refused with a reason.

import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import { ask, check, travel } from "./travel.mjs";

const web = join(dirname(fileURLToPath(import.meta.url)), "../../../web");
const require = createRequire(join(web, "storefront/package.json"));
const origin = new URL(process.argv[2]).origin;

const PAGE = `
  import { createElement } from "react";
  import { createRoot } from "react-dom/client";
  import { Weirgate } from "./client/src/index.ts";
  import { defineWeirgateStatus, sharedClient } from "./client/src/element.ts";
  import { useConnection, useStatus, WeirgateProvider } from "./client/src/react.ts";
  const client = sharedClient("/");
  function Account() {
    const document = useStatus("account/1");
    const connection = useConnection();
    return createElement("p", { id: "hook", "data-state": connection.offline ? "offline" : connection.state }, document?.parts.ledger?.text ?? "nothing");
  }
  defineWeirgateStatus();
  createRoot(document.getElementById("root")).render(createElement(WeirgateProvider, { client }, createElement(Account)));
  Object.assign(window, { Weirgate, client });
`;

/** Puts the client into the server's empty page. A page that only the test serves would not do: it has no address, and Chromium lets it reach no loopback one. */
async function prepare(page) {
  const options = { bundle: true, format: "iife", write: false, minify: true, define: { "process.env.NODE_ENV": '"production"' } };
  const stdin = { contents: PAGE, resolveDir: web, loader: "ts" };
  const { outputFiles } = await require("esbuild").build({ ...options, stdin });
  const html = '<div id="root"></div><weirgate-status subject="account/1" handler="ledger">nothing</weirgate-status>';
  const run = `if (location.pathname === "/shop/") addEventListener("DOMContentLoaded", () => { document.body.innerHTML = ${JSON.stringify(html)}; ${outputFiles[0].text} });`;
  await page.addInitScript({ content: run });
}

/** Opens a socket, sends `count` subscriptions, closes it with `code`, and answers how that ended. */
function closes([origin, code, count]) {
  return new Promise((resolve) => {
    const socket = new WebSocket(`${origin.replace("http", "ws")}/v1/live`, "weirgate.v1");
    const subjects = Array.from({ length: 100 }, (_, n) => ({ subject: `account/${n}` }));
    socket.onmessage = () => {
      socket.onmessage = null;
      for (let n = 0; n < count; n += 1) socket.send(JSON.stringify({ type: "subscribe", subjects }));
      if (code === "binary") socket.send(new Uint8Array(3));
      else if (code === undefined) socket.close();
      else socket.close(code, "done");
    };
    socket.onclose = ({ code, wasClean }) => resolve([code, wasClean]);
  });
}

const CLOSES = [[1000, 0, 1000], [3000, 0, 3000], [4999, 0, 4999], [undefined, 0, 1005], [1000, 300, 1000], ["binary", 0, 1003]];

async function inNode() {
  const WebSocket = require("ws");
  for (const [code, count, expected] of [[1000, 0, 1000], [4999, 0, 4999], [1000, 300, 1000]]) {
    const socket = new WebSocket(`${origin.replace("http", "ws")}/v1/live`, "weirgate.v1");
    const subjects = Array.from({ length: 100 }, (_, n) => ({ subject: `account/${n}` }));
    await new Promise((resolve) => socket.once("message", resolve));
    for (let n = 0; n < count; n += 1) socket.send(JSON.stringify({ type: "subscribe", subjects }));
    socket.close(code);
    const seen = await new Promise((resolve) => socket.once("close", resolve));
    check(seen === expected, `Node's close ${code} after ${count} subscriptions`, seen);
  }
}

async function connections(count) {
  for (let tries = 0; ; tries += 1) {
    const metrics = await (await fetch(`${origin}/metrics`)).text();
    const seen = /^weirgate_live_connections (\d+)$/m.exec(metrics)?.[1];
    if (seen === String(count)) return;
    check(tries < 200, `${count} live connections`, seen);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

await travel("client", [640], async ({ page }) => {
  await prepare(page);
  await page.goto(`${origin}/shop/`);
  for (const [code, count, expected] of CLOSES) {
    const seen = await page.evaluate(closes, [origin, code, count]);
    check(seen[0] === expected && seen[1], `a close ${code} after ${count} subscriptions is clean`, seen);
  }
  await inNode();

  const element = (state) => page.locator(`weirgate-status[connection="${state}"]`).waitFor();
  const hook = (state) => page.locator(`#hook[data-state="${state}"]`).waitFor();
  const text = (line) => page.locator("#hook", { hasText: line }).waitFor();
  const add = (n) => page.evaluate((n) => window.client.publish({ source: "/probe", type: "ledger.add", subject: "account/1", data: { n } }), n);
  await Promise.all([element("connected"), hook("connected")]);
  await add(1);
  await text("1 entries");
  await page.locator('weirgate-status[state="counted"]', { hasText: "1 entries" }).waitFor();

  await page.context().setOffline(true);
  await page.waitForFunction(() => window.client.connection.offline === true, undefined, { timeout: 3_000 });
  await Promise.all([element("offline"), hook("offline")]);
  await connections(0);
  await page.context().setOffline(false);
  await page.waitForFunction(() => window.client.connection.state === "connected", undefined, { timeout: 5_000 });
  await add(2);
  await text("2 entries");

  // The server's own close is clean, too.
  const closed = page.evaluate((origin) => new Promise((resolve) => {
    const socket = new WebSocket(`${origin.replace("http", "ws")}/v1/live`, "weirgate.v1");
    socket.onmessage = () => (document.title = "open");
    socket.onclose = ({ code, wasClean }) => resolve([code, wasClean]);
  }), origin);
  await page.waitForFunction(() => document.title === "open");
  await ask("stop");
  check(String(await closed) === "1001,true", "the end of the server is a clean close", await closed);
  await Promise.all([element("disconnected"), hook("disconnected")]);
  await ask("start");
  await page.evaluate(() => window.client.reconnect());
  await Promise.all([element("connected"), hook("connected")]);

  // A page that is left holds no socket, and continues when it is shown again.
  await page.goto("about:blank");
  await connections(0);
  await page.goBack();
  await text("2 entries");

  await page.goto(`${origin.replace("127.0.0.1", "localhost")}/shop/`);
  const refused = await page.evaluate(
    (origin) => new window.Weirgate(origin).publish({ source: "/probe", type: "ledger.add", subject: "account/1", data: { n: 3 } }, { attempts_max: Infinity }).catch(({ name, message }) => `${name}: ${message}`),
    origin,
  );
  check(/^PublishError: .*does not allow pages of this origin/.test(refused), "a page of another origin is refused", refused);
});

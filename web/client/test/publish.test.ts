// Publishing: one event, one id, any number of tries; what is retried and what is not.

import assert from "node:assert/strict";
import { test } from "node:test";

import { PublishError, uuid, Weirgate } from "../src/index.ts";
import type { PublishOptions, Retry } from "../src/index.ts";
import { settle, World } from "./world.ts";

const EVENT = { source: "/shop", type: "order.placed", subject: "order/o-1", data: { order: "o-1" } };

function receipt(id: unknown, duplicate = false): Response {
  const event = { id, source: "/shop", key: "order/o-1", position: 7, duplicate, status_url: "/v1/status/order/o-1" };
  return new Response(JSON.stringify({ events: [event] }), { status: 202 });
}

function refusal(status: number, headers: Record<string, string> = {}): Response {
  const problem = { title: "refused", detail: "for a reason", status };
  return new Response(JSON.stringify(problem), { status, headers });
}

const AWAY = () => new TypeError("fetch failed");

/** Publishes in `world`, moving its time on whenever the client waits. */
async function publish(world: World, options: PublishOptions = {}) {
  const retries: Retry[] = [];
  world.probes = 0;
  const client = new Weirgate("http://shop.example", { environment: world });
  const onRetry = (retry: Retry) => {
    retries.push(retry);
    void settle().then(() => world.advance(retry.delay_ms));
  };
  const outcome = await client.publish(EVENT, { onRetry, ...options }).then(
    (published) => ({ published, error: undefined }),
    (error: unknown) => ({ published: undefined, error }),
  );
  return { ...outcome, retries };
}

test("an event goes out as a structured CloudEvent and its receipt comes back", async () => {
  const world = new World();
  world.answers.push(receipt("e-1"));
  const { published } = await publish(world);
  assert.equal(published?.position, 7);
  const [request] = world.requests;
  assert.equal(request?.url, "http://shop.example/v1/events");
  const { id, ...rest } = request.body;
  assert.match(String(id), /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.deepEqual(rest, { specversion: "1.0", datacontenttype: "application/json", ...EVENT });
});

test("a lost network, 429 and 5xx are tried again with the same id", async () => {
  const world = new World();
  world.liveness = AWAY;
  world.answers.push(new TypeError("fetch failed"), refusal(429), refusal(503), new Response("<html>", { status: 502 }));
  world.answers.push(receipt("e-1", true));
  const { published, retries } = await publish(world);
  assert.equal(published?.duplicate, true, "the lost try had arrived");
  assert.equal(world.requests.length, 5);
  assert.equal(new Set(world.requests.map(({ body }) => body["id"])).size, 1);
  assert.deepEqual(
    retries.map(({ delay_ms }) => delay_ms),
    [250, 500, 1000, 2000],
  );
});

test("Retry-After is honoured, in seconds and as a date", async () => {
  const world = new World();
  const date = new Date(world.now() + 60_000).toUTCString();
  world.answers.push(refusal(429, { "retry-after": "7" }), refusal(503, { "retry-after": date }));
  world.answers.push(refusal(503, { "retry-after": "soon" }), receipt("e-1"));
  const { retries } = await publish(world);
  assert.deepEqual(
    retries.map(({ delay_ms }) => delay_ms),
    [7_000, 53_000, 1_000],
  );
});

test("a refusal is final and has a reason", async () => {
  const world = new World();
  world.answers.push(refusal(400));
  const { error } = await publish(world);
  assert.ok(error instanceof PublishError);
  assert.equal(error.status, 400);
  assert.equal(error.message, "the event was not accepted: for a reason");
  assert.equal(error.problem?.["title"], "refused");
});

test("no status of the client's fault is retried, except 429", async () => {
  for (const status of [400, 401, 403, 404, 405, 408, 409, 413, 415, 422, 451]) {
    const world = new World();
    world.answers.push(refusal(status));
    const { error } = await publish(world, { attempts_max: Infinity });
    assert.equal(error instanceof PublishError && error.status, status);
    assert.equal(world.requests.length, 1, String(status));
  }
});

test("an answer that the browser withholds is a refusal after a few tries, however many are allowed", async () => {
  const world = new World();
  world.answers.push(...Array.from({ length: 99 }, () => new TypeError("Failed to fetch")));
  const { error } = await publish(world, { attempts_max: Infinity });
  assert.ok(error instanceof PublishError);
  assert.match(error.message, /http:\/\/shop\.example does not allow pages of this origin/);
  assert.deepEqual([world.requests.length, world.probes], [5, 5]);
});

test("a proxy that answers while the server restarts is no refusal", async () => {
  const proxies: [string, () => Response | Error][] = [
    ["its error cannot be read", AWAY],
    ["its error can be read", () => new Response("<html>502 Bad Gateway</html>", { status: 502 })],
    ["it has a page for all", () => new Response("<html>we will be back soon</html>")],
  ];
  for (const [name, liveness] of proxies) {
    const world = new World();
    world.liveness = liveness;
    world.answers.push(...Array.from({ length: 30 }, () => new TypeError("Failed to fetch")), receipt("e-1"));
    const { published, retries } = await publish(world, { attempts_max: Infinity });
    assert.equal(published?.position, 7, name);
    assert.deepEqual([retries.length, world.probes], [30, 30], name);
  }
});

test("a network that is lost is none, and begins the count again", async () => {
  const world = new World();
  const lost = () => new TypeError("Failed to fetch");
  world.answers.push(lost(), lost(), lost(), lost(), refusal(503), lost(), lost(), lost(), lost(), receipt("e-1"));
  const { published } = await publish(world, { attempts_max: Infinity });
  assert.equal(published?.position, 7);
  const away = new World();
  away.liveness = AWAY;
  away.answers.push(...Array.from({ length: 30 }, lost), receipt("e-1"));
  assert.equal((await publish(away, { attempts_max: Infinity })).published?.position, 7);
});

test("a network that is back ends the waiting", async () => {
  const world = new World();
  world.liveness = AWAY;
  world.answers.push(new TypeError("Failed to fetch"), receipt("e-1"));
  const { published } = await publish(world, { onRetry: () => void settle().then(() => world.happens("online")) });
  assert.equal(published?.position, 7);
  assert.equal(world.listeners, 0);
});

test("the number of tries is limited", async () => {
  const world = new World();
  world.answers.push(...Array.from({ length: 3 }, () => new TypeError("fetch failed")));
  const { error } = await publish(world, { attempts_max: 3 });
  assert.ok(error instanceof PublishError);
  assert.equal(error.status, undefined);
  assert.equal(world.requests.length, 3);
});

test("an abort ends the waiting", async () => {
  const world = new World();
  const abort = new AbortController();
  world.answers.push(new TypeError("fetch failed"));
  const { error } = await publish(world, {
    signal: abort.signal,
    onRetry: () => queueMicrotask(() => abort.abort(new Error("the page has gone"))),
  });
  assert.equal((error as Error).message, "the page has gone");
  assert.equal(world.requests.length, 1);
});

test("ids differ", () => {
  assert.equal(new Set(Array.from({ length: 1000 }, uuid)).size, 1000);
});

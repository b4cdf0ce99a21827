// The connection: heartbeats, backoff, close codes, and a page that wakes up.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Weirgate } from "../src/index.ts";
import type { ConnectionState } from "../src/index.ts";
import { settle, World } from "./world.ts";

function watching(world = new World()) {
  const states: ConnectionState[] = [];
  const client = new Weirgate("https://shop.example", { environment: world });
  client.onConnection((state) => states.push(state));
  const stop = client.watch("order/o-1", () => {});
  return { world, client, states, stop };
}

function isOffline(client: Weirgate): boolean {
  return client.connection.state === "disconnected" && client.connection.offline === true;
}

/** Advances time to the next try. */
function untilRetry(world: World, client: Weirgate): void {
  const state = client.connection;
  const due_ms = state.state === "disconnected" ? state.retryAtMs : undefined;
  assert.ok(due_ms !== undefined, "a try is due");
  world.advance(due_ms - world.now());
}

test("the states are reported in order", async () => {
  const { world, states } = watching();
  await settle();
  assert.equal(world.socket.url, "wss://shop.example/v1/live");
  world.socket.hello();
  world.socket.ends(1006);
  world.advance(125);
  world.socket.hello();
  assert.deepEqual(
    states.map(({ state }) => state),
    ["connecting", "connecting", "connected", "disconnected", "connecting", "connected"],
  );
});

test("a lost connection reports when the next try is due", () => {
  const { world, client } = watching();
  world.socket.ends(1006);
  const state = client.connection;
  assert.equal(state.state, "disconnected");
  assert.equal(state.state === "disconnected" && state.retryAtMs, world.now() + 125);
});

test("while the server is away the delays grow to their cap, and every try is one socket", () => {
  const { world, client } = watching();
  world.chance = 0.999;
  const delays: number[] = [];
  for (let n = 0; n < 12; n += 1) {
    world.socket.ends(1006);
    const state = client.connection;
    const due_ms = state.state === "disconnected" ? (state.retryAtMs ?? 0) : 0;
    delays.push(due_ms - world.now());
    const sockets = world.sockets.length;
    world.advance(due_ms - world.now() - 1);
    assert.equal(world.sockets.length, sockets, "not before it is due");
    world.advance(1);
    assert.equal(world.sockets.length, sockets + 1);
  }
  assert.deepEqual(delays.slice(0, 4), [250, 500, 999, 1998]);
  assert.equal(Math.max(...delays), 19_980);
});

test("a server that accepts and closes at once is not stormed", () => {
  const { world } = watching();
  world.chance = 0.999;
  for (let n = 0; n < 600; n += 1) {
    if (world.socket.closedWith === undefined) world.socket.hello();
    world.socket.ends(1001);
    world.advance(1_000);
  }
  assert.ok(world.sockets.length < 50, `${world.sockets.length} connections in ten minutes`);
});

test("after a connection that held, the first try is quick again", () => {
  const { world, client } = watching();
  for (let n = 0; n < 8; n += 1) {
    world.socket.ends(1006);
    untilRetry(world, client);
  }
  world.socket.hello();
  world.advance(10_000);
  world.socket.ends(1006);
  const state = client.connection;
  assert.equal(state.state === "disconnected" && (state.retryAtMs ?? 0) - world.now(), 125);
});

test("a server without a hello or heartbeats is disconnected", () => {
  const { world } = watching();
  world.advance(9_999);
  assert.equal(world.socket.closedWith, undefined);
  world.advance(1);
  assert.equal(world.socket.closedWith, 4000);
  world.advance(20_000);
  const socket = world.socket;
  socket.hello();
  for (let n = 0; n < 5; n += 1) {
    world.advance(25_000);
    socket.says({ type: "heartbeat" });
  }
  assert.equal(socket.closedWith, undefined, "heartbeats keep it");
  world.advance(50_000);
  assert.equal(socket.closedWith, 4000);
});

test("an invalid frame ends the connection; a frame of a later version does not", () => {
  for (const nonsense of ["{", "null", '"hello"', "{}", '{"type":"delta","subject":"order/o-1"}']) {
    const { world, client } = watching();
    world.socket.hello();
    const { socket } = world;
    socket.says(nonsense);
    assert.equal(socket.closedWith, 4000, nonsense);
    assert.equal(client.connection.state, "disconnected");
    socket.hello();
    assert.equal(client.connection.state, "disconnected", "a socket that was given up is not heard");
    world.advance(20_000);
    assert.notEqual(world.socket, socket);
  }
  const { world, client } = watching();
  world.socket.hello();
  world.socket.says({ type: "fireworks" });
  assert.equal(client.connection.state, "connected");
});

test("a server that does not begin with a hello is disconnected", () => {
  const { world } = watching();
  world.socket.says({ type: "heartbeat" });
  assert.equal(world.socket.closedWith, 4000);
});

test("temporary close codes cause a reconnect, permanent ones do not", () => {
  for (const code of [1000, 1001, 1006, 1011, 1012, 4000, 4002, 4499]) {
    const { world, client } = watching();
    world.socket.hello();
    world.socket.ends(code);
    untilRetry(world, client);
    assert.equal(world.sockets.length, 2, String(code));
  }
  for (const code of [1002, 1003, 1007, 1009, 4500, 4501, 4502, 4999]) {
    const { world, client } = watching();
    world.socket.hello();
    world.socket.ends(code, "not like this");
    assert.deepEqual(client.connection, { state: "disconnected", reason: "not like this", code });
    client.watch("order/o-2", () => {});
    for (const event of ["shown", "offline", "online", "left", "shown"] as const) world.happens(event);
    world.advance(3_600_000);
    assert.equal(world.sockets.length, 1, String(code));
    assert.equal(client.connection.state === "disconnected" && client.connection.code, code);
    client.reconnect();
    assert.equal(world.sockets.length, 2, "unless it is requested");
  }
});

test("a page that wakes up connects at once", () => {
  const { world, client } = watching();
  for (let n = 0; n < 9; n += 1) {
    world.socket.ends(1006);
    untilRetry(world, client);
  }
  world.socket.ends(1006);
  const sockets = world.sockets.length;
  world.wake();
  assert.equal(world.sockets.length, sockets + 1);
  assert.equal(client.connection.state, "connecting");
  world.wake();
  assert.equal(world.sockets.length, sockets + 1, "one try is enough");
  world.advance(9_000);
  assert.equal(world.sockets.length, sockets + 1, "the delay that was under way is forgotten");
});

test("without a network the page says so at once, and connects at once when it is back", () => {
  const { world, client } = watching();
  world.socket.hello();
  world.happens("offline");
  assert.deepEqual(client.connection, { state: "disconnected", reason: "there is no network", offline: true });
  assert.equal(world.socket.closedWith, 1000);
  client.watch("order/o-2", () => {});
  world.advance(3_600_000);
  assert.equal(world.sockets.length, 1, "nothing is tried meanwhile");
  world.happens("online");
  assert.equal(world.sockets.length, 2);
  world.socket.hello();
  assert.equal(client.connection.state, "connected");
});

test("a network that goes while connecting or waiting is the same", () => {
  const { world, client } = watching();
  world.happens("offline");
  assert.ok(isOffline(client));
  world.happens("online");
  world.socket.ends(1006);
  world.happens("offline");
  world.advance(3_600_000);
  assert.equal(world.sockets.length, 2);
  world.happens("online");
  assert.equal(world.sockets.length, 3);
});

test("a tab that is shown again does not bring back the network", () => {
  const { world, client } = watching();
  world.socket.hello();
  world.happens("offline");
  for (const event of ["shown", "left", "shown", "shown"] as const) {
    world.happens(event);
    assert.equal(world.sockets.length, 1, event);
    if (event === "shown") assert.deepEqual(client.connection, { state: "disconnected", reason: "there is no network", offline: true });
  }
  world.advance(3_600_000);
  assert.equal(world.sockets.length, 1);
  client.reconnect();
  assert.equal(world.sockets.length, 2, "unless it is requested");
  world.socket.ends(1006);
  world.advance(3_600_000);
  assert.ok(isOffline(client) && world.sockets.length === 2, "once");
  // The event that it is back may be missed.
  world.online = true;
  world.happens("shown");
  assert.deepEqual([world.sockets.length, client.connection.state], [3, "connecting"]);
});

test("a client that starts without a network says so after its first try, and when the next is due", () => {
  const world = new World();
  world.online = false;
  const { client } = watching(world);
  assert.equal(client.connection.state, "connecting");
  world.socket.ends(1006);
  assert.deepEqual(client.connection, { state: "disconnected", reason: "the server cannot be reached", code: 1006, offline: true, retryAtMs: world.now() + 125 });
  world.happens("online");
  assert.equal(world.sockets.length, 2);
});

test("a browser that wrongly reports no network keeps the page connected", () => {
  const world = new World();
  world.online = false;
  const { client } = watching(world);
  world.socket.hello();
  assert.equal(client.connection.state, "connected");
  world.socket.ends(1006);
  assert.ok(isOffline(client));
  untilRetry(world, client);
  world.socket.hello();
  assert.equal(client.connection.state, "connected");
});

test("a page that is left holds no socket, and connects at once when it is shown again", async () => {
  const { world, client } = watching();
  world.socket.hello();
  world.socket.says({ type: "snapshot", subject: "order/o-1", epoch: "0123456789abcdef0123456789abcdef", version: 7, parts: {} });
  world.happens("left");
  assert.equal(world.socket.closedWith, 1000);
  world.advance(3_600_000);
  assert.equal(world.sockets.length, 1);
  world.happens("shown");
  world.socket.hello();
  await settle();
  const resumed = { subject: "order/o-1", epoch: "0123456789abcdef0123456789abcdef", version: 7 };
  assert.deepEqual(world.socket.sent, [{ type: "subscribe", subjects: [resumed] }]);
  assert.equal(client.connection.state, "connected");
});

test("close ends everything", async () => {
  const { world, client, states } = watching();
  await settle();
  world.socket.hello();
  client.close();
  const told = states.length;
  assert.equal(world.socket.closedWith, 1000);
  world.wake();
  world.advance(3_600_000);
  assert.equal(world.sockets.length, 1);
  assert.equal(states.length, told);
});

test("a listener that throws does not affect the others", async () => {
  const world = new World();
  const client = new Weirgate("http://shop.example", { environment: world });
  const heard: string[] = [];
  const errors: unknown[] = [];
  const before = process.listeners("uncaughtException");
  process.removeAllListeners("uncaughtException");
  process.on("uncaughtException", (error) => errors.push(error));
  client.onConnection(() => {
    throw new Error("a listener's mistake");
  });
  client.onConnection(({ state }) => heard.push(state));
  client.watch("order/o-1", () => {});
  await settle();
  process.removeAllListeners("uncaughtException");
  for (const listener of before) process.on("uncaughtException", listener);
  assert.ok(heard.includes("connecting"));
  assert.ok(errors.length > 0, "and it is reported");
});

// The documents of a watcher: snapshots, deltas, resumption, and a server that violates the protocol.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Weirgate } from "../src/index.ts";
import type { ConnectionState, StatusDocument } from "../src/index.ts";
import { EPOCH, MemoryStorage, part, settle, World } from "./world.ts";

const SUBJECT = "order/o-1";

class Watch {
  readonly documents: (StatusDocument | undefined)[] = [];
  readonly connections: ConnectionState["state"][] = [];
  readonly stop: () => void;

  constructor(client: Weirgate, subject = SUBJECT) {
    this.stop = client.watch(subject, (document, connection) => {
      this.documents.push(document);
      this.connections.push(connection.state);
    });
  }

  get last(): StatusDocument | undefined {
    return this.documents.at(-1);
  }
}

const OTHER_EPOCH = "f".repeat(32);

function snapshot(version: number, parts: object, epoch = EPOCH) {
  return { type: "snapshot", subject: SUBJECT, epoch, version, parts };
}

function delta(previous: number, version: number, parts: object) {
  return { type: "delta", subject: SUBJECT, previous, version, parts };
}

async function watching(options = {}) {
  const world = new World();
  const client = new Weirgate("http://shop.example/", { environment: world, ...options });
  const watch = new Watch(client);
  await settle();
  world.socket.hello();
  return { world, client, watch };
}

test("a subscription is answered by a snapshot, then deltas replace parts", async () => {
  const { world, watch } = await watching();
  assert.equal(world.socket.url, "ws://shop.example/v1/live");
  assert.equal(world.socket.subprotocol, "weirgate.v1");
  assert.deepEqual(world.socket.sent, [{ type: "subscribe", subjects: [{ subject: SUBJECT }] }]);

  world.socket.says(snapshot(41, { order: part(41, "accepted") }));
  const first = watch.last;
  world.socket.says(delta(41, 57, { payment: part(57, "charged") }));

  assert.equal(watch.last?.version, 57);
  assert.deepEqual(Object.keys(watch.last?.parts ?? {}), ["order", "payment"]);
  assert.equal(first?.version, 41, "an earlier document never changes");
  assert.deepEqual(Object.keys(first?.parts ?? {}), ["order"]);
  assert.throws(() => Object.assign(watch.last?.parts ?? {}, { order: undefined }), TypeError);
});

test("a removed part leaves the document, and comes back with a later one", async () => {
  const { world, watch } = await watching();
  world.socket.says(snapshot(41, { order: part(41, "accepted"), invoice: part(40, "issued") }));
  world.socket.says(delta(41, 57, { invoice: { ...part(57, ""), removed: true }, order: { ...part(57, "completed"), corrected: true } }));
  assert.equal(watch.last?.version, 57);
  assert.deepEqual(Object.keys(watch.last?.parts ?? {}), ["order"]);
  assert.equal(watch.last?.parts["order"]?.corrected, true);
  world.socket.says(delta(57, 60, { invoice: { ...part(60, ""), removed: true } }));
  assert.equal(watch.last?.version, 60, "one that is not known changes nothing else");
  world.socket.says(delta(60, 63, { invoice: part(63, "issued") }));
  assert.deepEqual(Object.keys(watch.last?.parts ?? {}).sort(), ["invoice", "order"]);
});

test("several subjects go over one socket, in one frame", async () => {
  const world = new World();
  const client = new Weirgate("http://shop.example", { environment: world });
  const watches = ["order/a", "order/b", "order/a"].map((subject) => new Watch(client, subject));
  await settle();
  world.socket.hello();
  assert.equal(world.sockets.length, 1);
  assert.deepEqual(world.socket.sent, [
    { type: "subscribe", subjects: [{ subject: "order/a" }, { subject: "order/b" }] },
  ]);
  world.socket.says({ ...snapshot(3, {}), subject: "order/a" });
  assert.deepEqual(
    watches.map((watch) => watch.last?.version),
    [3, undefined, 3],
  );
});

test("many subjects are split into frames that the server accepts", async () => {
  const world = new World();
  const client = new Weirgate("http://shop.example", { environment: world });
  for (let n = 0; n < 128; n += 1) new Watch(client, `order/${"x".repeat(100)}-${n}`);
  await settle();
  world.socket.hello();
  const frames = world.socket.sent.map((frame) => JSON.stringify(frame));
  assert.ok(frames.length > 1);
  assert.ok(frames.every((frame) => Buffer.byteLength(frame) <= 16 * 1024));
  assert.equal(world.socket.sent.reduce((count, frame) => count + frame.subjects.length, 0), 128);
});

test("after a loss the subscription resumes from the last version, without a gap", async () => {
  const { world, watch } = await watching();
  world.socket.says(snapshot(41, { order: part(41, "accepted") }));
  world.socket.ends(1006);
  assert.equal(watch.connections.at(-1), "disconnected");
  assert.equal(watch.last?.version, 41, "what was known stays on the page");

  world.advance(250);
  world.socket.hello();
  assert.deepEqual(world.socket.sent, [
    { type: "subscribe", subjects: [{ subject: SUBJECT, epoch: EPOCH, version: 41 }] },
  ]);
  world.socket.says(delta(41, 90, { delivery: part(90, "packed") }));
  assert.equal(watch.last?.version, 90);
  assert.equal(watch.connections.at(-1), "connected");
});

test("a resumption without changes keeps the document", async () => {
  const { world, watch } = await watching();
  world.socket.says(snapshot(41, { order: part(41, "accepted") }));
  const before = watch.last;
  world.socket.says(delta(41, 41, {}));
  assert.equal(watch.last, before);
});

test("one delta may cover several changes, and may overlap what is known", async () => {
  const { world, watch } = await watching();
  world.socket.says(snapshot(41, { order: part(41, "accepted"), payment: part(40, "charged") }));
  world.socket.says(delta(30, 99, { order: part(99, "completed"), payment: part(35, "declined"), invoice: part(60, "issued") }));
  assert.equal(watch.last?.version, 99);
  assert.equal(watch.last?.parts["order"]?.state, "completed");
  assert.equal(watch.last?.parts["invoice"]?.state, "issued");
  assert.equal(watch.last?.parts["payment"]?.state, "charged", "an older part never replaces a newer one");
});

test("a gap is never applied: the whole document is requested", async () => {
  const { world, watch } = await watching();
  world.socket.says(snapshot(41, { order: part(41, "accepted") }));
  world.socket.says(delta(50, 57, { payment: part(57, "charged") }));
  assert.equal(watch.last?.version, 41);
  assert.deepEqual(world.socket.sent.at(-1), { type: "subscribe", subjects: [{ subject: SUBJECT }] });

  const asked = world.socket.sent.length;
  world.socket.says(delta(57, 58, { payment: part(58, "charged") }));
  assert.equal(world.socket.sent.length, asked, "asked once, not once a delta");
  world.socket.says(snapshot(58, { order: part(41, "accepted"), payment: part(58, "charged") }));
  assert.equal(watch.last?.version, 58);
});

test("in another epoch nothing is resumed, and a smaller version replaces the document", async () => {
  const { world, watch } = await watching();
  world.socket.says(snapshot(41, { order: part(41, "accepted") }));
  world.socket.ends(1001);
  world.advance(20_000);
  world.socket.hello(OTHER_EPOCH);
  assert.deepEqual(world.socket.sent, [{ type: "subscribe", subjects: [{ subject: SUBJECT }] }]);
  world.socket.says(delta(0, 5, { order: part(5, "rejected") }));
  assert.equal(watch.last?.version, 41, "a delta of the new epoch does not fit the old document");
  world.socket.says(snapshot(5, { order: part(5, "rejected") }, OTHER_EPOCH));
  assert.equal(watch.last?.version, 5);
  assert.equal(watch.last?.epoch, OTHER_EPOCH);
});

test("a subject unwatched while connecting is never subscribed", async () => {
  const world = new World();
  const client = new Weirgate("http://shop.example", { environment: world });
  const gone = new Watch(client, "order/gone");
  new Watch(client, "order/kept");
  await settle();
  const heard = gone.documents.length;
  gone.stop();
  world.socket.hello();
  assert.deepEqual(world.socket.sent, [{ type: "subscribe", subjects: [{ subject: "order/kept" }] }]);
  world.socket.says({ ...snapshot(3, {}), subject: "order/gone" });
  assert.equal(gone.documents.length, heard);
});

test("the last watcher's end unsubscribes; stop and watch at once request the document again", async () => {
  const { world, client, watch } = await watching();
  const second = new Watch(client);
  world.socket.says(snapshot(41, {}));
  watch.stop();
  watch.stop();
  await settle();
  assert.equal(world.socket.sent.length, 1, "a watcher is left");
  second.stop();
  const third = new Watch(client);
  await settle();
  assert.deepEqual(world.socket.sent.slice(1), [{ type: "subscribe", subjects: [{ subject: SUBJECT }] }]);
  world.socket.says(snapshot(42, {}));
  assert.equal(third.last?.version, 42);

  third.stop();
  await settle();
  assert.deepEqual(world.socket.sent.at(-1), { type: "unsubscribe", subjects: [SUBJECT] });
  world.advance(5_000);
  assert.equal(world.socket.closedWith, 1000, "an unused connection is not kept");
  assert.equal(world.listeners, 0);
});

test("with a storage, a refreshed page shows the last document at once and resumes", async () => {
  const storage = new MemoryStorage();
  const before = await watching({ storage });
  before.world.socket.says(snapshot(41, { order: part(41, "accepted") }));

  const world = new World();
  const client = new Weirgate("http://shop.example", { environment: world, storage });
  assert.equal(client.get(SUBJECT)?.version, 41);
  const watch = new Watch(client);
  await settle();
  assert.equal(watch.documents[0]?.version, 41);
  world.socket.hello();
  assert.deepEqual(world.socket.sent, [
    { type: "subscribe", subjects: [{ subject: SUBJECT, epoch: EPOCH, version: 41 }] },
  ]);
  client.forget(SUBJECT);
  assert.equal(storage.items.size, 0);
});

test("an invalid or failing storage costs only the head start", async () => {
  const storage = new MemoryStorage();
  for (const nonsense of ["{", "[]", '{"epoch":1}', '{"epoch":"e","version":1,"parts":{"order":{}}}']) {
    storage.setItem(`weirgate:${SUBJECT}`, nonsense);
    assert.equal(new Weirgate("http://shop.example", { storage }).get(SUBJECT), undefined, nonsense);
  }
  storage.setItem = () => {
    throw new DOMException("full", "QuotaExceededError");
  };
  const { world, watch } = await watching({ storage });
  world.socket.says(snapshot(41, {}));
  assert.equal(watch.last?.version, 41);
});

test("no listener is called before its watch has returned, nor after its stop", async () => {
  const world = new World();
  const client = new Weirgate("http://shop.example", { environment: world });
  let calls = 0;
  const stop = client.watch(SUBJECT, () => (calls += 1));
  assert.equal(calls, 0);
  stop();
  await settle();
  assert.equal(calls, 0);
});

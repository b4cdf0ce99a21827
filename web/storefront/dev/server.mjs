// A development tool, not the product: serves dist/ at /shop/ and the endpoints that the page uses, on top of the in-memory
// domain. `node dev/server.mjs [port]`; PUT /dev {"outage_ms", "step_ms", "dead_after"} injects faults.

import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { WebSocketServer } from "ws";

import { Domain, EPOCH } from "./domain.mjs";

const HEARTBEAT_MS = 5_000;
const TYPES = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml" };
const dist = fileURLToPath(new URL("../dist", import.meta.url));

const readers = new Set();
const domain = new Domain((subject) => readers.forEach((reader) => reader.changed(subject)));
let isOut = false;

class Reader {
  #socket;
  #sent = new Map();

  constructor(socket) {
    this.#socket = socket;
    this.#send({ type: "hello", epoch: EPOCH, heartbeat_ms: HEARTBEAT_MS, subjects_max: 128 });
    const beat = setInterval(() => this.#send({ type: "heartbeat" }), HEARTBEAT_MS);
    socket.on("message", (text) => this.#hear(JSON.parse(text)));
    socket.on("close", () => {
      clearInterval(beat);
      readers.delete(this);
    });
  }

  drop() {
    this.#socket.terminate();
  }

  changed(subject) {
    if (this.#sent.has(subject)) this.#delta(subject, this.#sent.get(subject));
  }

  #hear({ type, subjects }) {
    if (type === "unsubscribe") subjects.forEach((subject) => this.#sent.delete(subject));
    if (type === "subscribe") subjects.forEach((one) => this.#subscribe(one));
  }

  #subscribe({ subject, epoch, version }) {
    const document = domain.document(subject);
    if (epoch === EPOCH && version <= document.version) return this.#delta(subject, version);
    this.#send({ type: "snapshot", subject, epoch: EPOCH, ...document });
    this.#sent.set(subject, document.version);
  }

  #delta(subject, previous) {
    const { version, parts } = domain.document(subject);
    const changed = Object.entries(parts).filter(([, part]) => part.version > previous);
    this.#send({ type: "delta", subject, previous, version, parts: Object.fromEntries(changed) });
    this.#sent.set(subject, version);
  }

  #send(frame) {
    this.#socket.send(JSON.stringify(frame));
  }
}

function handler(name) {
  const config = name === "payment" ? { gateway: domain.gateway } : {};
  const isPaused = name === "inventory" && domain.inventoryPaused;
  const manifest = { name, subscriptions: [{ types: ["order.accepted"] }], config };
  return { name, digest: `sha256:${"a".repeat(64)}`, manifest, state: isPaused ? "paused" : "running" };
}

/** Answers [status, body]. */
function answer(method, path, body) {
  const [, , door, name, verb] = path.split("/");
  if (door === "events" && method === "POST") return [202, { events: [domain.accept(body)] }];
  if (door === "status") {
    const subject = decodeURIComponent(path.slice("/v1/status/".length));
    const document = domain.document(subject);
    return document.version === 0 ? [404, { title: "not found" }] : [200, { subject, epoch: EPOCH, ...document }];
  }
  if (door === "handlers" && method === "PUT") {
    domain.gateway = body.manifest.config.gateway;
    domain.deployed(name);
  }
  if (door === "handlers" && verb === "pause") domain.pauseInventory();
  if (door === "handlers" && verb === "resume") domain.resumeInventory();
  if (door === "handlers") return [200, handler(name)];
  return [404, { title: "not found", detail: `there is nothing at ${path}` }];
}

function fate({ outage_ms, step_ms, dead_after }) {
  if (step_ms) domain.step_ms = step_ms;
  if (dead_after) domain.deadAfter = dead_after;
  if (!outage_ms) return;
  isOut = true;
  readers.forEach((reader) => reader.drop());
  setTimeout(() => (isOut = false), outage_ms);
}

async function file(path) {
  const name = path === "/shop/" ? "index.html" : normalize(path.slice("/shop/".length));
  return [await readFile(join(dist, name)), TYPES[extname(name)] ?? "application/octet-stream"];
}

async function read(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return chunks.length > 0 ? JSON.parse(Buffer.concat(chunks).toString()) : undefined;
}

const server = createServer(async (request, response) => {
  const path = new URL(request.url, "http://here").pathname;
  if (isOut && path !== "/dev") return request.socket.destroy();
  try {
    if (path === "/" || path === "/shop") return response.writeHead(302, { location: "/shop/" }).end();
    if (path.startsWith("/shop/")) {
      const [bytes, type] = await file(path);
      return response.writeHead(200, { "content-type": type }).end(bytes);
    }
    const body = await read(request);
    const [status, said] = path === "/dev" ? [200, fate(body) ?? {}] : answer(request.method, path, body);
    response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(said));
  } catch (error) {
    response.writeHead(404, { "content-type": "application/json" }).end(JSON.stringify({ title: String(error) }));
  }
});

const sockets = new WebSocketServer({ noServer: true, handleProtocols: () => "weirgate.v1" });
server.on("upgrade", (request, socket, head) => {
  if (isOut) return socket.destroy();
  sockets.handleUpgrade(request, socket, head, (live) => readers.add(new Reader(live)));
});

server.listen(Number(process.argv[2] ?? 8099), "127.0.0.1", () => {
  console.log(`the shop, with a make-believe server: http://127.0.0.1:${server.address().port}/shop/`);
});

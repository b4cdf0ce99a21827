// The custom element in a page (jsdom), over the scripted environment.

import { afterEach, beforeAll, expect, test } from "vitest";

import { defineWeirgateStatus, sharedClient } from "../../src/element.ts";
import type { StatusDetail, WeirgateStatus } from "../../src/element.ts";
import { Weirgate } from "../../src/index.ts";
import { EPOCH, part, settle, World } from "../world.ts";

beforeAll(() => defineWeirgateStatus());
afterEach(() => document.body.replaceChildren());

function show(attributes: Record<string, string>, content = "") {
  const world = new World();
  const element = document.createElement("weirgate-status") as WeirgateStatus;
  element.client = new Weirgate("http://shop.example", { environment: world });
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.innerHTML = content;
  const told: StatusDetail[] = [];
  element.addEventListener("status", (event) => told.push((event as CustomEvent<StatusDetail>).detail));
  document.body.append(element);
  return { world, element, told, line: () => element.shadowRoot?.querySelector("span") };
}

function snapshot(version: number, parts: Record<string, unknown>) {
  return { type: "snapshot", subject: "order/o-1", epoch: EPOCH, version, parts };
}

test("it shows one handler's line, its word, its trouble and the connection", async () => {
  const { world, element, line, told } = show({ subject: "order/o-1", handler: "payment" }, "<i>no payment yet</i>");
  expect(line()?.querySelector("slot")).not.toBeNull();
  await settle();
  expect(element.getAttribute("connection")).toBe("connecting");
  world.socket.hello();
  const delivery = { state: "retrying", event: 1, attempt: 1, next_attempt_at_ms: 1, message: "no answer" };
  world.socket.says(snapshot(4, { order: part(4, "accepted"), payment: { ...part(3, "charging", "We charge <b>your</b> card"), delivery } }));
  expect(line()?.textContent).toBe("We charge <b>your</b> card");
  expect(line()?.children).toHaveLength(0);
  expect(element.shown?.state).toBe("charging");
  expect(["state", "delivery", "connection"].map((name) => element.getAttribute(name))).toEqual(["charging", "retrying", "connected"]);
  expect(told.at(-1)?.document?.version).toBe(4);
  world.happens("offline");
  expect(element.getAttribute("connection")).toBe("offline");
  expect(line()?.textContent).toContain("We charge");
});

test("without a handler it shows the part that changed last", () => {
  const { world, line } = show({ subject: "order/o-1" });
  world.socket.hello();
  world.socket.says(snapshot(9, { order: part(9, "done"), payment: part(3, "charged") }));
  expect(line()?.textContent).toBe("done");
});

test("changed attributes apply at once, and a removed element watches nothing", async () => {
  const { world, element, line } = show({ subject: "order/o-1", handler: "order" }, "nothing");
  world.socket.hello();
  world.socket.says(snapshot(9, { order: part(9, "done"), payment: part(3, "charged") }));
  element.setAttribute("handler", "payment");
  expect(line()?.textContent).toBe("charged");
  element.setAttribute("subject", "order/o-2");
  expect(line()?.querySelector("slot")).not.toBeNull();
  expect(element.hasAttribute("state")).toBe(false);
  await settle();
  expect(world.socket.sent.slice(1)).toEqual([
    { type: "unsubscribe", subjects: ["order/o-1"] },
    { type: "subscribe", subjects: [{ subject: "order/o-2" }] },
  ]);
  element.remove();
  await settle();
  expect(world.socket.sent.at(-1)).toEqual({ type: "unsubscribe", subjects: ["order/o-2"] });
  document.body.append(element);
  await settle();
  expect(world.socket.sent.at(-1)).toEqual({ type: "subscribe", subjects: [{ subject: "order/o-2" }] });
});

test("elements of one server share a client, and it is defined once", () => {
  expect(sharedClient("/")).toBe(sharedClient(location.href));
  expect(sharedClient("https://other.example")).not.toBe(sharedClient("/"));
  expect(() => defineWeirgateStatus()).not.toThrow();
});

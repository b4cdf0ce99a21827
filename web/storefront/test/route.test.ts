// Addresses: each leads to its page, and a bad one to a page that helps.

import assert from "node:assert/strict";
import { test } from "node:test";

import { misplaced, orderPath, parseRoute } from "../src/route.ts";

test("addresses lead to their pages, also with a slash or a query behind them", () => {
  for (const hash of ["", "#", "#/", "#/?utm_source=mail"]) assert.deepEqual(parseRoute(hash), { page: "catalogue" }, hash);
  for (const page of ["checkout", "orders"] as const) {
    for (const hash of [`#/${page}`, `#${page}`, `#/${page}/`, `#/${page}?from=mail`]) assert.deepEqual(parseRoute(hash), { page }, hash);
  }
  for (const hash of ["#/orders/09b6y4pv", "#/orders/09B6Y4PV", "#/orders/%2009b6y4pv%0a", "#/orders/09b6y4pv/", "#/orders/09b6y4pv?from=mail"]) {
    assert.deepEqual(parseRoute(hash), { page: "order", id: "09b6y4pv" }, hash);
  }
  for (const id of ["o-1", "Order_7.b", "100%", "ä", "x".repeat(200)]) assert.deepEqual(parseRoute(orderPath(id)), { page: "order", id }, id);
});

test("what is no address leads to a page that says so, and never to a subject that the server would refuse", () => {
  const ids = ["%", "%E0%A4%A", "%00", "a%07b", "a%20b", "a%2Fb", "%E2%80%AEabc", "%E2%80%8B", "%20", "x".repeat(201), encodeURIComponent("ä".repeat(101))];
  const hashes = ["#/nowhere", "#/order/09b6y4pv", "#/orders/09b6y4pv/more", "#/orders//", "#/checkout/now", "#/%E0%A4%A", ...ids.map((id) => `#/orders/${id}`)];
  for (const hash of hashes) assert.equal(parseRoute(hash).page, "lost", hash);
  assert.deepEqual(parseRoute("#/caf%C3%A9"), { page: "lost", address: "café" }, "it is shown as it was meant");
});

test("a path without its # is led to the page it means", () => {
  for (const path of ["/shop/", "/shop/index.html"]) assert.equal(misplaced(path), undefined, path);
  assert.equal(misplaced("/shop/orders/09b6y4pv"), "/shop/#/orders/09b6y4pv");
  assert.equal(misplaced("/shop/nowhere"), "/shop/#/nowhere");
});

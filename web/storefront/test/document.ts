// Parts of an order's status, as the handlers write them, for the page's tests.

import type { Part, PartDelivery, Parts } from "@weirgate/client";

let version = 0;

export function part(state: string, data: unknown = {}, text = ""): Part {
  version += 1;
  return { version, at_ms: 1_767_225_600_000 + version, state, text, data };
}

export const RETRYING = { state: "retrying", event: 7, attempt: 3, next_attempt_at_ms: 1, message: "the payment gateway does not answer" } as const;
export const DEAD = { state: "dead-lettered", event: 7, attempt: 16, message: "no" } as const;
export const AWAITING = { state: "awaiting-correction", event: 7, attempt: 1, message: "the payment details are wrong", what_is_wrong: "no" } as const;

export function troubled(delivery: PartDelivery, state = ""): Part {
  return { ...part(state), delivery };
}

export const LINES = [
  { sku: "sourdough", name: "Sourdough bread", quantity: 1, unit_price_cents: 480 },
  { sku: "fig-jam", name: "Fig jam, 300 g", quantity: 2, unit_price_cents: 590 },
  { sku: "coffee-beans", name: "Coffee beans, 500 g", quantity: 1, unit_price_cents: 1490 },
];

const RYE = { sku: "rye-bread", name: "Rye bread", unit_price_cents: 420 };

/** Sourdough became rye bread, the jam was missing. */
export const RESERVED = {
  lines: [{ ...RYE, quantity: 1 }, LINES[2]],
  total_cents: 1910,
  ordered_total_cents: 3150,
  changes: [
    { kind: "substituted", line: 0, ...LINES[0], by: RYE },
    { kind: "unavailable", line: 1, ...LINES[1] },
  ],
};

export const ACCEPTED: Parts = { order: part("accepted", { total_cents: 3150, lines: LINES }) };
export const SET_ASIDE: Parts = { ...ACCEPTED, inventory: part("reserved", RESERVED) };
export const CHARGED: Parts = { ...SET_ASIDE, payment: part("charged", { total_cents: 1910, reference: "pay-payment@17" }) };
export const INVOICED: Parts = {
  ...CHARGED,
  invoice: part("issued", { number: "INV-000021", lines: RESERVED.lines, total_cents: 1910, net_cents: 1592, vat_cents: 318, vat_percent: 20 }),
};

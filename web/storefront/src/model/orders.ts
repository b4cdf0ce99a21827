// My orders: created here, stored in the browser, submitted until the server has them. An order has its event id from the
// start, so that submitting it twice (a lost answer, a refresh in between, two tabs) places it once.

import type { Parts, PublishOptions, Weirgate } from "@weirgate/client";

import { priced } from "./basket.ts";
import type { Basket } from "./basket.ts";
import { isOver } from "./headline.ts";
import { isRecord, Store } from "./store.ts";

export interface Customer {
  readonly name: string;
  readonly email: string;
  readonly address: string;
}

export interface PlacedLine {
  readonly sku: string;
  readonly name: string;
  readonly quantity: number;
  readonly unit_price_cents: number;
  readonly substitutes_ok: boolean;
}

/** The data of `order.placed`. */
export interface OrderPlaced {
  readonly order: string;
  readonly customer: Customer;
  readonly lines: readonly PlacedLine[];
  readonly card: string;
}

export interface MyOrder {
  readonly id: string;
  readonly event_id: string;
  readonly placed_at_ms: number;
  readonly lines: readonly PlacedLine[];
  /** The data still to be submitted; deleted, with the card number in it, once the server has it. */
  readonly unsent?: OrderPlaced;
  /** Why the server refused it. */
  readonly refused?: string;
}

/** Maximum length of the list; the oldest ones are dropped. */
const ORDERS_MAX = 30;

export const orders = new Store<readonly MyOrder[]>("shop:orders", (stored) =>
  Array.isArray(stored) ? stored.filter(isOrder) : [],
);

function isOrder(value: unknown): value is MyOrder {
  if (!isRecord(value)) return false;
  const { id, event_id, placed_at_ms, lines } = value;
  return typeof id === "string" && typeof event_id === "string" && typeof placed_at_ms === "number" && Array.isArray(lines);
}

export interface Placing {
  readonly items: Basket;
  readonly customer: Customer;
  readonly card: string;
  readonly event_id: string;
  readonly now_ms: number;
}

export function newOrder({ items, customer, card, event_id, now_ms }: Placing): MyOrder {
  const lines = priced(items).map(({ sku, quantity, substitutes_ok, article }) => {
    const { name, unit_price_cents } = article;
    return { sku, name, quantity, unit_price_cents, substitutes_ok };
  });
  const id = orderId(event_id);
  return { id, event_id, placed_at_ms: now_ms, lines, unsent: { order: id, customer, lines, card } };
}

/** Eight characters that can be read out on the telephone, from 40 bits of the event's id. */
function orderId(event_id: string): string {
  const digits = "0123456789abcdefghjkmnpqrstvwxyz";
  const bits = BigInt(`0x${event_id.replaceAll("-", "").slice(-10)}`);
  return Array.from({ length: 8 }, (_, n) => digits[Number((bits >> BigInt(35 - 5 * n)) & 31n)]).join("");
}

export type Publisher = Pick<Weirgate, "publish" | "forget">;

/** Adds `order` to the list, newest first, and drops the oldest beyond the limit. */
export function keep(order: MyOrder, publisher: Publisher): void {
  const all = [order, ...orders.value.filter(({ id }) => id !== order.id)];
  for (const { id } of all.slice(ORDERS_MAX)) {
    publisher.forget(`order/${id}`);
    publisher.forget(`order/${id}/acceptance`);
  }
  orders.set(all.slice(0, ORDERS_MAX));
}

/** Submits `order`, retrying until it is accepted. A refusal is stored with the order. */
export async function handIn(order: MyOrder, publisher: Publisher, options: PublishOptions = {}): Promise<void> {
  if (!order.unsent) return;
  const event = { id: order.event_id, source: "/shop", type: "order.placed", subject: `order/${order.id}` };
  try {
    await publisher.publish({ ...event, data: order.unsent }, { attempts_max: Infinity, ...options });
    change(order.id, ({ unsent, ...sent }) => sent);
  } catch (error) {
    const refused = error instanceof Error ? error.message : String(error);
    change(order.id, ({ unsent, ...kept }) => ({ ...kept, refused }));
  }
}

/** An order without a status for this long is not one that was just placed: the server has lost its log, or is another one. */
const UNHEARD_MS_MAX = 10 * 60_000;

/** Whether the server does not know the order, although it once took it. `parts` are those of its status, empty if there is none. */
export function isForgotten({ unsent, refused, placed_at_ms }: MyOrder, parts: Parts | undefined, now_ms: number): boolean {
  if (unsent || refused !== undefined || parts === undefined) return false;
  return Object.keys(parts).length === 0 && now_ms - placed_at_ms > UNHEARD_MS_MAX;
}

/** Whether the order is on its way to the customer: not refused, not over. `parts` is undefined while its status is not known. */
export function isUnderWay(order: MyOrder, parts: Parts | undefined, now_ms: number): boolean {
  if (order.refused !== undefined || isForgotten(order, parts, now_ms)) return false;
  return order.unsent !== undefined || (parts !== undefined && !isOver(parts));
}

function change(id: string, to: (order: MyOrder) => MyOrder): void {
  orders.set(orders.value.map((order) => (order.id === id ? to(order) : order)));
}

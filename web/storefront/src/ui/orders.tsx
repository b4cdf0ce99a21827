// My orders, newest first, each live.

import { useStatus, useStore } from "../live.ts";
import { money } from "../model/catalogue.ts";
import { orders } from "../model/orders.ts";
import type { MyOrder } from "../model/orders.ts";
import { receiptOf } from "../model/receipt.ts";
import { headlineOf, PROGRESS_MAX, troubleOf } from "../model/steps.ts";
import { orderPath, useTitle } from "../route.ts";
import { Icon } from "./icons.tsx";

export function OrderList() {
  useTitle("My orders");
  const mine = useStore(orders);
  if (mine.length === 0) {
    return (
      <section class="nothing">
        <h1 tabIndex={-1}>No orders yet</h1>
        <p>Your orders appear here and are updated automatically.</p>
        <a class="button" href="#/">
          To the shop <Icon name="arrow" />
        </a>
      </section>
    );
  }
  return (
    <>
      <h1 class="page-title" tabIndex={-1}>
        My orders
      </h1>
      <ul class="orders">
        {mine.map((order) => (
          <OrderRow key={order.id} order={order} />
        ))}
      </ul>
    </>
  );
}

function OrderRow({ order }: { order: MyOrder }) {
  const document = useStatus(`order/${order.id}`);
  const parts = document?.parts ?? {};
  const { state, title, progress } = headlineOf(parts);
  const isUnsent = order.unsent !== undefined && (document?.version ?? 0) === 0;
  const trouble = troubleOf(parts);
  return (
    <li data-testid="order" data-order={order.id} data-state={isUnsent ? "sending" : state} data-trouble={trouble}>
      <a href={orderPath(order.id)}>
        <span class="orders-words">
          <strong>{order.refused ? "Not taken" : isUnsent ? "Handing in" : title}</strong>
          <span class="fine">
            {order.lines.map(({ name }) => name.split(",")[0]).join(", ")}
          </span>
        </span>
        <span class="progress" aria-hidden="true">
          {Array.from({ length: PROGRESS_MAX }, (_, n) => (
            <i key={n} data-on={n < progress} data-next={n === progress} />
          ))}
        </span>
        <span class="orders-end">
          <strong>{money(receiptOf(parts, order.lines).total_cents)}</strong>
          <span class="fine">
            <code>{order.id.toUpperCase()}</code> · {day(order.placed_at_ms)}
          </span>
        </span>
      </a>
    </li>
  );
}

const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });

function day(at_ms: number): string {
  return DAY.format(at_ms);
}

// My orders, newest first, each live.

import type { StatusDocument } from "@weirgate/client";

import { useMyDocuments, useStore } from "../live.ts";
import { spoken } from "../model/catalogue.ts";
import { headlineOf, PROGRESS_MAX } from "../model/headline.ts";
import { money } from "../model/money.ts";
import { isForgotten, orders } from "../model/orders.ts";
import type { MyOrder } from "../model/orders.ts";
import { receiptOf } from "../model/receipt.ts";
import type { Services } from "../model/services.ts";
import { troubleOf } from "../model/steps.ts";
import { orderPath, useTitle } from "../route.ts";
import { Icon } from "./icons.tsx";
import { FindOrder } from "./lost.tsx";

export function OrderList({ services }: { services: Services }) {
  useTitle("My orders");
  const mine = useStore(orders);
  const documents = useMyDocuments();
  if (mine.length === 0) {
    return (
      <section class="nothing">
        <h1 tabIndex={-1}>No orders yet</h1>
        <p>Your orders appear here and are updated automatically.</p>
        <a class="button" href="#/">
          To the shop <Icon name="arrow" />
        </a>
        <p>Ordered in another browser?</p>
        <FindOrder />
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
          <OrderRow key={order.id} order={order} document={documents.get(order.id)} services={services} />
        ))}
      </ul>
      <section class="elsewhere" aria-label="Another order">
        <p>Ordered in another browser?</p>
        <FindOrder />
      </section>
    </>
  );
}

interface OrderRowProps {
  readonly order: MyOrder;
  readonly document: StatusDocument | undefined;
  readonly services: Services;
}

function OrderRow({ order, document, services }: OrderRowProps) {
  const parts = document?.parts ?? {};
  const { state, title, progress } = headlineOf(parts, services);
  const isUnsent = order.unsent !== undefined && (document?.version ?? 0) === 0;
  const isLost = isForgotten(order, document?.parts, Date.now());
  const trouble = isUnsent ? undefined : troubleOf(parts, services)?.kind;
  return (
    <li data-testid="order" data-order={order.id} data-state={order.refused ? "refused" : isUnsent ? "sending" : isLost ? "unknown" : state} data-trouble={trouble}>
      <a href={orderPath(order.id)}>
        <span class="orders-words">
          <strong>{order.refused ? "Not taken" : isUnsent ? "Handing in" : isLost ? "No longer known" : title}</strong>
          <span class="fine">{order.lines.map(({ name }) => spoken(name)).join(", ")}</span>
        </span>
        <span class="progress" aria-hidden="true">
          {Array.from({ length: PROGRESS_MAX }, (_, n) => (
            <i key={n} data-on={n < progress} data-next={n === progress && !isUnsent} />
          ))}
        </span>
        <span class="orders-end">
          <strong>{money(isLost || order.refused ? 0 : receiptOf(parts, order.lines).total_cents)}</strong>
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

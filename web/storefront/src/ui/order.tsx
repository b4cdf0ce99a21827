// The page of one order: a headline, its steps as they happen, and its receipt. Everything on it comes from the live
// documents; until there are any, from this browser's order.

import type { ConnectionState, Parts, StatusDocument } from "@weirgate/client";

import { useStatus, useStore } from "../live.ts";
import { wrongDetailsOf } from "../model/card.ts";
import { headlineOf, PROGRESS_MAX } from "../model/headline.ts";
import { isForgotten, orders } from "../model/orders.ts";
import type { MyOrder } from "../model/orders.ts";
import type { Services } from "../model/services.ts";
import { dataOf, linesIn, problemsIn } from "../model/status.ts";
import { stepsOf, troubleOf } from "../model/steps.ts";
import { useTitle } from "../route.ts";
import { CardForm } from "./card.tsx";
import { ConnectionNotice } from "./connection.tsx";
import { FindOrder, Ways } from "./lost.tsx";
import { MailCard, ReceiptCard } from "./receipt.tsx";
import { Timeline } from "./timeline.tsx";

interface OrderPageProps {
  readonly id: string;
  readonly connection: ConnectionState;
  readonly services: Services;
}

export function OrderPage({ id, connection, services }: OrderPageProps) {
  useTitle(`Order ${id.toUpperCase()}`);
  const document = useStatus(`order/${id}`);
  const acceptance = useStatus(`order/${id}/acceptance`)?.parts["order"];
  const mine = useStore(orders).find((order) => order.id === id);
  const parts = document?.parts ?? {};
  const known = (document?.version ?? 0) > 0;
  const isUnsent = mine?.unsent !== undefined && !known;
  if (mine?.refused && !known) return <Refused order={mine} />;
  const isLost = mine === undefined || isForgotten(mine, document?.parts, Date.now());
  if (isLost && !known) return <Unknown id={id} connection={connection} document={document} />;
  return (
    <div class="order">
      <ConnectionNotice connection={connection} known={known} />
      <Headline id={id} parts={parts} services={services} unsent={isUnsent} />
      <CardForm order={id} wrong={wrongDetailsOf(parts)} />
      <div class="columns columns-order">
        <Timeline steps={stepsOf(parts, { isSent: !isUnsent, acceptance, services })} />
        <div class="side">
          <ReceiptCard parts={parts} placed={linesIn(dataOf(acceptance)) ?? mine?.lines} />
          <MailCard part={parts["notification"]} parts={parts} />
          <p class="fine version">
            {known ? (
              <>
                Version <code data-testid="version">{document?.version}</code> of this order: the position in the log of its last
                change. Reload the page, or kill the server: it continues from there.
              </>
            ) : (
              "There is no news of this order yet."
            )}
          </p>
        </div>
      </div>
    </div>
  );
}

interface HeadlineProps {
  readonly id: string;
  readonly parts: Parts;
  readonly services: Services;
  readonly unsent: boolean;
}

function Headline({ id, parts, services, unsent }: HeadlineProps) {
  const { state, title, text, progress } = headlineOf(parts, services);
  const trouble = unsent ? undefined : troubleOf(parts, services)?.kind;
  const isOver = state === "cancelled" || state === "rejected";
  return (
    <section class="headline" data-testid="order-state" data-state={unsent ? "sending" : state} data-trouble={trouble} data-waits={wrongDetailsOf(parts) !== undefined}>
      <p class="overline">Order {id.toUpperCase()}</p>
      <h1 tabIndex={-1}>{unsent ? "Handing in your order" : title}</h1>
      <p class="headline-text">{unsent ? "The server has not confirmed it yet. It is kept here and sent until it does." : text}</p>
      {!isOver && (
        <div class="progress" role="progressbar" aria-label="How far the order is" aria-valuemin={0} aria-valuemax={PROGRESS_MAX} aria-valuenow={progress}>
          {Array.from({ length: PROGRESS_MAX }, (_, n) => (
            <i key={n} data-on={n < progress} data-next={n === progress && !unsent} />
          ))}
        </div>
      )}
      {isOver && <ProblemList problems={problemsIn(dataOf(parts["order"]))} />}
    </section>
  );
}

function ProblemList({ problems }: { problems: readonly string[] }) {
  if (problems.length === 0) return null;
  return (
    <ul class="problems">
      {problems.map((problem) => (
        <li key={problem}>{problem}</li>
      ))}
    </ul>
  );
}

function Refused({ order }: { order: MyOrder }) {
  return (
    <section class="nothing" data-testid="order-state" data-state="refused">
      <h1 tabIndex={-1}>The server did not take this order</h1>
      <p>{order.refused}</p>
      <Ways />
    </section>
  );
}

interface UnknownProps {
  readonly id: string;
  readonly connection: ConnectionState;
  readonly document: StatusDocument | undefined;
}

function Unknown({ id, connection, document }: UnknownProps) {
  return (
    <section class="nothing" data-testid="order-state" data-state={document ? "unknown" : "loading"}>
      <ConnectionNotice connection={connection} known={false} />
      <p class="overline">Order {id.toUpperCase()}</p>
      <h1 tabIndex={-1}>{document ? "There is no such order" : "Looking for your order"}</h1>
      <p>
        {document
          ? "Nothing is known of an order with this number. If it is placed after all, this page shows it at once. Perhaps a character of the number is different?"
          : "One moment."}
      </p>
      {document && (
        <>
          <FindOrder />
          <Ways />
        </>
      )}
    </section>
  );
}

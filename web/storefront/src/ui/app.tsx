// The frame of every page: header, navigation, the page of the route, footer, and the panel with the fault injection.

import { useState } from "preact/hooks";

import { useConnection, useServices, useStock, useStore, useUnderWay } from "../live.ts";
import { basket, count } from "../model/basket.ts";
import { useRoute } from "../route.ts";
import type { Route } from "../route.ts";
import { Catalogue } from "./catalogue.tsx";
import { Checkout } from "./checkout.tsx";
import { ConnectionBadge } from "./connection.tsx";
import { Hidden, Icon, Mark } from "./icons.tsx";
import type { IconName } from "./icons.tsx";
import { FaultInjection } from "./faultInjection.tsx";
import { OrderPage } from "./order.tsx";
import { OrderList } from "./orders.tsx";
import { Lost } from "./lost.tsx";

export function App() {
  const route = useRoute();
  const stock = useStock();
  const services = useServices();
  const connection = useConnection();
  const [faultInjection, setFaultInjection] = useState(false);
  return (
    <>
      <header class="top">
        <a class="brand" href="#/">
          <Mark />
          <span>
            Weirside <small>Provisions</small>
          </span>
        </a>
        <Navigation route={route} />
        <div class="top-end">
          <ConnectionBadge connection={connection} />
          <button class="quiet" type="button" onClick={() => setFaultInjection(true)} data-testid="break-things">
            <Icon name="tools" />
            <span class="wide-only">Break things</span>
            <span class="narrow-only hidden">Break things</span>
          </button>
        </div>
      </header>
      <main>
        {route.page === "catalogue" && <Catalogue stock={stock} />}
        {route.page === "checkout" && <Checkout stock={stock} />}
        {route.page === "orders" && <OrderList services={services} />}
        {route.page === "order" && <OrderPage key={route.id} id={route.id} connection={connection} services={services} />}
        {route.page === "lost" && <Lost key={route.address} address={route.address} />}
      </main>
      <footer class="bottom">
        <p>
          A demonstration. Nothing is sold and no card is charged. Every status on these pages is pushed by{" "}
          <strong>Weirgate</strong> after it is on disk; none is polled for.
        </p>
      </footer>
      {faultInjection && <FaultInjection connection={connection} services={services} onClose={() => setFaultInjection(false)} />}
    </>
  );
}

function Navigation({ route }: { route: Route }) {
  const items = count(useStore(basket));
  const underWay = useUnderWay();
  return (
    <nav class="navigation" aria-label="Shop">
      <Place href="#/" icon="shop" label="Shop" number={0} unit="" testid="shop" here={route.page === "catalogue"} />
      <Place href="#/orders" icon="orders" label="Orders" number={underWay} unit="under way" testid="orders" here={route.page === "orders" || route.page === "order"} />
      <Place href="#/checkout" icon="basket" label="Basket" number={items} unit="in it" here={route.page === "checkout"} testid="checkout" />
    </nav>
  );
}

interface PlaceProps {
  readonly href: string;
  readonly icon: IconName;
  readonly label: string;
  readonly here: boolean;
  readonly number: number;
  /** What the number counts, for screen readers. */
  readonly unit: string;
  readonly testid: string;
}

function Place({ href, icon, label, here, number, unit, testid }: PlaceProps) {
  return (
    <a href={href} aria-current={here ? "page" : undefined} data-testid={testid}>
      <Icon name={icon} />
      <span>{label}</span>
      {number > 0 && (
        <b class="number" key={number} data-testid={`${testid}-number`}>
          {number}
          <Hidden> {unit}</Hidden>
        </b>
      )}
    </a>
  );
}

// The page's only connection, and the hooks through which components use it. The subjects of the stock, of the services and of
// my orders are always watched, those of other orders while a component shows them.

import { Weirgate } from "@weirgate/client";
import type { ConnectionState, DocumentStorage, StatusDocument } from "@weirgate/client";
import { useEffect, useMemo, useState } from "preact/hooks";

import { CATALOGUE } from "./model/catalogue.ts";
import { isUnderWay, orders } from "./model/orders.ts";
import { serviceOf } from "./model/services.ts";
import type { Services } from "./model/services.ts";
import { STEP_NAMES } from "./model/steps.ts";
import { onHandIn } from "./model/stock.ts";
import type { Stock } from "./model/stock.ts";
import type { Store } from "./model/store.ts";

export const weirgate = new Weirgate("/", storage());

function storage(): { storage?: DocumentStorage } {
  try {
    return { storage: localStorage };
  } catch {
    return {};
  }
}

/** By subject; undefined until the subject's first document. */
type Documents = ReadonlyMap<string, StatusDocument | undefined>;

export function useStatuses(subjects: readonly string[]): Documents {
  const [documents, see] = useState<Documents>(() => known(subjects));
  useEffect(() => {
    see(known(subjects));
    const stops = subjects.map((subject) =>
      weirgate.watch(subject, (document) => {
        see((before) => (before.get(subject) === document ? before : new Map([...before, [subject, document]])));
      }),
    );
    return () => stops.forEach((stop) => stop());
  }, [subjects.join("\n")]);
  return documents;
}

function known(subjects: readonly string[]): Documents {
  return new Map(subjects.map((subject) => [subject, weirgate.get(subject)]));
}

export function useStatus(subject: string): StatusDocument | undefined {
  const documents = useStatuses([subject]);
  return documents.has(subject) ? documents.get(subject) : weirgate.get(subject);
}

export function useConnection(): ConnectionState {
  const [connection, see] = useState(weirgate.connection);
  useEffect(() => weirgate.onConnection(see), []);
  return connection;
}

const STOCK_SUBJECTS = CATALOGUE.map(({ sku }) => `sku/${sku}`);

export function useStock(): Stock {
  const documents = useStatuses(STOCK_SUBJECTS);
  return useMemo(() => {
    const counted = CATALOGUE.map(({ sku }) => [sku, onHandIn(documents.get(`sku/${sku}`))] as const);
    return new Map(counted.filter((one): one is readonly [string, number] => one[1] !== undefined));
  }, [documents]);
}

const SERVICE_SUBJECTS = STEP_NAMES.map((name) => `weirgate/handlers/${name}`);

export function useServices(): Services {
  const documents = useStatuses(SERVICE_SUBJECTS);
  return useMemo(() => Object.fromEntries(STEP_NAMES.map((name) => [name, serviceOf(documents.get(`weirgate/handlers/${name}`))])), [documents]);
}

/** The documents of my orders, by order. */
export function useMyDocuments(): Documents {
  const mine = useStore(orders);
  const documents = useStatuses(mine.map(({ id }) => `order/${id}`));
  return useMemo(() => new Map(mine.map(({ id }) => [id, documents.get(`order/${id}`)])), [mine, documents]);
}

/** How many of my orders are neither delivered nor cancelled. */
export function useUnderWay(): number {
  const documents = useMyDocuments();
  return useStore(orders).filter((order) => isUnderWay(order, documents.get(order.id)?.parts, Date.now())).length;
}

export function useStore<T>(store: Store<T>): T {
  const [value, see] = useState(store.value);
  useEffect(() => {
    see(store.value);
    return store.subscribe(() => see(store.value));
  }, [store]);
  return value;
}

/** The time in milliseconds, updated twice a second while `ticks`. */
export function useNow(ticks: boolean): number {
  const [now, see] = useState(() => Date.now());
  useEffect(() => {
    if (!ticks) return;
    see(Date.now());
    const timer = setInterval(() => see(Date.now()), 500);
    return () => clearInterval(timer);
  }, [ticks]);
  return now;
}

// The page's only connection, and the hooks through which components use it. The subjects of the stock are always watched,
// those of orders while a component shows them.

import { Weirgate } from "@weirgate/client";
import type { ConnectionState, DocumentStorage, StatusDocument } from "@weirgate/client";
import { useEffect, useState } from "preact/hooks";

import { CATALOGUE } from "./model/catalogue.ts";
import { dataOf, numberIn } from "./model/status.ts";
import type { Store } from "./model/store.ts";

export const weirgate = new Weirgate("/", storage());

function storage(): { storage?: DocumentStorage } {
  try {
    return { storage: localStorage };
  } catch {
    return {};
  }
}

export function useStatus(subject: string): StatusDocument | undefined {
  const [seen, see] = useState({ subject, document: weirgate.get(subject) });
  useEffect(() => weirgate.watch(subject, (document) => see({ subject, document })), [subject]);
  return seen.subject === subject ? seen.document : weirgate.get(subject);
}

export function useConnection(): ConnectionState {
  const [connection, see] = useState(weirgate.connection);
  useEffect(() => weirgate.onConnection(see), []);
  return connection;
}

/** Units on hand by sku, if known. */
export type Stock = ReadonlyMap<string, number>;

export function useStock(): Stock {
  const [stock, see] = useState<Stock>(new Map());
  useEffect(() => {
    const stops = CATALOGUE.map(({ sku }) =>
      weirgate.watch(`sku/${sku}`, (document) => {
        const on_hand = numberIn(dataOf(document?.parts["inventory"]), "on_hand");
        see((before) => (before.get(sku) === on_hand ? before : restocked(before, sku, on_hand)));
      }),
    );
    return () => stops.forEach((stop) => stop());
  }, []);
  return stock;
}

function restocked(stock: Stock, sku: string, on_hand: number | undefined): Stock {
  const next = new Map(stock);
  if (on_hand === undefined) next.delete(sku);
  else next.set(sku, on_hand);
  return next;
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

// `@weirgate/client/react`: the status of a subject and the connection, as hooks. Works with React 18 or newer, and with
// whatever stands in for it, such as `preact/compat`. Rendered on a server, there is no document yet.

import { createContext, createElement, useContext, useMemo, useSyncExternalStore } from "react";
import type { ReactElement, ReactNode } from "react";

import type { ConnectionState } from "./connection.ts";
import type { StatusDocument } from "./document.ts";
import type { Weirgate } from "./weirgate.ts";

const Client = createContext<Weirgate | undefined>(undefined);
const ON_A_SERVER: ConnectionState = { state: "connecting" };

/** Gives the hooks below it their client. */
export function WeirgateProvider(props: { readonly client: Weirgate; readonly children?: ReactNode }): ReactElement {
  return createElement(Client.Provider, { value: props.client }, props.children);
}

/** The client of the `WeirgateProvider` above. */
export function useWeirgate(): Weirgate {
  return useClient(undefined);
}

/**
 * The last document of `subject`; undefined until the first one, and for no subject. Watches while the component is shown.
 * `client` replaces that of the provider.
 */
export function useStatus(subject: string | undefined, client?: Weirgate): StatusDocument | undefined {
  const used = useClient(client);
  const store = useMemo(() => documents(used, subject), [used, subject]);
  return useSyncExternalStore(store.subscribe, store.get, () => undefined);
}

/** The state of the connection. */
export function useConnection(client?: Weirgate): ConnectionState {
  const used = useClient(client);
  const store = useMemo(
    () => ({ subscribe: (changed: () => void) => used.onConnection(changed), get: () => used.connection }),
    [used],
  );
  return useSyncExternalStore(store.subscribe, store.get, () => ON_A_SERVER);
}

function useClient(client: Weirgate | undefined): Weirgate {
  const provided = useContext(Client);
  const used = client ?? provided;
  if (!used) throw new Error("there is no client: wrap the component in a WeirgateProvider, or pass the client to the hook");
  return used;
}

/** The documents of a subject as React's external store: the same object until it changes. */
function documents(client: Weirgate, subject: string | undefined) {
  let document = subject === undefined ? undefined : client.get(subject);
  return {
    get: () => document,
    subscribe(changed: () => void): () => void {
      if (subject === undefined) return () => {};
      return client.watch(subject, (next) => {
        if (next === document) return;
        document = next;
        changed();
      });
    },
  };
}

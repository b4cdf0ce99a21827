// Fault injection: break a service that orders depend on, and watch an order wait and continue. The panel shows what is pushed:
// also a change that another tab, another browser or the command line has made. It reads a handler only after such a change.

import type { ConnectionState } from "@weirgate/client";
import { useEffect, useRef, useState } from "preact/hooks";

import { useMyDocuments } from "../live.ts";
import { gatewayOf, readHandler, setGateway, setPaused } from "../model/faultInjection.ts";
import type { Handler } from "../model/faultInjection.ts";
import { waitsAt } from "../model/headline.ts";
import type { Service, Services } from "../model/services.ts";
import { Hidden, Icon } from "./icons.tsx";

interface Reading {
  readonly payment?: Handler | undefined;
  readonly inventory?: Handler | undefined;
  readonly problem?: string | undefined;
}

interface FaultInjectionProps {
  readonly connection: ConnectionState;
  readonly services: Services;
  readonly onClose: () => void;
}

export function FaultInjection({ connection, services, onClose }: FaultInjectionProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current?.showModal(), []);
  const isLive = connection.state === "connected";
  const [{ payment, inventory, problem }, isBusy, change] = useReading(services, isLive);
  const documents = [...useMyDocuments().values()];
  const waiting = (step: "payment" | "inventory") => documents.filter((document) => document && waitsAt(document.parts, services, step)).length;

  const isDown = payment ? gatewayOf(payment) === "down" : false;
  const isPaused = inventory?.state === "paused";
  return (
    <dialog class="fault-injection" ref={dialog} onClose={onClose} onClick={(event) => event.target === dialog.current && dialog.current?.close()} aria-labelledby="fault-injection">
      <div class="fault-injection-inner">
        <header>
          <h2 id="fault-injection">Break things</h2>
          <button class="quiet" type="button" onClick={() => dialog.current?.close()}>
            <Icon name="cross" />
            <Hidden>Close</Hidden>
          </button>
        </header>
        <p>Then place an order, or watch one. Nothing is lost; waiting orders continue when you fix it.</p>
        <FaultSwitch
          label="The payment gateway"
          now={isDown ? "does not answer" : "answers"}
          help="Switched off, charges fail. Each is tried again after a while, and then after a longer one."
          broken={isDown}
          handler={payment}
          service={services.payment}
          waiting={waiting("payment")}
          busy={isBusy}
          live={isLive}
          testid="fault-payment"
          onSwitch={() => void change(() => setGateway(isDown ? "up" : "down"))}
        />
        <FaultSwitch
          label="The inventory"
          now={isPaused ? "takes nothing in" : inventory?.state === "waiting-for-module" ? "waits for its module" : "works"}
          help="Switched off, its handler is paused. New orders are still accepted and wait for it, in order."
          broken={isPaused}
          handler={inventory}
          service={services.inventory}
          waiting={waiting("inventory")}
          busy={isBusy}
          live={isLive}
          testid="fault-inventory"
          onSwitch={() => void change(() => setPaused("inventory", !isPaused))}
        />
        <div class="fault-hint">
          <h3>The server</h3>
          <p>
            Kill it with <code>kill -9</code> in the middle of an order and start it again. This page keeps what it knows and
            continues where it was.
          </p>
        </div>
        <footer>
          <p role="status" class={problem ? "problem" : "fine"}>
            {problem ?? (isLive ? "Live: a change made elsewhere shows here, too." : "Not connected. This is the last known state.")}
          </p>
        </footer>
      </div>
    </dialog>
  );
}

/** The handlers, read at first, and again when the runtime pushes that one of them has another version or mode. */
function useReading(services: Services, isLive: boolean) {
  const [reading, setReading] = useState<Reading>({});
  const [isBusy, setBusy] = useState(false);
  const latest = useRef(0);
  const read = async () => {
    const mine = ++latest.current;
    const [payment, inventory] = await Promise.all([readHandler("payment"), readHandler("inventory")]);
    // Of two readings at once, the one that began last counts.
    if (mine === latest.current) setReading({ payment, inventory });
  };
  const fail = (error: unknown) => setReading((before) => ({ ...before, problem: error instanceof Error ? error.message : String(error) }));
  const change = async (action: () => Promise<void>) => {
    setBusy(true);
    await action().then(read).catch(fail);
    setBusy(false);
  };
  useEffect(() => {
    if (isLive) void read().catch(fail);
  }, [isLive, services.payment?.version, services.inventory?.version]);
  return [reading, isBusy, change] as const;
}

interface FaultSwitchProps {
  readonly label: string;
  readonly now: string;
  readonly help: string;
  readonly broken: boolean;
  readonly handler: Handler | undefined;
  readonly service: Service | undefined;
  /** How many of my orders wait for it. */
  readonly waiting: number;
  /** A change is on its way. The switch keeps the focus meanwhile. */
  readonly busy: boolean;
  readonly live: boolean;
  readonly testid: string;
  readonly onSwitch: () => void;
}

function FaultSwitch({ label, now, help, broken, handler, service, waiting, busy, live, testid, onSwitch }: FaultSwitchProps) {
  return (
    <section class="fault-switch" data-broken={broken}>
      <button
        class="switch"
        type="button"
        role="switch"
        aria-checked={!broken}
        disabled={!live || !handler}
        aria-disabled={busy}
        onClick={() => !busy && onSwitch()}
        data-testid={testid}
        data-state={broken ? "broken" : "working"}
      >
        <span>
          <strong>{label}</strong> {handler ? now : "is not there"}
        </span>
        <i aria-hidden="true" />
      </button>
      <p>{help}</p>
      <p class="fine" data-testid={`${testid}-waiting`}>
        {waiting === 0 ? "None of your orders waits for it." : waiting === 1 ? "1 of your orders waits for it." : `${waiting} of your orders wait for it.`}
        {service?.isBreakerOpen && " Its circuit breaker is open: now and then, one try tests whether it works again."}
      </p>
    </section>
  );
}

// Fault injection: break a service that orders depend on, and watch an order wait and continue. Reads the state when opened
// and after each change; it does not poll in between.

import { useEffect, useRef, useState } from "preact/hooks";

import { gatewayOf, readHandler, setGateway, setPaused } from "../model/faultInjection.ts";
import type { Handler } from "../model/faultInjection.ts";
import { Hidden, Icon } from "./icons.tsx";

interface Reading {
  readonly payment?: Handler;
  readonly inventory?: Handler;
  readonly problem?: string;
}

export function FaultInjection({ onClose }: { onClose: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [reading, setReading] = useState<Reading>({});
  const [busy, setBusy] = useState(true);

  const change = async (action?: () => Promise<void>) => {
    setBusy(true);
    try {
      await action?.();
      const [payment, inventory] = await Promise.all([readHandler("payment"), readHandler("inventory")]);
      setReading({ payment, inventory });
    } catch (error) {
      setReading((before) => ({ ...before, problem: error instanceof Error ? error.message : String(error) }));
    }
    setBusy(false);
  };

  useEffect(() => {
    dialog.current?.showModal();
    void change();
  }, []);

  const { payment, inventory, problem } = reading;
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
          busy={busy}
          testid="fault-payment"
          onSwitch={() => void change(() => setGateway(isDown ? "up" : "down"))}
        />
        <FaultSwitch
          label="The inventory"
          now={isPaused ? "takes nothing in" : inventory?.state === "waiting-for-module" ? "waits for its module" : "works"}
          help="Switched off, its handler is paused. New orders are still accepted and wait for it, in order."
          broken={isPaused}
          handler={inventory}
          busy={busy}
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
            {problem ?? (busy ? "Asking the server" : "As of just now")}
          </p>
          <button class="quiet" type="button" disabled={busy} onClick={() => void change()}>
            <Icon name="refresh" /> Look again
          </button>
        </footer>
      </div>
    </dialog>
  );
}

interface FaultSwitchProps {
  readonly label: string;
  readonly now: string;
  readonly help: string;
  readonly broken: boolean;
  readonly handler: Handler | undefined;
  readonly busy: boolean;
  readonly testid: string;
  readonly onSwitch: () => void;
}

function FaultSwitch({ label, now, help, broken, handler, busy, testid, onSwitch }: FaultSwitchProps) {
  return (
    <section class="fault-switch" data-broken={broken}>
      <button
        class="switch"
        type="button"
        role="switch"
        aria-checked={!broken}
        disabled={busy || !handler}
        onClick={onSwitch}
        data-testid={testid}
        data-state={broken ? "broken" : "working"}
      >
        <span>
          <strong>{label}</strong> {handler ? now : "is not there"}
        </span>
        <i aria-hidden="true" />
      </button>
      <p>{help}</p>
      {handler && <Waiting handler={handler} />}
    </section>
  );
}

function Waiting({ handler: { name, open, lag } }: { handler: Handler }) {
  if (open === undefined && lag === undefined) return null;
  return (
    <p class="fine" data-testid={`lag-${name}`}>
      Handler <code>{name}</code>: {open ?? 0} open {open === 1 ? "delivery" : "deliveries"}, {lag ?? 0} {lag === 1 ? "position" : "positions"} behind
    </p>
  );
}

// The steps of an order, one below the other. Each shows its state as a mark, as text, and in `data-mood`; changes are read
// out.

import type { Part, PartDelivery } from "@weirgate/client";
import { useEffect, useRef, useState } from "preact/hooks";

import { useNow } from "../live.ts";
import { reasonOf } from "../model/card.ts";
import { unbroken } from "../model/catalogue.ts";
import { money, moneyChange } from "../model/money.ts";
import { changesIn, dataOf, textIn, wholeIn } from "../model/status.ts";
import type { Change } from "../model/status.ts";
import { DELIVERY_STATES, searchOf } from "../model/steps.ts";
import type { Moment, Mood, Step } from "../model/steps.ts";
import { seconds } from "./connection.tsx";
import { Hidden, Icon } from "./icons.tsx";

const MOOD_WORDS: Record<Mood, string> = {
  waiting: "not yet",
  working: "in progress",
  done: "done",
  retrying: "in trouble, trying again",
  stuck: "stopped",
  failed: "did not work",
  skipped: "left out",
  undoing: "being taken back",
  undone: "taken back",
};

export function Timeline({ steps }: { steps: readonly Step[] }) {
  return (
    <section class="panel" aria-labelledby="steps">
      <h2 id="steps">Step by step</h2>
      <ol class="steps">
        {steps.map((step) => (
          <StepItem key={step.name} step={step} />
        ))}
      </ol>
      <News steps={steps} />
    </section>
  );
}

/** Reads out changes since the page was opened, not the initial state. */
function News({ steps }: { steps: readonly Step[] }) {
  const told = useRef<ReadonlyMap<string, string> | undefined>(undefined);
  const [news, setNews] = useState("");
  const now = new Map(steps.map((step) => [step.name, `${step.title}: ${step.text || MOOD_WORDS[step.mood]}`]));
  const all = [...now.values()].join();
  useEffect(() => {
    const before = told.current;
    told.current = now;
    if (!before) return;
    setNews(steps.flatMap(({ name, mood }) => (mood === "waiting" || now.get(name) === before.get(name) ? [] : [now.get(name)])).join(". "));
  }, [all]);
  return (
    <p class="hidden" aria-live="polite" data-testid="news">
      {news}
    </p>
  );
}

function StepItem({ step }: { step: Step }) {
  const { name, title, text, mood, state, part, at, trouble } = step;
  const search = searchOf(part);
  return (
    <li class="step" data-testid={`step-${name}`} data-state={state} data-mood={mood} key={name}>
      <StepMark mood={mood} />
      <div class="step-words">
        <div class="step-head">
          <h3>
            {title}
            <Hidden>: {MOOD_WORDS[mood]}</Hidden>
          </h3>
          {at && <Time at_ms={at.at_ms} version={at.version} />}
        </div>
        {text && (
          <p class="step-text">
            {text}
            {search && <span class="fine"> · {search}</span>}
            {part?.corrected && <Corrected />}
          </p>
        )}
        {trouble && <Trouble trouble={trouble} />}
        {name === "inventory" && <Changes changes={changesIn(dataOf(part))} total={wholeIn(dataOf(part), "total_cents")} />}
        {name === "order" && mood === "undone" && part && <Ended part={part} />}
        {name === "delivery" && (mood === "working" || mood === "done") && <Journey state={state} parcel={textIn(dataOf(part), "parcel")} />}
      </div>
    </li>
  );
}

/** A replay has corrected the step since its handler set it. */
function Corrected() {
  return (
    <span class="fine" data-testid="corrected" title="The shop has corrected this">
      {" "}
      · corrected
    </span>
  );
}

/** When and why an order that was accepted ended without a delivery. */
function Ended({ part: { text, at_ms, version } }: { part: Part }) {
  return (
    <p class="step-after">
      <span>{sentence(text)}</span>
      <Time at_ms={at_ms} version={version} />
    </p>
  );
}

function Time({ at_ms, version }: Moment) {
  return (
    <time dateTime={new Date(at_ms).toISOString()} title={`Position ${version} in the log`}>
      {clock(at_ms)} <code>#{version}</code>
    </time>
  );
}

function StepMark({ mood }: { mood: Mood }) {
  return (
    <span class="step-mark" aria-hidden="true" key={mood}>
      {mood === "done" && <Icon name="check" />}
      {mood === "failed" && <Icon name="cross" />}
      {mood === "retrying" && <Icon name="again" />}
      {mood === "stuck" && <Icon name="alert" />}
      {mood === "undone" && <Icon name="undo" />}
      {(mood === "working" || mood === "undoing") && <i class="spinner" />}
    </span>
  );
}

export function Trouble({ trouble }: { trouble: PartDelivery }) {
  return (
    <div class="trouble" data-testid="trouble" data-state={trouble.state}>
      <p class="trouble-head">
        <TroubleHead trouble={trouble} />
      </p>
      <p>{sentence(trouble.message)}</p>
      {trouble.state === "awaiting-correction" && reasonOf(trouble) !== trouble.message && <p>{sentence(reasonOf(trouble))}</p>}
      {trouble.state === "dead-lettered" && <p>It is a dead letter until an operator handles it. Nothing is lost.</p>}
    </div>
  );
}

function TroubleHead({ trouble }: { trouble: PartDelivery }) {
  const dueMs = trouble.state === "retrying" ? trouble.next_attempt_at_ms : undefined;
  const now = useNow(dueMs !== undefined);
  if (trouble.state === "awaiting-correction") return <strong>Waits for a correction</strong>;
  if (dueMs === undefined) return <strong>Gave up after {tries(trouble.attempt)}</strong>;
  return (
    <>
      <strong>{dueMs > now ? `Next try in ${seconds(dueMs - now)}` : "Trying again now"}</strong>
      <span> · {tries(trouble.attempt)} failed</span>
    </>
  );
}

function Changes({ changes, total }: { changes: readonly Change[]; total: number | undefined }) {
  if (changes.length === 0) return null;
  return (
    <ul class="changes">
      {changes.map((change) => (
        <li key={change.line} data-kind={change.kind}>
          <Icon name={change.kind === "substituted" ? "swap" : "cross"} />
          <span>
            <s>{unbroken(change.name)}</s> {change.by ? <ins>{unbroken(change.by.name)}</ins> : <em>sold out</em>}{" "}
            <b>{difference(change)}</b>
          </span>
        </li>
      ))}
      {total !== undefined && <li class="changes-total">New total {money(total)}, before payment</li>}
    </ul>
  );
}

/** The change of the price, with its sign. */
function difference({ quantity, unit_price_cents, by }: Change): string {
  const cents = quantity * ((by?.unit_price_cents ?? 0) - unit_price_cents);
  return cents === 0 ? "same price" : moneyChange(cents);
}

const JOURNEY_WORDS = { packed: "Packed", dispatched: "On its way", delivered: "At your door" } as const;

function Journey({ state, parcel }: { state: string; parcel: string | undefined }) {
  const reached = DELIVERY_STATES.findIndex((one) => one === state);
  return (
    <div class="journey">
      <ol>
        {DELIVERY_STATES.map((one, n) => (
          <li key={one} data-testid={`step-${one}`} data-on={n <= reached}>
            {JOURNEY_WORDS[one]}
            <Hidden>{n <= reached ? ": done" : ": not yet"}</Hidden>
          </li>
        ))}
      </ol>
      {parcel && (
        <p class="fine">
          Parcel <code>{parcel}</code>
        </p>
      )}
    </div>
  );
}

const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });

function clock(at_ms: number): string {
  return CLOCK.format(at_ms);
}

function tries(count: number): string {
  return count === 1 ? "1 try" : `${count} tries`;
}

export function sentence(text: string): string {
  const said = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(said) ? said : `${said}.`;
}

// The form for another card number, while the payment waits for one. The result for a number comes from the status, like
// everything on the page.

import { uuid } from "@weirgate/client";
import { useEffect, useRef, useState } from "preact/hooks";

import { weirgate } from "../live.ts";
import { correct, formOf, problemOf } from "../model/card.ts";
import type { Answer, WrongDetails } from "../model/card.ts";
import { Icon } from "./icons.tsx";
import { sentence } from "./timeline.tsx";

const STILL_TRYING = "The server does not answer. We keep trying.";

interface CardFormProps {
  readonly order: string;
  /** Undefined while no payment waits for the customer; the form then shows the earlier answer. */
  readonly wrong: WrongDetails | undefined;
}

export function CardForm({ order, wrong }: CardFormProps) {
  const [card, setCard] = useState("");
  const [hint, setHint] = useState<string>();
  const [answer, send] = useAnswer(order);
  const input = useRef<HTMLInputElement>(null);
  const state = wrong && formOf(answer, wrong);
  useEffect(() => {
    // A user who has moved the focus elsewhere meanwhile keeps it there.
    if (state === "refused" && document.activeElement === document.body) input.current?.focus();
  }, [state]);
  if (!wrong || !state) return null;

  const isBusy = state === "sending" || state === "sent";
  const submit = (event: Event) => {
    event.preventDefault();
    if (isBusy) return;
    const problem = problemOf(card);
    setHint(problem);
    if (problem) input.current?.focus();
    else void send(card, wrong);
  };
  const type = (text: string) => {
    setCard(text);
    setHint(undefined);
  };
  const problem = hint ?? (state === "failed" ? answer?.problem : undefined);
  const isInvalid = problem !== undefined || (state === "refused" && card === answer?.card);
  return (
    <form class="correction" data-testid="card-form" data-state={state} noValidate onSubmit={submit} aria-labelledby="card-title">
      <h2 id="card-title">{state === "refused" ? "That one does not work either" : "Which card shall we charge?"}</h2>
      <p id="card-wrong" data-testid="card-wrong">
        {sentence(wrong.reason)}
      </p>
      <div class="correction-row">
        <label class="field">
          <span>Card number</span>
          <input
            ref={input}
            name="cc-number"
            autocomplete="cc-number"
            inputMode="numeric"
            spellcheck={false}
            maxLength={30}
            value={card}
            readOnly={isBusy}
            aria-invalid={isInvalid}
            aria-describedby={problem ? "card-problem card-wrong" : "card-wrong"}
            data-testid="card-number"
            onInput={({ currentTarget }) => type(currentTarget.value)}
          />
        </label>
        <SendButton isBusy={isBusy} />
      </div>
      {problem && (
        <p class="correction-problem" id="card-problem" role="alert" data-testid="card-problem">
          {problem}
        </p>
      )}
      <p class="correction-news" role="status">
        {state === "sending" && (answer?.problem ?? "Sending it.")}
        {state === "sent" && "We have it, and will try again with it."}
      </p>
    </form>
  );
}

/** Not disabled while it is busy: that would remove the focus. */
function SendButton({ isBusy }: { isBusy: boolean }) {
  return (
    <button class="button" type="submit" aria-disabled={isBusy} data-testid="card-send">
      Try this card {isBusy ? <i class="spinner" aria-hidden="true" /> : <Icon name="arrow" />}
    </button>
  );
}

/** The customer's latest answer, and the function to give one. */
function useAnswer(order: string) {
  const [answer, setAnswer] = useState<Answer>();
  const send = async (card: string, { version }: WrongDetails) => {
    const event_id = uuid();
    const become = (change: Partial<Answer>) => setAnswer((now) => (now?.event_id === event_id ? { ...now, ...change } : now));
    setAnswer({ event_id, version, card, state: "sending" });
    try {
      await correct({ order, card, event_id }, weirgate, { onRetry: () => become({ problem: STILL_TRYING }) });
      become({ state: "sent" });
    } catch (error) {
      become({ state: "failed", problem: sentence(error instanceof Error ? error.message : String(error)) });
    }
  };
  return [answer, send] as const;
}

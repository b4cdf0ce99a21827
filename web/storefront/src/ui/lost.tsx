// Pages for addresses that lead nowhere, and the form that finds an order by its number.

import { useState } from "preact/hooks";

import { orderId, orderPath, useTitle } from "../route.ts";
import { Icon } from "./icons.tsx";

/** A longer address is cut. */
const SHOWN_MAX = 60;

export function Lost({ address }: { address: string }) {
  useTitle("Not found");
  const shown = address.length > SHOWN_MAX ? `${address.slice(0, SHOWN_MAX)}…` : address;
  return (
    <section class="nothing" data-testid="lost">
      <p class="overline">Nothing here</p>
      <h1 tabIndex={-1}>This link leads nowhere</h1>
      <p>
        There is no page <code>{shown}</code> in this shop. It may have been cut off or mistyped. If it was about an order, its number
        finds it.
      </p>
      <FindOrder />
      <Ways />
    </section>
  );
}

/** The ways on from a page without contents. */
export function Ways() {
  return (
    <p class="ways">
      <a class="button" href="#/">
        To the shop <Icon name="arrow" />
      </a>
      <a class="quiet" href="#/orders">
        My orders
      </a>
    </p>
  );
}

export function FindOrder() {
  const [text, setText] = useState("");
  const [isWrong, setWrong] = useState(false);
  const submit = (event: Event) => {
    event.preventDefault();
    const id = orderId(text);
    setWrong(id === undefined);
    if (id !== undefined) location.hash = orderPath(id);
  };
  return (
    <form class="find" onSubmit={submit} noValidate role="search" data-testid="find-order">
      <label class="field">
        <span>Order number</span>
        <input
          autocomplete="off"
          spellcheck={false}
          maxLength={64}
          value={text}
          aria-invalid={isWrong}
          aria-describedby={isWrong ? "find-problem" : undefined}
          onInput={({ currentTarget }) => {
            setText(currentTarget.value);
            setWrong(false);
          }}
        />
      </label>
      <button class="quiet" type="submit">
        Find it
      </button>
      {isWrong && (
        <p class="problem" id="find-problem" role="alert">
          An order number is one word, for example 7KXM2Q9D.
        </p>
      )}
    </form>
  );
}

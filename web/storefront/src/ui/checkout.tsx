// The checkout: the basket with its substitutes, the recipient, and the card. Filled in for the demo, so that one click
// places an order.

import { uuid } from "@weirgate/client";
import { useId, useState } from "preact/hooks";

import { useStore, weirgate } from "../live.ts";
import { basket, priced, totalCents, withQuantity, withSubstitutes } from "../model/basket.ts";
import type { PricedItem } from "../model/basket.ts";
import { articleOf, listed, spoken, unbroken } from "../model/catalogue.ts";
import { money } from "../model/money.ts";
import { handIn, keep, newOrder } from "../model/orders.ts";
import type { Customer } from "../model/orders.ts";
import { mostOf, shortagesOf, substituteFor, withSubstitute } from "../model/stock.ts";
import type { Shortage, Stock } from "../model/stock.ts";
import { isRecord, Store } from "../model/store.ts";
import { orderPath, useTitle } from "../route.ts";
import { Art } from "./art.tsx";
import { Stepper } from "./catalogue.tsx";
import { Hidden, Icon } from "./icons.tsx";

const DEMO: Customer = { name: "Ada Lovelace", email: "ada@example.org", address: "12 St James's Square, London" };

const customer = new Store<Customer>("shop:customer", (stored) => ({ ...DEMO, ...(isRecord(stored) ? stored : {}) }));

const CARDS = [
  { number: "4242424242424242", label: "Card ending in 4242", note: "works" },
  { number: "4242424242424241", label: "Card ending in 4241", note: "has a wrong digit" },
  { number: "4000000000000002", label: "Card ending in 0002", note: "will be declined" },
] as const;

export function Checkout({ stock }: { stock: Stock }) {
  useTitle("Basket");
  const items = priced(useStore(basket));
  const short = shortagesOf(items, stock);
  if (items.length === 0) return <EmptyBasket />;
  return (
    <>
      <h1 class="page-title" tabIndex={-1}>
        Your basket
      </h1>
      <div class="columns columns-even">
        <section aria-label="What you buy">
          <ul class="lines">
            {items.map((item) => (
              <BasketLine key={item.sku} item={item} stock={stock} short={short.find(({ sku }) => sku === item.sku)} />
            ))}
          </ul>
          <p class="total">
            <span>Total</span>
            <strong>{money(totalCents(items))}</strong>
          </p>
          <p class="fine">If something sells out before we set it aside, we replace it or leave it out, and the price changes before your card is charged.</p>
        </section>
        <Form short={short} />
      </div>
    </>
  );
}

function EmptyBasket() {
  return (
    <section class="nothing">
      <h1 tabIndex={-1}>Your basket is empty</h1>
      <p>There is bread, coffee and honey on the shelves.</p>
      <a class="button" href="#/">
        To the shop <Icon name="arrow" />
      </a>
    </section>
  );
}

interface BasketLineProps {
  readonly item: PricedItem;
  readonly stock: Stock;
  readonly short: Shortage | undefined;
}

function BasketLine({ item, stock, short }: BasketLineProps) {
  const { sku, quantity, substitutes_ok, article } = item;
  return (
    <li class="line" data-short={short !== undefined}>
      <Art sku={sku} />
      <div class="line-words">
        <h2>{unbroken(article.name)}</h2>
        <p>
          {money(article.unit_price_cents)} each
          {short && <span class="short"> · {short.left === 0 ? "sold out" : `only ${short.left} left`}</span>}
        </p>
        {short && <Remedies short={short} by={substituteFor(basket.value, stock, sku)} />}
        {article.replacement && !short && (
          <label class="check">
            <input
              type="checkbox"
              checked={substitutes_ok}
              onChange={(event) => basket.set(withSubstitutes(basket.value, sku, event.currentTarget.checked))}
            />
            <span>If it sells out: {spoken(articleOf(article.replacement)?.name ?? "")}</span>
          </label>
        )}
      </div>
      <div class="line-end">
        <strong>{money(quantity * article.unit_price_cents)}</strong>
        <Stepper name={article.name} sku={sku} quantity={quantity} most={mostOf(stock, sku)} onChange={(next) => basket.set(withQuantity(basket.value, sku, next))} />
      </div>
    </li>
  );
}

/** What to do about a line that cannot be ordered as it is. */
function Remedies({ short: { sku, name, left }, by }: { short: Shortage; by: string | undefined }) {
  const instead = articleOf(by ?? "");
  return (
    <p class="remedies">
      {left > 0 && (
        <button class="quiet" type="button" onClick={() => basket.set(withQuantity(basket.value, sku, left))} data-testid="take-what-is-left">
          Take {left}
          <Hidden> of {name}</Hidden>
        </button>
      )}
      {instead && (
        <button class="quiet" type="button" onClick={() => basket.set(withSubstitute(basket.value, sku, instead.sku))} data-testid="take-substitute">
          {spoken(instead.name)} instead<Hidden> of {name}</Hidden>
        </button>
      )}
      <button class="quiet" type="button" onClick={() => basket.set(withQuantity(basket.value, sku, 0))} data-testid="take-out">
        Take it out<Hidden>: {name}</Hidden>
      </button>
    </p>
  );
}

function Form({ short }: { short: readonly Shortage[] }) {
  const why = useId();
  const { name, email, address } = useStore(customer);
  const [card, setCard] = useState<string>(CARDS[0].number);
  const place = (event: Event) => {
    event.preventDefault();
    if (short.length > 0) return document.querySelector<HTMLElement>(".remedies button")?.focus();
    const order = newOrder({ items: basket.value, customer: customer.value, card, event_id: uuid(), now_ms: Date.now() });
    keep(order, weirgate);
    void handIn(order, weirgate);
    basket.set([]);
    location.hash = orderPath(order.id);
  };
  const set = (change: Partial<Customer>) => customer.set({ ...customer.value, ...change });
  return (
    <form class="form" onSubmit={place}>
      <fieldset>
        <legend>Where to?</legend>
        <Field label="Name" autocomplete="name" value={name} onChange={(value) => set({ name: value })} />
        <Field label="E-mail" type="email" autocomplete="email" value={email} onChange={(value) => set({ email: value })} />
        <Field label="Address" autocomplete="street-address" value={address} onChange={(value) => set({ address: value })} />
      </fieldset>
      <fieldset>
        <legend>How will you pay?</legend>
        <div class="choices">
          {CARDS.map((choice) => (
            <label class="choice" key={choice.number}>
              <input
                type="radio"
                name="card"
                value={choice.number}
                checked={card === choice.number}
                onChange={() => setCard(choice.number)}
                data-testid="pay-with"
                data-card={choice.number}
              />
              <span>
                {choice.label} <small>{choice.note}</small>
              </span>
            </label>
          ))}
        </div>
      </fieldset>
      <div class="form-end">
        <p role="status" id={why} class={short.length > 0 ? "short" : "hidden"} data-testid="shortage">
          {short.length > 0 && `${shortageText(short)} Change the basket, and you can order.`}
        </p>
        <button class="button button-wide" type="submit" aria-disabled={short.length > 0} aria-describedby={why} data-testid="place-order">
          Place the order <Icon name="arrow" />
        </button>
      </div>
    </form>
  );
}

function shortageText(short: readonly Shortage[]): string {
  const names = (some: readonly Shortage[]) => listed(some.map(({ name }) => spoken(name)));
  const [out, few] = [short.filter(({ left }) => left === 0), short.filter(({ left }) => left > 0)];
  const said = [
    ...(out.length > 0 ? [`${names(out)} ${out.length === 1 ? "is" : "are"} sold out.`] : []),
    ...(few.length > 0 ? [`There is not enough left of ${names(few)}.`] : []),
  ];
  return said.join(" ");
}

interface FieldProps {
  readonly label: string;
  readonly value: string;
  readonly autocomplete: string;
  readonly type?: "email";
  readonly onChange: (value: string) => void;
}

function Field({ label, value, autocomplete, type, onChange }: FieldProps) {
  const input = {
    name: autocomplete,
    autocomplete,
    required: true,
    maxLength: 200,
    value,
    onInput: (event: { currentTarget: HTMLInputElement }) => onChange(event.currentTarget.value),
  };
  return (
    <label class="field">
      <span>{label}</span>
      {type === "email" ? <input type="email" {...input} /> : <input type="text" {...input} />}
    </label>
  );
}

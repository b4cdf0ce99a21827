// The catalogue: the shop's banner, one card per article with its live stock, and the basket beside it if there is room.

import { useState } from "preact/hooks";

import type { Stock } from "../live.ts";
import { useStore } from "../live.ts";
import { basket, priced, quantityOf, QUANTITY_MAX, totalCents, withQuantity } from "../model/basket.ts";
import { CATALOGUE, money, unbroken } from "../model/catalogue.ts";
import type { Article } from "../model/catalogue.ts";
import { useTitle } from "../route.ts";
import { Art } from "./art.tsx";
import { Hidden, Icon } from "./icons.tsx";
import { Scene } from "./scene.tsx";

/** Up to this many, the card shows how many are left. */
const FEW = 10;

export function Catalogue({ stock }: { stock: Stock }) {
  useTitle("Shop");
  const [news, setNews] = useState("");
  return (
    <>
      <section class="window">
        <div class="window-words">
          <p class="overline">Grocers at the old mill</p>
          <h1 tabIndex={-1}>Good things, sent down the river.</h1>
          <p>Bread, coffee and the rest of breakfast. Order, then watch it being picked, paid and packed, as it happens.</p>
        </div>
        <Scene />
      </section>
      <div class="columns">
        <section aria-labelledby="shelves">
          <h2 id="shelves">On the shelves</h2>
          <ul class="cards">
            {CATALOGUE.map((article) => (
              <Card key={article.sku} article={article} onHand={stock.get(article.sku)} onNews={setNews} />
            ))}
          </ul>
        </section>
        <Beside />
      </div>
      <p class="hidden" role="status">
        {news}
      </p>
    </>
  );
}

interface CardProps {
  readonly article: Article;
  readonly onHand: number | undefined;
  readonly onNews: (news: string) => void;
}

function Card({ article, onHand, onNews }: CardProps) {
  const { sku, name, unit_price_cents, note, shelf } = article;
  const quantity = quantityOf(useStore(basket), sku);
  const put = (next: number) => {
    basket.set(withQuantity(basket.value, sku, next));
    onNews(next < 1 ? `${name} taken out of the basket` : `${name}: ${next} in the basket`);
  };
  return (
    <li class="card" data-shelf={shelf} data-sku={sku}>
      <div class="card-art">
        <Art sku={sku} />
        <StockTag onHand={onHand} />
      </div>
      <div class="card-words">
        <h3>{unbroken(name)}</h3>
        <p>{note}</p>
      </div>
      <div class="card-end">
        <span class="price">{money(unit_price_cents)}</span>
        <Stepper name={name} sku={sku} quantity={quantity} onChange={put} />
      </div>
    </li>
  );
}

function StockTag({ onHand }: { onHand: number | undefined }) {
  if (onHand === undefined || onHand > FEW) return null;
  return (
    <span class="tag" data-kind={onHand === 0 ? "out" : "few"} key={onHand}>
      {onHand === 0 ? "Sold out" : `${onHand} left`}
    </span>
  );
}

interface StepperProps {
  readonly name: string;
  readonly sku: string;
  readonly quantity: number;
  readonly onChange: (quantity: number) => void;
}

/** The plus button is the same element whether or not the article is in the basket: it keeps the focus. */
export function Stepper({ name, sku, quantity, onChange }: StepperProps) {
  return (
    <div class="stepper" data-empty={quantity === 0}>
      {quantity > 0 && (
        <>
          <button type="button" onClick={() => onChange(quantity - 1)} data-testid="remove-from-cart" data-sku={sku}>
            <Icon name="minus" />
            <Hidden>One {name} less</Hidden>
          </button>
          <span class="stepper-number">
            {quantity}
            <Hidden> in the basket</Hidden>
          </span>
        </>
      )}
      <button
        key="plus"
        type="button"
        disabled={quantity >= QUANTITY_MAX}
        onClick={() => onChange(quantity + 1)}
        data-testid="add-to-cart"
        data-sku={sku}
      >
        <Icon name="plus" />
        {quantity === 0 ? (
          <span>
            Add<Hidden> {name}</Hidden>
          </span>
        ) : (
          <Hidden>One {name} more</Hidden>
        )}
      </button>
    </div>
  );
}

function Beside() {
  const items = priced(useStore(basket));
  return (
    <aside class="beside" aria-labelledby="beside">
      <h2 id="beside">Your basket</h2>
      {items.length === 0 ? (
        <p class="empty">Nothing in it yet. The sourdough is popular, so popular that it is usually replaced.</p>
      ) : (
        <>
          <ul class="beside-lines">
            {items.map(({ sku, quantity, article }) => (
              <li key={sku}>
                <span>
                  <b>{quantity}</b> {unbroken(article.name)}
                </span>
                <span>{money(quantity * article.unit_price_cents)}</span>
              </li>
            ))}
          </ul>
          <p class="beside-total">
            <span>Total</span>
            <strong>{money(totalCents(items))}</strong>
          </p>
          <a class="button" href="#/checkout">
            To the checkout <Icon name="arrow" />
          </a>
        </>
      )}
    </aside>
  );
}

// The catalogue: the shop's banner, one card per article with its live stock, and the basket beside it if there is room.

import { useState } from "preact/hooks";

import { useStore } from "../live.ts";
import { basket, priced, quantityOf, totalCents, withQuantity } from "../model/basket.ts";
import { articleOf, CATALOGUE, spoken, unbroken } from "../model/catalogue.ts";
import type { Article } from "../model/catalogue.ts";
import { money } from "../model/money.ts";
import { mostOf, substituteFor, withSubstitute } from "../model/stock.ts";
import type { Stock } from "../model/stock.ts";
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
              <Card key={article.sku} article={article} stock={stock} onNews={setNews} />
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
  readonly stock: Stock;
  readonly onNews: (news: string) => void;
}

function Card({ article, stock, onNews }: CardProps) {
  const { sku, name, unit_price_cents, note, shelf } = article;
  const items = useStore(basket);
  const [quantity, most] = [quantityOf(items, sku), mostOf(stock, sku)];
  const by = most === 0 ? articleOf(substituteFor(items, stock, sku) ?? "") : undefined;
  const put = (next: number) => {
    basket.set(withQuantity(basket.value, sku, next));
    onNews(next < 1 ? `${name} taken out of the basket` : `${name}: ${next} in the basket`);
  };
  const replace = ({ sku: other, name: instead }: Article) => {
    basket.set(withSubstitute(basket.value, sku, other));
    onNews(`${instead} put into the basket instead of ${name}`);
  };
  return (
    <li class="card" data-shelf={shelf} data-sku={sku} data-out={most === 0}>
      <div class="card-art">
        <Art sku={sku} />
        <StockTag onHand={stock.get(sku)} />
      </div>
      <div class="card-words">
        <h3>{unbroken(name)}</h3>
        <p>
          {by ? (
            <button class="link" type="button" onClick={() => replace(by)} data-testid="add-substitute" data-sku={by.sku}>
              {spoken(by.name)} instead<Hidden> of {name}</Hidden>
            </button>
          ) : (
            note
          )}
        </p>
      </div>
      <div class="card-end">
        <span class="price">{money(unit_price_cents)}</span>
        <Stepper name={name} sku={sku} quantity={quantity} most={most} onChange={put} />
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
  /** The most that can be ordered: 0 is sold out. */
  readonly most: number;
  readonly onChange: (quantity: number) => void;
}

/** The plus button is the same element whether or not the article is in the basket: it keeps the focus. */
export function Stepper({ name, sku, quantity, most, onChange }: StepperProps) {
  const isOut = most === 0 && quantity === 0;
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
        disabled={quantity >= most}
        onClick={() => onChange(quantity + 1)}
        data-testid="add-to-cart"
        data-sku={sku}
      >
        {!isOut && <Icon name="plus" />}
        {isOut ? (
          <span>
            Sold out<Hidden>: {name}</Hidden>
          </span>
        ) : quantity === 0 ? (
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
        <p class="empty">Nothing in it yet. The sourdough goes early; the rye bread keeps for a week.</p>
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

// The receipt of an order, which becomes its invoice, and the last mail about it.

import type { Part, Parts } from "@weirgate/client";

import { unbroken } from "../model/catalogue.ts";
import { money } from "../model/money.ts";
import { receiptOf } from "../model/receipt.ts";
import type { Row } from "../model/receipt.ts";
import { dataOf, invoiceOf, lastMailOf, textIn, wholeIn } from "../model/status.ts";
import type { Line } from "../model/status.ts";
import { Hidden, Icon } from "./icons.tsx";
import { Trouble } from "./timeline.tsx";

export function ReceiptCard({ parts, placed }: { parts: Parts; placed: readonly Line[] | undefined }) {
  const { rows, total_cents, ordered_total_cents } = receiptOf(parts, placed);
  const invoice = invoiceOf(parts);
  const reference = textIn(dataOf(parts["payment"]), "reference");
  return (
    <section class="receipt" aria-labelledby="receipt" data-testid="receipt">
      <header>
        <h2 id="receipt">{invoice ? "Invoice" : "Your order"}</h2>
        {invoice && <code data-testid="invoice-number">{invoice.number}</code>}
      </header>
      <ul>
        {rows.map((row, n) => (
          <ReceiptRow key={n} row={row} />
        ))}
      </ul>
      <dl>
        {invoice && (
          <>
            <Sum label="Net" cents={invoice.net_cents} />
            <Sum label={`VAT ${invoice.vat_percent} %`} cents={invoice.vat_cents} />
          </>
        )}
        <div class="receipt-total">
          <dt>Total</dt>
          <dd>
            {ordered_total_cents !== undefined && (
              <s>
                <Hidden>As ordered </Hidden>
                {money(ordered_total_cents)}
              </s>
            )}{" "}
            <strong data-testid="total">{money(invoice?.total_cents ?? total_cents)}</strong>
          </dd>
        </div>
      </dl>
      {reference && (
        <p class="fine">
          Payment <code>{reference}</code>
        </p>
      )}
    </section>
  );
}

function ReceiptRow({ row: { name, quantity, total_cents, fate, instead_of } }: { row: Row }) {
  return (
    <li data-fate={fate}>
      <b>{quantity}</b>
      <span>
        {fate === "unavailable" ? <s>{unbroken(name)}</s> : unbroken(name)}
        {fate === "unavailable" && <small>sold out</small>}
        {instead_of && <small>instead of {unbroken(instead_of)}</small>}
      </span>
      <span>{fate === "unavailable" ? <s>{money(total_cents)}</s> : money(total_cents)}</span>
    </li>
  );
}

function Sum({ label, cents }: { label: string; cents: number }) {
  return (
    <div>
      <dt>{label}</dt>
      <dd>{money(cents)}</dd>
    </div>
  );
}

export function MailCard({ part, parts }: { part: Part | undefined; parts: Parts }) {
  const mail = lastMailOf(parts);
  const count = wholeIn(dataOf(part), "count") ?? 0;
  return (
    <section class="mail" aria-labelledby="mail" data-testid="step-notification" data-state={part?.state ?? ""}>
      <header>
        <Icon name="mail" />
        <h2 id="mail">{count === 0 ? "Mails" : count === 1 ? "1 mail sent" : `${count} mails sent`}</h2>
      </header>
      {part?.delivery && <Trouble trouble={part.delivery} />}
      {mail ? (
        <div key={mail.kind}>
          <p class="fine">To {mail.to}</p>
          <p class="mail-subject">{mail.subject}</p>
          <p>{mail.text}</p>
        </div>
      ) : (
        <p class="fine">None so far.</p>
      )}
    </section>
  );
}

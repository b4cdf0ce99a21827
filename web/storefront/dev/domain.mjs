// A development tool: a small in-memory version of the order domain, so that the page can be developed without a server.
// Follows handlers/README.md in its statuses, with delays so that each step can be seen.

export const EPOCH = "0af7651916cd43dd8448eb211c80319c";
const REPLACED_BY = { sourdough: ["rye-bread", "Rye bread", 420] };

export class Domain {
  /** Duration of a step. */
  step_ms = 700;
  gateway = "up";
  inventoryPaused = false;
  #position = 0;
  #documents = new Map();
  #seen = new Map();
  #onHand = new Map([["sourdough", 0], ["fig-jam", 0], ["honey", 5]]);
  #queue = [];
  #waiting = new Map();
  #onChange;

  /** `onChange(subject)` is called after each change of a document. */
  constructor(onChange) {
    this.#onChange = onChange;
    for (const [sku, left] of this.#onHand) this.#count(sku, left);
  }

  /** As the runtime tells of its handlers. */
  deployed(name) {
    this.set(`weirgate/handlers/${name}`, "weirgate-deployment", { state: "deployed", text: "" });
  }

  document(subject) {
    return this.#documents.get(subject) ?? { version: 0, parts: {} };
  }

  accept(event) {
    const key = `${event.source}#${event.id}`;
    const duplicate = this.#seen.has(key);
    if (!duplicate) {
      this.#seen.set(key, ++this.#position);
      if (event.type === "order.placed") void this.#run(event.subject, event.data);
      if (event.type === "payment.details-corrected") this.#waiting.get(event.subject)?.(event.data.card);
    }
    return { id: event.id, source: event.source, key: event.subject, position: this.#seen.get(key), duplicate, status_url: `/v1/status/${event.subject}` };
  }

  set(subject, name, part) {
    const before = this.document(subject);
    const version = ++this.#position;
    const parts = { ...before.parts, [name]: { at_ms: Date.now(), ...part, version } };
    this.#documents.set(subject, { version, parts });
    this.#onChange(subject);
  }

  async #run(subject, placed) {
    const say = (name, state, text, data = {}, more = {}) => this.set(subject, name, { state, text, data, ...more });
    const pause = () => new Promise((resolve) => setTimeout(resolve, this.step_ms));
    let mails = 0;
    const mail = (kind, subjectLine, text) =>
      say("notification", "sent", subjectLine, { count: ++mails, last: { kind, to: placed.customer.email, subject: subjectLine, text } });

    await pause();
    const total_cents = sum(placed.lines);
    say("order", "accepted", `Order accepted, ${euro(total_cents)} in all`, { total_cents, lines: placed.lines });
    this.set(`${subject}/acceptance`, "order", this.document(subject).parts["order"]);
    mail("accepted", "We have your order", `Dear ${placed.customer.name}, thank you. We are looking for your things.`);
    await pause();
    await this.#change();
    say("inventory", "checking", "Checking the stock", { lines: placed.lines.length, answered: 0 });
    await pause();
    const reserved = this.#reserve(placed.lines);
    if (reserved.lines.length === 0) {
      say("inventory", "unavailable", "Nothing of it is in stock", { changes: reserved.changes });
      say("order", "cancelled", "Order cancelled: everything in it is sold out", { reason: "everything in it is sold out" });
      return;
    }
    const data = { ...reserved, total_cents: sum(reserved.lines), ordered_total_cents: total_cents };
    say("inventory", "reserved", `Reserved ${reserved.lines.length} of ${placed.lines.length} lines`, data);
    if (reserved.changes.length > 0) mail("changed", "Your order has changed", "We had to replace or leave out something.");
    await pause();
    const card = await this.#rightCard(subject, placed.card);
    const reference = await this.#charge(subject, card, data.total_cents);
    if (!reference) {
      say("payment", "declined", "The card was declined", { total_cents: data.total_cents, reason: "the card was declined" });
      await pause();
      say("order", "cancelled", "Cancelled: the card was declined", { reason: "the card was declined" });
      say("inventory", "released", "The stock was given back");
      mail("declined", "Your card was declined", "Nothing was charged and the order is cancelled.");
      return;
    }
    say("payment", "charged", `Paid ${euro(data.total_cents)}`, { total_cents: data.total_cents, reference });
    mail("charged", "Your payment has arrived", `We have received ${euro(data.total_cents)}. Thank you.`);
    await pause();
    const net_cents = Math.round(data.total_cents / 1.2);
    const number = `INV-${String(this.#position).padStart(6, "0")}`;
    const sums = { total_cents: data.total_cents, net_cents, vat_cents: data.total_cents - net_cents, vat_percent: 20 };
    say("invoice", "issued", `Invoice ${number}`, { number, lines: reserved.lines, reference, ...sums });
    const parcel = `WG-${String(this.#position).padStart(6, "0")}`;
    for (const [state, text] of [["packed", "Packed into a box"], ["dispatched", "On its way to you"], ["delivered", "Handed over at the door"]]) {
      await pause();
      say("delivery", state, text, { parcel });
      if (state !== "packed") mail(state, state === "dispatched" ? "Your parcel is on its way" : "Your parcel has arrived", `Parcel ${parcel}.`);
    }
    say("order", "completed", "Completed");
  }

  /** Waits until the inventory works, in turn. */
  async #change() {
    if (!this.inventoryPaused) return;
    await new Promise((resolve) => this.#queue.push(resolve));
  }

  pauseInventory() {
    this.inventoryPaused = true;
    this.set("weirgate/handlers/inventory", "weirgate-handler", { state: "paused", text: "" });
  }

  resumeInventory() {
    this.inventoryPaused = false;
    this.set("weirgate/handlers/inventory", "weirgate-handler", { state: "running", text: "" });
    for (const go of this.#queue.splice(0)) go();
  }

  #reserve(placed) {
    const lines = [];
    const changes = [];
    placed.forEach(({ sku, name, quantity, unit_price_cents, substitutes_ok }, line) => {
      const substitute = substitutes_ok ? REPLACED_BY[sku] : undefined;
      if (this.#take(sku, quantity)) lines.push({ sku, name, quantity, unit_price_cents });
      else if (substitute) {
        const by = { sku: substitute[0], name: substitute[1], unit_price_cents: substitute[2] };
        lines.push({ ...by, quantity });
        changes.push({ kind: "substituted", line, sku, name, quantity, unit_price_cents, by });
      } else changes.push({ kind: "unavailable", line, sku, name, quantity, unit_price_cents });
    });
    return { lines, changes };
  }

  #take(sku, quantity) {
    const onHand = this.#onHand.get(sku) ?? 1_000_000;
    const left = onHand >= quantity ? onHand - quantity : onHand;
    this.#count(sku, left);
    return onHand >= quantity;
  }

  #count(sku, left) {
    this.#onHand.set(sku, left);
    this.set(`sku/${sku}`, "inventory", { state: left > 0 ? "in-stock" : "sold-out", text: `${left} on hand`, data: { on_hand: left } });
  }

  /** A valid number: `card`, or the customer's correction. */
  async #rightCard(subject, card) {
    for (let wrong = wrongOf(card); wrong; wrong = wrongOf(card)) {
      const what_is_wrong = `${wrong}; a payment.details-corrected with the right \`card\` lets the payment continue`;
      const delivery = { state: "awaiting-correction", event: 7, attempt: 1, message: "the payment details are wrong", what_is_wrong };
      this.set(subject, "payment", { state: "", text: "", delivery });
      card = await new Promise((resolve) => this.#waiting.set(subject, resolve));
      await new Promise((resolve) => setTimeout(resolve, this.step_ms));
      this.set(subject, "payment", { state: "", text: "" });
      await new Promise((resolve) => setTimeout(resolve, this.step_ms));
    }
    return card;
  }

  /** The payment's reference; undefined when the card is declined. Retries while the gateway is down. */
  async #charge(subject, card, total_cents) {
    for (let attempt = 1; this.gateway !== "up"; attempt += 1) {
      const delay_ms = attempt >= this.deadAfter ? 0 : Math.min(30_000, 1000 * 2 ** attempt);
      const message = "the payment gateway does not answer";
      if (delay_ms === 0) {
        this.set(subject, "payment", { state: "", text: "", delivery: { state: "dead-lettered", event: 7, attempt, message } });
        await new Promise(() => {});
      }
      const next_attempt_at_ms = Date.now() + delay_ms;
      this.set(subject, "payment", { state: "", text: "", delivery: { state: "retrying", event: 7, attempt, next_attempt_at_ms, message } });
      await new Promise((resolve) => setTimeout(resolve, delay_ms));
    }
    return card === "4000000000000002" || total_cents === 0 ? undefined : `pay-payment@${this.#position}`;
  }

  /** After this many attempts a charge is a dead letter. */
  deadAfter = 16;
}

function wrongOf(card) {
  const digits = card.replace(/\s/g, "");
  if (!/^\d{16}$/.test(digits)) return "the card number is not 16 digits";
  const weighed = [...digits].map((digit, n) => digit * (2 - (n % 2))).map((digit) => (digit > 9 ? digit - 9 : digit));
  return weighed.reduce((sum, digit) => sum + digit) % 10 === 0 ? undefined : "the card number has a digit that is wrong";
}

function sum(lines) {
  return lines.reduce((total, { quantity, unit_price_cents }) => total + quantity * unit_price_cents, 0);
}

const EURO = new Intl.NumberFormat("en-IE", { style: "currency", currency: "EUR" });

/** As the handlers write it. */
function euro(cents) {
  return EURO.format(cents / 100);
}

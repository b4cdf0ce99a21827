// A payment whose details are wrong, and the customer's better ones. Which card is good the server says, in the order's
// status; here only what cannot be a card number at all is held back.

import type { CloudEvent, PartDelivery, Parts, PublishOptions } from "@weirgate/client";

import type { Publisher } from "./orders.ts";
import { hasFailed } from "./steps.ts";

/** A refusal that waits for the customer. */
export interface WrongDetails {
  /** Of the part that says so: another version is another refusal, whatever it says. */
  readonly version: number;
  readonly reason: string;
}

/** What the customer can put right; nothing of an order that has come to nothing meanwhile. */
export function wrongDetailsOf(parts: Parts): WrongDetails | undefined {
  const payment = parts["payment"];
  const trouble = payment?.delivery;
  if (!payment || trouble?.state !== "awaiting-correction" || hasFailed(parts)) return undefined;
  return { version: payment.version, reason: reasonOf(trouble) };
}

/** The payment handler goes on to say which event helps, which means nothing to a customer. */
export function reasonOf({ what_is_wrong, message }: Extract<PartDelivery, { state: "awaiting-correction" }>): string {
  return what_is_wrong.split("; a payment.details-corrected")[0] || message;
}

/** `text` without what people put between the digits. */
export function digitsOf(text: string): string {
  return text.replace(/[\s-]/g, "");
}

/** Why `text` cannot be a card number (ISO/IEC 7812-1); undefined when it may be one. */
export function problemOf(text: string): string | undefined {
  return /^\d{12,19}$/.test(digitsOf(text)) ? undefined : "A card number has 12 to 19 digits.";
}

/** What the customer has answered to a refusal. */
export interface Answer {
  readonly event_id: string;
  /** The refusal's. */
  readonly version: number;
  /** As it was typed. */
  readonly card: string;
  readonly state: "sending" | "sent" | "failed";
  /** Why it is not through: so far, or at all. */
  readonly problem?: string;
}

/** How the form stands: an answer counts until the payment was tried with it, which only the status can say. */
export function formOf(answer: Answer | undefined, { version }: WrongDetails): Answer["state"] | "empty" | "refused" {
  if (!answer) return "empty";
  if (answer.version === version) return answer.state;
  return answer.state === "failed" ? "empty" : "refused";
}

export interface Correction {
  readonly order: string;
  readonly card: string;
  /** One for each number that is sent, however often the network fails. */
  readonly event_id: string;
}

/** Hands the number in, for as long as it takes; rejects when the server does not take it. */
export async function correct({ order, card, event_id }: Correction, publisher: Pick<Publisher, "publish">, options: PublishOptions = {}): Promise<void> {
  const event: CloudEvent = { id: event_id, source: "/shop", type: "payment.details-corrected", subject: `order/${order}` };
  await publisher.publish({ ...event, data: { order, card: digitsOf(card) } }, { attempts_max: Infinity, ...options });
}

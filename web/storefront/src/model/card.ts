// A payment with wrong details, and the customer's correction. The server decides, in the order's status, whether a card is
// valid; only text that cannot be a card number at all is rejected here.

import type { CloudEvent, PartDelivery, Parts, PublishOptions } from "@weirgate/client";

import type { Publisher } from "./orders.ts";
import { hasFailed } from "./steps.ts";

/** A refusal that waits for the customer. */
export interface WrongDetails {
  /** The version of its status part: another version is another refusal, even with the same text. */
  readonly version: number;
  readonly reason: string;
}

/** The refusal that the customer can correct; undefined if the order has failed meanwhile. */
export function wrongDetailsOf(parts: Parts): WrongDetails | undefined {
  const payment = parts["payment"];
  const trouble = payment?.delivery;
  if (!payment || trouble?.state !== "awaiting-correction" || hasFailed(parts)) return undefined;
  return { version: payment.version, reason: reasonOf(trouble) };
}

/** The rest of the payment handler's text names the correcting event, which is of no use to a customer. */
export function reasonOf({ what_is_wrong, message }: Extract<PartDelivery, { state: "awaiting-correction" }>): string {
  return what_is_wrong.split("; a payment.details-corrected")[0] || message;
}

/** `text` without separators between the digits. */
export function digitsOf(text: string): string {
  return text.replace(/[\s-]/g, "");
}

/** Why `text` cannot be a card number (ISO/IEC 7812-1); undefined when it may be one. */
export function problemOf(text: string): string | undefined {
  return /^\d{12,19}$/.test(digitsOf(text)) ? undefined : "A card number has 12 to 19 digits.";
}

/** The customer's answer to a refusal. */
export interface Answer {
  readonly event_id: string;
  /** The refusal's. */
  readonly version: number;
  /** As typed. */
  readonly card: string;
  readonly state: "sending" | "sent" | "failed";
  /** Why it is not accepted, yet or at all. */
  readonly problem?: string;
}

/** The state of the form: an answer counts until the payment was tried with it, which only the status shows. */
export function formOf(answer: Answer | undefined, { version }: WrongDetails): Answer["state"] | "empty" | "refused" {
  if (!answer) return "empty";
  if (answer.version === version) return answer.state;
  return answer.state === "failed" ? "empty" : "refused";
}

export interface Correction {
  readonly order: string;
  readonly card: string;
  /** One per sent number, however often the network fails. */
  readonly event_id: string;
}

/** Submits the number, retrying until it is accepted; rejects if the server refuses it. */
export async function correct({ order, card, event_id }: Correction, publisher: Pick<Publisher, "publish">, options: PublishOptions = {}): Promise<void> {
  const event: CloudEvent = { id: event_id, source: "/shop", type: "payment.details-corrected", subject: `order/${order}` };
  await publisher.publish({ ...event, data: { order, card: digitsOf(card) } }, { attempts_max: Infinity, ...options });
}

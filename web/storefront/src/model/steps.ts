// The state of an order, from the parts of its status: a mood for each step, and one headline. Pure, so the same document
// always gives the same page.

import type { Part, PartDelivery, Parts } from "@weirgate/client";

import { money } from "./catalogue.ts";
import { dataOf, numberIn, textIn } from "./status.ts";

export const STEP_NAMES = ["order", "inventory", "payment", "invoice", "delivery"] as const;
export type StepName = (typeof STEP_NAMES)[number];

/**
 * `waiting`: others come first. `working`: it is this step's turn. `retrying`, `stuck`: its delivery is in trouble, for
 * now or for good. `failed`: it said no. `skipped`: it will not happen.
 */
export type Mood = "waiting" | "working" | "done" | "retrying" | "stuck" | "failed" | "skipped";

export interface Step {
  readonly name: StepName;
  readonly title: string;
  readonly text: string;
  readonly mood: Mood;
  /** The part's state; "" if it has none. */
  readonly state: string;
  readonly part: Part | undefined;
  /** The time of the state in `text`; undefined if it is no longer known. */
  readonly at: Moment | undefined;
  readonly trouble: PartDelivery | undefined;
}

export type Moment = Pick<Part, "version" | "at_ms">;

/** The text when the order was accepted. At the order's end the same part has another text. */
export type Acceptance = Moment & Pick<Part, "text">;

interface Words {
  readonly title: string;
  /** States that let the next step begin. */
  readonly done: readonly string[];
  readonly failed: readonly string[];
  readonly working: string;
}

const WORDS: Record<StepName, Words> = {
  order: { title: "Order accepted", done: ["accepted", "completed", "cancelled", "payment-overdue"], failed: ["rejected"], working: "Being checked" },
  inventory: { title: "Items reserved", done: ["reserved", "released"], failed: ["unavailable"], working: "Looking on the shelves" },
  payment: { title: "Payment", done: ["charged"], failed: ["declined", "refunded"], working: "Asking your bank" },
  invoice: { title: "Invoice", done: ["issued"], failed: [], working: "Being written" },
  delivery: { title: "Delivery", done: ["delivered"], failed: [], working: "Finding a box" },
};

export const DELIVERY_STATES = ["packed", "dispatched", "delivered"] as const;

/** Whether the order has failed: no further step will be made. */
export function hasFailed(parts: Parts): boolean {
  const says = (name: StepName, ...states: string[]) => states.includes(parts[name]?.state ?? "");
  return says("order", "rejected", ...CALLED_OFF) || says("inventory", "unavailable", "released") || says("payment", "declined", "refunded");
}

/** The order handler's states of an accepted order that is not delivered. */
const CALLED_OFF: readonly string[] = ["cancelled", "payment-overdue"];

/** Whether a part with that name and state shows the whole order's end, not its acceptance. */
function isLastWord(name: StepName, state: string): boolean {
  return name === "order" && (state === "completed" || CALLED_OFF.includes(state));
}

/** The acceptance, while the status shows it. */
export function acceptanceOf(parts: Parts): Acceptance | undefined {
  const part = parts["order"];
  return part?.state === "accepted" ? { version: part.version, at_ms: part.at_ms, text: part.text } : undefined;
}

export interface Known {
  /** The server has the order; before that, no step begins. */
  readonly isSent?: boolean;
  /** As stored in this browser. */
  readonly accepted?: Acceptance | undefined;
}

export function stepsOf(parts: Parts, { isSent = true, accepted }: Known = {}): Step[] {
  const failed = hasFailed(parts);
  let open = !isSent;
  return STEP_NAMES.map((name) => {
    const part = parts[name];
    const mood = moodOf(name, part, { open, failed });
    open ||= mood !== "done";
    const state = part?.state ?? "";
    const at = isLastWord(name, state) ? accepted : part;
    const text = isLastWord(name, state) ? (accepted?.text ?? acceptedText(parts)) : textOf(name, part, mood);
    return { name, title: WORDS[name].title, text, mood, state, part, at, trouble: part?.delivery };
  });
}

function moodOf(name: StepName, part: Part | undefined, { open, failed }: { open: boolean; failed: boolean }): Mood {
  const state = part?.state ?? "";
  if (part?.delivery) return part.delivery.state === "retrying" ? "retrying" : "stuck";
  if (WORDS[name].failed.includes(state)) return "failed";
  if (WORDS[name].done.includes(state)) return "done";
  if (failed) return "skipped";
  return state === "" && open ? "waiting" : "working";
}

function textOf(name: StepName, part: Part | undefined, mood: Mood): string {
  if (part?.text) return part.text;
  if (mood === "working") return WORDS[name].working;
  return mood === "skipped" ? "Will not happen" : "";
}

/** For an order whose acceptance this browser has not seen: what the other parts still show of it. */
function acceptedText(parts: Parts): string {
  const total_cents = numberIn(dataOf(parts["inventory"]), "ordered_total_cents");
  return total_cents === undefined ? "Order accepted" : `Order accepted, ${money(total_cents)} in all`;
}

/** The whole order in one word, for the page and for tests. */
export type OrderState =
  | "placed" | "accepted" | "checking" | "reserved" | "paid" | "invoiced"
  | "packed" | "dispatched" | "delivered" | "rejected" | "cancelled";

export interface Headline {
  readonly state: OrderState;
  readonly title: string;
  readonly text: string;
  /** Of 7. */
  readonly progress: number;
}

export const PROGRESS_MAX = 7;

const NOTHING_CHARGED = "Nothing was charged.";
const PAID_BACK = "What was charged is on its way back to you.";

const HEADLINES: Record<OrderState, Omit<Headline, "state">> = {
  placed: { title: "Order received", text: "It is saved. Next, it is checked.", progress: 0 },
  accepted: { title: "Order accepted", text: "We are about to look for your things.", progress: 1 },
  checking: { title: "On the shelves", text: "We are collecting your things.", progress: 1 },
  reserved: { title: "All set aside", text: "Next is the payment.", progress: 2 },
  paid: { title: "Paid, thank you", text: "The invoice comes next.", progress: 3 },
  invoiced: { title: "Paid, thank you", text: "Your things go into a box.", progress: 4 },
  packed: { title: "Packed", text: "The box waits for the van.", progress: 5 },
  dispatched: { title: "On its way", text: "Next stop: your door.", progress: 6 },
  delivered: { title: "Delivered", text: "Enjoy. It was a pleasure.", progress: 7 },
  rejected: { title: "We cannot take this order", text: "Nothing was charged.", progress: 0 },
  cancelled: { title: "Order cancelled", text: NOTHING_CHARGED, progress: 0 },
};

const RETRYING = "Something does not work right now. We keep trying; there is nothing you need to do.";
const WRONG_DETAILS = "Please check your payment details. Then we continue.";
const STUCK = "Something did not work, and we stopped retrying. Our support has to look at it.";

export function headlineOf(parts: Parts): Headline {
  const state = stateOf(parts);
  const headline = { state, ...HEADLINES[state] };
  if (state === "delivered" || state === "rejected") return headline;
  if (state === "cancelled") return { ...headline, text: reasonOf(parts) + moneyOf(parts) };
  const trouble = troubleOf(parts);
  if (parts["payment"]?.delivery?.state === "awaiting-correction") return { ...headline, title: "Waiting for you", text: WRONG_DETAILS };
  if (trouble === "stuck") return { ...headline, title: "Stopped for now", text: STUCK };
  return trouble === "retrying" ? { ...headline, text: RETRYING } : headline;
}

/** A late payment is refunded; until then, it counts as charged. */
function moneyOf(parts: Parts): string {
  return ["charged", "refunded"].includes(parts["payment"]?.state ?? "") ? PAID_BACK : NOTHING_CHARGED;
}

function reasonOf(parts: Parts): string {
  const reason = textIn(dataOf(parts["order"]), "reason") ?? textIn(dataOf(parts["payment"]), "reason");
  return reason ? `Because ${reason}. ` : "";
}

function stateOf(parts: Parts): OrderState {
  const said = (name: StepName) => parts[name]?.state ?? "";
  if (said("order") === "rejected") return "rejected";
  if (hasFailed(parts)) return "cancelled";
  const delivery = DELIVERY_STATES.find((state) => state === said("delivery"));
  if (said("order") === "completed") return "delivered";
  if (delivery) return delivery;
  if (said("invoice") === "issued") return "invoiced";
  if (said("payment") === "charged") return "paid";
  if (said("inventory") === "reserved") return "reserved";
  if (said("inventory") === "checking") return "checking";
  return said("order") === "accepted" ? "accepted" : "placed";
}

/** The worst problem of the order's steps, if any. A mail that is not sent delays no order. */
export function troubleOf(parts: Parts): "retrying" | "stuck" | undefined {
  const moods = STEP_NAMES.map((name) => parts[name]?.delivery?.state);
  if (moods.includes("dead-lettered") || moods.includes("awaiting-correction")) return "stuck";
  return moods.includes("retrying") ? "retrying" : undefined;
}

/** How far the shelves have been searched, while they are. */
export function searchOf(part: Part | undefined): string | undefined {
  if (part?.state !== "checking") return undefined;
  const data = dataOf(part);
  const [answered, lines] = [numberIn(data, "answered"), numberIn(data, "lines")];
  return answered === undefined || lines === undefined ? undefined : `${answered} of ${lines}`;
}

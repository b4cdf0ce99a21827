// The whole order in one headline, from the parts of its status and the state of the services behind it.

import type { Parts } from "@weirgate/client";

import { listed, spoken } from "./catalogue.ts";
import type { Services } from "./services.ts";
import { changesIn, dataOf, textIn } from "./status.ts";
import type { Change } from "./status.ts";
import { DELIVERY_STATES, hasFailed, isDone, pausedAt, troubleOf } from "./steps.ts";
import type { StepName } from "./steps.ts";

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
  cancelled: { title: "Order cancelled", text: "Nothing was charged.", progress: 0 },
};

type Words = Pick<Headline, "title" | "text">;
type Titles = Readonly<Record<StepName, string>>;

/** While a step is retried, the headline is about that step, not about the last one that worked. */
const RETRYING: Titles = {
  order: "Your order waits to be checked",
  inventory: "Collecting takes longer",
  payment: "Your payment takes longer",
  invoice: "The invoice takes longer",
  delivery: "The delivery takes longer",
};

const STOPPED: Titles = {
  order: "Your order could not be checked",
  inventory: "Your things could not be collected",
  payment: "Your payment did not go through",
  invoice: "The invoice could not be written",
  delivery: "The delivery has stopped",
};

/** The same once a step is done: what is retried, or has failed, is a change to it. */
const CHANGE_RETRYING: Titles = {
  order: "Updating your order takes longer",
  inventory: "Putting things back takes longer",
  payment: "A change to your payment takes longer",
  invoice: "A change to the invoice takes longer",
  delivery: "The delivery takes longer",
};

const CHANGE_STOPPED: Titles = {
  order: "Your order could not be updated",
  inventory: "Your things could not be put back",
  payment: "A change to your payment did not go through",
  invoice: "The invoice could not be changed",
  delivery: "The delivery has stopped",
};

const TRYING = "Something does not work right now. We keep trying; there is nothing you need to do.";
const WRONG_DETAILS: Words = { title: "Waiting for you", text: "Please check your payment details. Then we continue." };
const GIVEN_UP = "We have stopped trying. Our support has to look at it; nothing of your order is lost.";
const PAUSED = "We pause here for the moment. Your order keeps its place.";

export function headlineOf(parts: Parts, services: Services = {}): Headline {
  const state = stateOf(parts);
  return { state, ...HEADLINES[state], ...wordsOf(parts, state, services) };
}

/** Whether nothing more will happen: delivered, rejected or cancelled. */
export function isOver(parts: Parts): boolean {
  return ["delivered", "rejected", "cancelled"].includes(stateOf(parts));
}

function wordsOf(parts: Parts, state: OrderState, services: Services): Partial<Words> {
  if (state === "delivered" || state === "rejected") return {};
  if (state === "cancelled") return cancelled(parts);
  const trouble = troubleOf(parts, services);
  if (parts["payment"]?.delivery?.state === "awaiting-correction") return WRONG_DETAILS;
  if (trouble) return wordsOfTrouble(trouble.kind, trouble.step, isDone(parts, trouble.step));
  if (pausedAt(parts, services)) return { text: PAUSED };
  return state === "reserved" ? setAside(changesIn(dataOf(parts["inventory"]))) : {};
}

function wordsOfTrouble(kind: "retrying" | "stuck", step: StepName, isChange: boolean): Words {
  if (kind === "retrying") return { title: (isChange ? CHANGE_RETRYING : RETRYING)[step], text: TRYING };
  return { title: (isChange ? CHANGE_STOPPED : STOPPED)[step], text: GIVEN_UP };
}

/** What is set aside, if it is not what was ordered. */
function setAside(changes: readonly Change[]): Partial<Words> {
  if (changes.length === 0) return {};
  const missing = changes.filter(({ by }) => !by).map(({ name }) => spoken(name));
  const replaced = changes.flatMap(({ name, by }) => (by ? [`${spoken(by.name)} for ${lowered(spoken(name))}`] : []));
  const news = [
    ...(missing.length > 0 ? [`${soldOut(missing)} meanwhile.`] : []),
    ...(replaced.length > 0 ? [`We put in ${listed(replaced.map(lowered))}.`] : []),
  ];
  return { title: changes.length === 1 ? "Set aside, with a change" : "Set aside, with changes", text: `${news.join(" ")} Next is the payment.` };
}

function cancelled(parts: Parts): Partial<Words> {
  const { inventory } = parts;
  if (inventory?.state === "unavailable") {
    const names = changesIn(dataOf(inventory)).map(({ name }) => spoken(name));
    const text = names.length > 0 ? `${soldOut(names)} before we could set anything aside. ` : "";
    return { title: "Sold out meanwhile", text: text + moneyOf(parts) };
  }
  const reason = textIn(dataOf(parts["order"]), "reason") ?? textIn(dataOf(parts["payment"]), "reason");
  if (parts["payment"]?.state !== "declined") return { text: (reason ? `Because ${reason}. ` : "") + moneyOf(parts) };
  const more = reason && reason !== DECLINED ? `The bank says: ${reason}. ` : "";
  return { title: "Your card was declined", text: `${more}The order is cancelled. ${moneyOf(parts)}` };
}

/** The simulated bank's reason, which the title says already. */
const DECLINED = "the card was declined";

function soldOut(names: readonly string[]): string {
  const said = listed([...new Set(names)].map((name, n) => (n === 0 ? name : lowered(name))));
  return `${said} ${new Set(names).size === 1 ? "has" : "have"} sold out`;
}

function lowered(name: string): string {
  return name.charAt(0).toLowerCase() + name.slice(1);
}

/** A late payment is refunded; until then, it counts as charged. */
function moneyOf(parts: Parts): string {
  const state = parts["payment"]?.state;
  if (state === "refunded") return "What was charged has been paid back.";
  return state === "charged" ? "What was charged is on its way back to you." : HEADLINES.cancelled.text;
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

/** Whether the order waits at that step, because of trouble there or a service that is paused. */
export function waitsAt(parts: Parts, services: Services, step: StepName): boolean {
  return !isOver(parts) && (troubleOf(parts, services)?.step === step || pausedAt(parts, services) === step);
}

// The steps of an order, from the parts of its status: a mood for each, and its text. Pure, so the same document always gives
// the same page.

import type { Part, PartDelivery, Parts } from "@weirgate/client";

import { money } from "./money.ts";
import { holdOf } from "./services.ts";
import type { Service, Services } from "./services.ts";
import { dataOf, linesIn, wholeIn } from "./status.ts";

export const STEP_NAMES = ["order", "inventory", "payment", "invoice", "delivery"] as const;
export type StepName = (typeof STEP_NAMES)[number];

/**
 * `waiting`: others come first. `working`: it is this step's turn. `retrying`, `stuck`: its delivery is in trouble, for
 * now or for good. `failed`: it said no. `skipped`: it will not happen. `undoing`, `undone`: the order has failed, and what this
 * step did is taken back.
 */
export type Mood = "waiting" | "working" | "done" | "retrying" | "stuck" | "failed" | "skipped" | "undoing" | "undone";

export interface Step {
  readonly name: StepName;
  readonly title: string;
  readonly text: string;
  readonly mood: Mood;
  /** The part's state; "" if it has none. */
  readonly state: string;
  readonly part: Part | undefined;
  /** The time of the state in `text`; undefined if it is not known. */
  readonly at: Moment | undefined;
  readonly trouble: PartDelivery | undefined;
}

export type Moment = Pick<Part, "version" | "at_ms">;

interface Words {
  readonly title: string;
  /** States that let the next step begin. */
  readonly done: readonly string[];
  readonly failed: readonly string[];
  /** States of a step that was taken back. */
  readonly undone: readonly string[];
  readonly working: string;
  /** While a step that was done is taken back; undefined if that never happens. */
  readonly undoing?: string;
  /** While its service works, but what it calls does not. */
  readonly held: string;
}

const WORDS: Record<StepName, Words> = {
  order: {
    title: "Order accepted",
    done: ["accepted", "completed"],
    failed: ["rejected"],
    undone: ["cancelled", "payment-overdue"],
    working: "Being checked",
    undoing: "Being cancelled",
    held: "Orders are not checked right now",
  },
  inventory: {
    title: "Items reserved",
    done: ["reserved"],
    failed: ["unavailable"],
    undone: ["released"],
    working: "Looking on the shelves",
    undoing: "Going back on the shelves",
    held: "The stockroom does not answer right now",
  },
  payment: {
    title: "Payment",
    done: ["charged"],
    failed: ["declined"],
    undone: ["refunded"],
    working: "Asking your bank",
    undoing: "Being paid back",
    held: "The bank does not answer right now",
  },
  invoice: { title: "Invoice", done: ["issued"], failed: [], undone: [], working: "Being written", held: "No invoices are written right now" },
  delivery: { title: "Delivery", done: ["delivered"], failed: [], undone: [], working: "Finding a box", held: "Nothing is packed right now" },
};

export const DELIVERY_STATES = ["packed", "dispatched", "delivered"] as const;

/** Whether the order has failed: no further step will be made. */
export function hasFailed(parts: Parts): boolean {
  return STEP_NAMES.some((name) => {
    const state = parts[name]?.state ?? "";
    return WORDS[name].failed.includes(state) || WORDS[name].undone.includes(state);
  });
}

/** Whether a step has done what it is there for: what fails there now is a change, such as a cancellation. */
export function isDone(parts: Parts, name: StepName): boolean {
  return WORDS[name].done.includes(parts[name]?.state ?? "");
}

export interface Known {
  /** The server has the order; before that, no step begins. */
  readonly isSent?: boolean;
  /** The order's part when it was accepted, which its end replaces: the status of `order/<id>/acceptance`. */
  readonly acceptance?: Part | undefined;
  readonly services?: Services;
}

export function stepsOf(parts: Parts, { isSent = true, acceptance, services = {} }: Known = {}): Step[] {
  const failed = hasFailed(parts);
  let open = !isSent;
  return STEP_NAMES.map((name) => {
    const part = parts[name];
    const hold = !open && !failed ? holdOf(services[name]) : undefined;
    const mood = moodOf(name, part, { open, failed, hold });
    open ||= mood !== "done";
    const state = part?.state ?? "";
    // The first step shows the acceptance, whatever became of the order.
    const shown = name === "order" ? acceptanceOf(part, acceptance) : part;
    const text = name === "order" && isAccepted(state) ? acceptedText(parts, shown) : textOf(name, part, { mood, hold });
    return { name, title: WORDS[name].title, text, mood, state, part, at: shown, trouble: part?.delivery };
  });
}

interface Turn {
  /** An earlier step is not done. */
  readonly open: boolean;
  readonly failed: boolean;
  readonly hold: ReturnType<typeof holdOf>;
}

function moodOf(name: StepName, part: Part | undefined, { open, failed, hold }: Turn): Mood {
  const [words, state] = [WORDS[name], part?.state ?? ""];
  if (part?.delivery) return part.delivery.state === "retrying" ? "retrying" : "stuck";
  if (words.failed.includes(state)) return "failed";
  if (words.undone.includes(state)) return "undone";
  if (words.done.includes(state)) return failed && words.undoing ? "undoing" : "done";
  if (failed) return "skipped";
  if (state === "" && open) return "waiting";
  return hold === "breaker" ? "retrying" : "working";
}

function textOf(name: StepName, part: Part | undefined, { mood, hold }: { mood: Mood; hold: Turn["hold"] }): string {
  const words = WORDS[name];
  if (mood === "undoing") return words.undoing ?? "";
  if (hold === "paused" && mood === "working") return "Paused for the moment; your order keeps its place";
  if (hold === "breaker" && mood === "retrying" && !part?.delivery) return words.held;
  if (part?.text) return part.text;
  if (mood === "working") return words.working;
  return mood === "skipped" ? "Will not happen" : "";
}

/** An order that was accepted, even if it was cancelled since. */
function isAccepted(state: string): boolean {
  return WORDS.order.done.includes(state) || WORDS.order.undone.includes(state);
}

/** The part that shows the acceptance, or that there is none; undefined if the order's end has replaced it and it is not known. */
function acceptanceOf(part: Part | undefined, acceptance: Part | undefined): Part | undefined {
  if (!isAccepted(part?.state ?? "")) return part;
  return acceptance ?? (part?.state === "accepted" ? part : undefined);
}

function acceptedText(parts: Parts, acceptance: Part | undefined): string {
  const data = dataOf(acceptance);
  const total_cents = wholeIn(data, "total_cents") ?? wholeIn(dataOf(parts["inventory"]), "ordered_total_cents");
  const pieces = linesIn(data)?.reduce((sum, { quantity }) => sum + quantity, 0);
  const amount = total_cents === undefined ? undefined : `${money(total_cents)} in all`;
  const count = pieces === undefined ? undefined : pieces === 1 ? "1 item" : `${pieces} items`;
  return [count, amount].filter((said) => said !== undefined).join(", ");
}

/** The worst problem of the order's steps, if any, and the first step that has it. A mail that is not sent delays no order. */
export function troubleOf(parts: Parts, services: Services = {}): { readonly kind: "retrying" | "stuck"; readonly step: StepName } | undefined {
  const steps = stepsOf(parts, { services });
  const worst = steps.find(({ mood }) => mood === "stuck") ?? steps.find(({ mood }) => mood === "retrying");
  return worst && { kind: worst.mood === "stuck" ? "stuck" : "retrying", step: worst.name };
}

/** The step whose turn it is, if its service is paused. */
export function pausedAt(parts: Parts, services: Services): StepName | undefined {
  const turn = stepsOf(parts, { services }).find(({ mood }) => mood === "working");
  const service: Service | undefined = turn && services[turn.name];
  return turn && holdOf(service) === "paused" ? turn.name : undefined;
}

/** How far the shelves have been searched, while they are. */
export function searchOf(part: Part | undefined): string | undefined {
  if (part?.state !== "checking") return undefined;
  const data = dataOf(part);
  const [answered, lines] = [wholeIn(data, "answered"), wholeIn(data, "lines")];
  return answered === undefined || lines === undefined ? undefined : `${answered} of ${lines}`;
}

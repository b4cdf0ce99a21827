// The parts of an order's status as the handlers write them (handlers/README.md), parsed defensively: a value of an
// unexpected shape is left out, so that one odd part does not break the page.

import type { Part, Parts } from "@weirgate/client";

import { isRecord } from "./store.ts";

export interface Line {
  readonly sku: string;
  readonly name: string;
  readonly quantity: number;
  readonly unit_price_cents: number;
}

export interface Change extends Line {
  readonly kind: "substituted" | "unavailable";
  /** The index of the placed line, from 0. */
  readonly line: number;
  readonly by?: Omit<Line, "quantity">;
}

export interface Invoice {
  readonly number: string;
  readonly net_cents: number;
  readonly vat_cents: number;
  readonly vat_percent: number;
  readonly total_cents: number;
}

export interface Mail {
  readonly kind: string;
  readonly to: string;
  readonly subject: string;
  readonly text: string;
}

export function dataOf(part: Part | undefined): Readonly<Record<string, unknown>> {
  return isRecord(part?.data) ? part.data : {};
}

export function textIn(data: Readonly<Record<string, unknown>>, name: string): string | undefined {
  const value = data[name];
  return typeof value === "string" ? value : undefined;
}

export function numberIn(data: Readonly<Record<string, unknown>>, name: string): number | undefined {
  const value = data[name];
  return typeof value === "number" ? value : undefined;
}

/** A whole number, such as an amount in cents. */
export function wholeIn(data: Readonly<Record<string, unknown>>, name: string): number | undefined {
  const value = data[name];
  return isWhole(value) ? value : undefined;
}

function isWhole(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

export function linesIn(data: Readonly<Record<string, unknown>>): Line[] | undefined {
  const { lines } = data;
  return Array.isArray(lines) && lines.every(isLine) ? lines : undefined;
}

export function changesIn(data: Readonly<Record<string, unknown>>): Change[] {
  const { changes } = data;
  return Array.isArray(changes) ? changes.filter(isChange) : [];
}

export function problemsIn(data: Readonly<Record<string, unknown>>): string[] {
  const { problems } = data;
  return Array.isArray(problems) ? problems.filter((problem) => typeof problem === "string") : [];
}

export function invoiceOf(parts: Parts): Invoice | undefined {
  const data = dataOf(parts["invoice"]);
  const numbers = ["net_cents", "vat_cents", "vat_percent", "total_cents"].every((name) => isWhole(data[name]));
  return numbers && typeof data["number"] === "string" ? (data as unknown as Invoice) : undefined;
}

export function lastMailOf(parts: Parts): Mail | undefined {
  const { last } = dataOf(parts["notification"]);
  if (!isRecord(last)) return undefined;
  return ["kind", "to", "subject", "text"].every((name) => typeof last[name] === "string")
    ? (last as unknown as Mail)
    : undefined;
}

function isLine(value: unknown): value is Line {
  if (!isRecord(value)) return false;
  const { sku, name, quantity, unit_price_cents } = value;
  const texts = typeof sku === "string" && typeof name === "string";
  return texts && isWhole(quantity) && isWhole(unit_price_cents);
}

function isChange(value: unknown): value is Change {
  if (!isLine(value)) return false;
  const { kind, line, by } = value as Partial<Change>;
  if (typeof line !== "number") return false;
  return kind === "unavailable" || (kind === "substituted" && isRecord(by) && typeof by["name"] === "string");
}

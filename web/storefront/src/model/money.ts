// Money: whole cents of EUR, written one way. The handlers write it the same in their texts (handlers/README.md).

const EURO = new Intl.NumberFormat("en-IE", { style: "currency", currency: "EUR" });
const CHANGE = new Intl.NumberFormat("en-IE", { style: "currency", currency: "EUR", signDisplay: "exceptZero" });

/** `cents` as `€1,234.56`. What is not a whole number of cents is no amount, and is not shown as one. */
export function money(cents: number): string {
  return written(EURO, cents);
}

/** A difference, with its sign. */
export function moneyChange(cents: number): string {
  return written(CHANGE, cents);
}

/** Formatted from its digits: a quotient would be inexact for large amounts. */
function written(format: Intl.NumberFormat, cents: number): string {
  if (!Number.isSafeInteger(cents)) return "\u2013";
  const digits = String(Math.abs(cents)).padStart(3, "0");
  const text = format.format(`${cents < 0 ? "-" : ""}${digits.slice(0, -2)}.${digits.slice(-2)}` as `${number}`);
  return text.replace("-", "\u2212");
}

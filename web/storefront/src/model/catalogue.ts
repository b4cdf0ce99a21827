// The shop's catalogue: the articles and prices of the order domain (handlers/README.md), with the shop's own texts. An
// order with any other price is rejected, so the two must agree.

export interface Article {
  readonly sku: string;
  readonly name: string;
  readonly unit_price_cents: number;
  /** A line below the name. */
  readonly note: string;
  readonly shelf: "Coffee" | "Dairy-free" | "Bakery" | "Larder" | "Sweet";
  /** The sku of its substitute. */
  readonly replacement?: string;
}

export const CATALOGUE: readonly Article[] = [
  { sku: "sourdough", name: "Sourdough bread", unit_price_cents: 480, note: "Baked at four, gone by noon", shelf: "Bakery", replacement: "rye-bread" },
  { sku: "coffee-beans", name: "Coffee beans, 500 g", unit_price_cents: 1490, note: "Slow roast, cocoa and plum", shelf: "Coffee", replacement: "ground-coffee" },
  { sku: "honey", name: "Forest honey, 500 g", unit_price_cents: 890, note: "Five jars a season", shelf: "Larder", replacement: "fig-jam" },
  { sku: "oat-milk", name: "Oat milk, 1 l", unit_price_cents: 249, note: "Made for foam", shelf: "Dairy-free", replacement: "soy-milk" },
  { sku: "olive-oil", name: "Olive oil, 750 ml", unit_price_cents: 1190, note: "First pressing, peppery", shelf: "Larder" },
  { sku: "dark-chocolate", name: "Dark chocolate, 100 g", unit_price_cents: 320, note: "72 percent, sea salt", shelf: "Sweet", replacement: "milk-chocolate" },
  { sku: "tagliatelle", name: "Tagliatelle, 500 g", unit_price_cents: 289, note: "Bronze-drawn, dried slowly", shelf: "Larder" },
  { sku: "rye-bread", name: "Rye bread", unit_price_cents: 420, note: "Dense, keeps for a week", shelf: "Bakery" },
  { sku: "ground-coffee", name: "Ground coffee, 500 g", unit_price_cents: 1290, note: "For filter and press", shelf: "Coffee" },
  { sku: "fig-jam", name: "Fig jam, 300 g", unit_price_cents: 590, note: "When the figs allow", shelf: "Sweet" },
  { sku: "soy-milk", name: "Soy milk, 1 l", unit_price_cents: 219, note: "Unsweetened", shelf: "Dairy-free" },
  { sku: "milk-chocolate", name: "Milk chocolate, 100 g", unit_price_cents: 290, note: "Hazelnut and caramel", shelf: "Sweet" },
];

const BY_SKU = new Map(CATALOGUE.map((article) => [article.sku, article]));

export function articleOf(sku: string): Article | undefined {
  return BY_SKU.get(sku);
}

/** The name with its measure kept on one line. */
export function unbroken(name: string): string {
  return name.replace(/(\d) (g|kg|ml|l)\b/, "$1\u00a0$2");
}

/** The name without its measure, as one says it. */
export function spoken(name: string): string {
  return name.split(",")[0] ?? name;
}

/** `a, b and c`. */
export function listed(names: readonly string[]): string {
  return LIST.format(names);
}

const LIST = new Intl.ListFormat("en-GB", { type: "conjunction" });

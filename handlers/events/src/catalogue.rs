//! The shop's articles, their prices and their substitutes. Knows nothing of stock.

use crate::Article;

/// One article of the catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    pub sku: &'static str,
    pub name: &'static str,
    pub price_cents: u64,
    /// The sku of its substitute, if the customer allows one.
    pub substitute: Option<&'static str>,
}

/// All articles.
pub const ENTRIES: [Entry; 12] = [
    entry("coffee-beans", "Coffee beans, 500 g", 1490, Some("ground-coffee")),
    entry("ground-coffee", "Ground coffee, 500 g", 1290, None),
    entry("oat-milk", "Oat milk, 1 l", 249, Some("soy-milk")),
    entry("soy-milk", "Soy milk, 1 l", 219, None),
    entry("sourdough", "Sourdough bread", 480, Some("rye-bread")),
    entry("rye-bread", "Rye bread", 420, None),
    entry("olive-oil", "Olive oil, 750 ml", 1190, None),
    entry("fig-jam", "Fig jam, 300 g", 590, None),
    entry("honey", "Forest honey, 500 g", 890, Some("fig-jam")),
    entry("dark-chocolate", "Dark chocolate, 100 g", 320, Some("milk-chocolate")),
    entry("milk-chocolate", "Milk chocolate, 100 g", 290, None),
    entry("tagliatelle", "Tagliatelle, 500 g", 289, None),
];

const fn entry(sku: &'static str, name: &'static str, price_cents: u64, substitute: Option<&'static str>) -> Entry {
    Entry { sku, name, price_cents, substitute }
}

/// The article with that sku.
#[must_use]
pub fn find(sku: &str) -> Option<&'static Entry> {
    ENTRIES.iter().find(|entry| entry.sku == sku)
}

/// The substitute of the article with that sku.
#[must_use]
pub fn substitute_for(sku: &str) -> Option<Article> {
    let entry = find(find(sku)?.substitute?)?;
    Some(Article { sku: entry.sku.to_owned(), name: entry.name.to_owned(), unit_price_cents: entry.price_cents })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn substitutes_are_in_the_catalogue_and_never_cost_more() {
        for entry in ENTRIES.iter().filter(|entry| entry.substitute.is_some()) {
            let substitute = substitute_for(entry.sku).expect(entry.sku);
            assert!(substitute.unit_price_cents <= entry.price_cents, "{}", entry.sku);
        }
        assert_eq!(substitute_for("rye-bread"), None);
        assert_eq!(substitute_for("caviar"), None);
    }

    #[test]
    fn the_readme_shows_this_catalogue() {
        let readme = include_str!("../../README.md");
        for Entry { sku, name, price_cents, substitute } in ENTRIES {
            let substitute = substitute.map(|sku| format!("`{sku}` ")).unwrap_or_default();
            let row = format!("| `{sku}` | {name} | {price_cents} | {substitute}|");
            assert!(readme.contains(&row), "handlers/README.md lacks {row}");
        }
    }
}

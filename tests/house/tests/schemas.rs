//! Types of the HTTP API have names of their own: of two that share one, the OpenAPI document describes only one.

use std::collections::BTreeSet;

use weirgate_house::sources;

/// The names of the types of a source that derive a schema.
fn schemas(text: &str) -> Vec<&str> {
    let (mut names, mut is_next) = (Vec::new(), false);
    for line in text.lines() {
        is_next |= line.trim_start().starts_with("#[derive(") && line.contains("ToSchema");
        let item = line.trim_start().trim_start_matches("pub(crate) ").trim_start_matches("pub ");
        let declared = item.strip_prefix("struct ").or_else(|| item.strip_prefix("enum "));
        if let Some(declared) = declared {
            let name = declared.split(|end: char| !end.is_alphanumeric() && end != '_').next();
            names.extend(name.filter(|_| std::mem::take(&mut is_next)));
            is_next = false;
        }
    }
    names
}

#[test]
fn schemas_are_found() {
    let text = "#[derive(Serialize, ToSchema)]\n/// Why.\npub struct A<T> {}\n#[derive(Clone)]\nstruct B;\n#[derive(ToSchema)]\nenum C {}";
    assert_eq!(schemas(text), ["A", "C"]);
}

#[test]
fn no_two_schemas_share_a_name() {
    let (mut known, mut twice) = (BTreeSet::new(), Vec::new());
    for (_, text) in sources(&[".rs"]).iter().filter(|(path, _)| path.starts_with("runtime/server/src/")) {
        let all = schemas(text).into_iter().map(str::to_owned);
        twice.extend(all.filter(|name| !known.insert(name.clone())));
    }
    assert!(known.len() > 100, "{known:?}");
    assert!(twice.is_empty(), "{twice:?}");
}

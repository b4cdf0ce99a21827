//! Which query parameters each endpoint takes, by the OpenAPI document: so that the document is complete, and a misspelt
//! parameter does not look like one that was heeded.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use axum::http::Method;
use utoipa::openapi::{
    OpenApi as Document, RefOr,
    path::{Operation, ParameterIn, PathItem},
};

use crate::Problem;

/// The shop's files: parameters are for the pages themselves.
const FILES: &str = "/shop/";

/// See the module documentation. By method, then by path.
pub struct Parameters(BTreeMap<&'static str, BTreeMap<String, BTreeSet<String>>>);

impl Parameters {
    pub fn new(document: &Document) -> Self {
        let checked = document.paths.paths.iter().filter(|(path, _)| !path.starts_with(FILES));
        let mut described = BTreeMap::<_, BTreeMap<_, _>>::new();
        for (path, item) in checked {
            for (method, operation) in operations(item) {
                described.entry(method).or_default().insert(path.clone(), names(operation));
            }
        }
        Self(described)
    }

    /// The parameters of an endpoint; `path` is that of its route. `None` if it is not known here.
    pub fn of(&self, path: &str, method: &Method) -> Option<&BTreeSet<String>> {
        let method = match method.as_str() {
            "HEAD" => "GET",
            method => OPERATIONS.iter().copied().find(|known| *known == method)?,
        };
        // axum's notation for "the rest of the path" differs from OpenAPI's.
        let path = if path.contains("{*") { Cow::Owned(path.replace("{*", "{")) } else { Cow::Borrowed(path) };
        self.0.get(method)?.get(&*path)
    }
}

const OPERATIONS: [&str; 5] = ["GET", "PUT", "POST", "DELETE", "PATCH"];

fn operations(item: &PathItem) -> impl Iterator<Item = (&'static str, &Operation)> {
    let found = [&item.get, &item.put, &item.post, &item.delete, &item.patch];
    OPERATIONS.into_iter().zip(found).filter_map(|(method, operation)| Some((method, operation.as_ref()?)))
}

fn names(operation: &Operation) -> BTreeSet<String> {
    let parameters = operation.parameters.iter().flatten().filter_map(|parameter| match parameter {
        RefOr::T(parameter) => Some(parameter),
        // The document has no parameters elsewhere.
        RefOr::Ref(_) => None,
    });
    let of_query = parameters.filter(|parameter| parameter.parameter_in == ParameterIn::Query);
    of_query.map(|parameter| parameter.name.clone()).collect()
}

/// Refuses a query with other parameters than `known`.
pub fn check(query: &str, known: &BTreeSet<String>) -> Result<(), Problem> {
    let mut given = form_urlencoded::parse(query.as_bytes());
    let Some((unknown, _)) = given.find(|(name, _)| !known.contains(&**name)) else { return Ok(()) };
    let known: Vec<_> = known.iter().map(|name| format!("`{name}`")).collect();
    let hint = if known.is_empty() { "no parameters".to_owned() } else { known.join(", ") };
    Err(Problem::bad_request(
        "bad-query",
        format!("there is no parameter {unknown:?} here; this endpoint takes {hint}"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_parameters_are_refused_with_the_known_ones() {
        let known = BTreeSet::from(["after".to_owned(), "limit".to_owned()]);
        for query in ["", "after=1", "limit=2&after=", "%61fter=1"] {
            assert!(check(query, &known).is_ok(), "{query}");
        }
        for query in ["x=1", "after=1&Limit=2", "x", "=", "after%20=1"] {
            let problem = check(query, &known).expect_err(query);
            assert_eq!((problem.status, problem.code.as_str()), (400, "bad-query"));
            assert!(problem.detail.ends_with("this endpoint takes `after`, `limit`"), "{}", problem.detail);
        }
        assert!(check("x", &BTreeSet::new()).expect_err("x").detail.ends_with("takes no parameters"));
    }

    #[test]
    fn the_parameters_are_those_of_the_document() {
        let parameters = Parameters::new(&crate::openapi());
        let of = |path: &str, method: Method| parameters.of(path, &method).map(BTreeSet::len);
        assert_eq!(of("/v1/handlers", Method::GET), Some(2));
        assert_eq!(of("/v1/events", Method::POST), Some(0));
        assert!(of("/v1/events", Method::GET).is_some_and(|names| names >= 4));
        assert_eq!(of("/v1/status/{*subject}", Method::HEAD), of("/v1/status/{*subject}", Method::GET));
        assert!(of("/v1/status", Method::GET) > of("/v1/status/{*subject}", Method::GET));
        assert_eq!((of("/livez", Method::GET), of("/openapi.json", Method::GET)), (Some(0), Some(0)));
        assert_eq!((of("/v1/handlers", Method::DELETE), of("/shop/", Method::GET)), (None, None));
    }
}

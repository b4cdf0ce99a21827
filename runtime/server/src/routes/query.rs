//! Extractors whose refusals are problem details, and what lists have in common.

use axum::extract::{FromRequest, FromRequestParts};

use crate::Problem;

/// How many items a list answers when not told.
pub const LIST_ITEMS_DEFAULT: usize = 100;
/// How many items a list answers at the most.
pub const LIST_ITEMS_MAX: usize = 1_000;

#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(Problem))]
pub struct Query<T>(pub T);

#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(Problem))]
pub struct Path<T>(pub T);

#[derive(FromRequest)]
#[from_request(via(axum::Json), rejection(Problem))]
pub struct Json<T>(pub T);

/// How many items to answer, within bounds.
pub fn limit(wanted: Option<usize>) -> usize {
    wanted.unwrap_or(LIST_ITEMS_DEFAULT).clamp(1, LIST_ITEMS_MAX)
}

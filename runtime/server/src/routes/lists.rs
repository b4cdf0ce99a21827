//! Answers that may be large: few are in flight at once, and each keeps its slot until its client has read it. So the memory they
//! hold is bounded by the size of one, however many clients ask and however slowly they read. They are made and encoded beside the
//! async threads.

use std::{io, sync::Arc, time::Duration};

use axum::{http::StatusCode, response::Response};
use serde::Serialize;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::answers::{JSON, encoded, held};
use crate::{Problem, app::App};

/// How long a request waits for a slot.
const PATIENCE: Duration = Duration::from_secs(5);
/// A page ends with the item that reaches this many bytes.
pub const PAGE_BYTES_MAX: usize = 4 << 20;

/// A slot among the large answers in flight. It is taken before anything is read.
pub struct ListSlot {
    _permit: OwnedSemaphorePermit,
}

impl ListSlot {
    /// # Errors
    /// `over-budget`: no slot is free within five seconds.
    pub async fn take(app: &App) -> Result<Self, Problem> {
        Self::of(&app.lists).await
    }

    /// A slot among others than the lists'.
    ///
    /// # Errors
    /// As for [`Self::take`].
    pub async fn of(slots: &Arc<Semaphore>) -> Result<Self, Problem> {
        match timeout(PATIENCE, Arc::clone(slots).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(Self { _permit: permit }),
            _ => Err(too_many()),
        }
    }

    /// Answer with JSON. The answer keeps the slot until the client has read it, so that clients that do not read are
    /// limited by the slots.
    ///
    /// # Errors
    /// The answer cannot be encoded as JSON.
    pub async fn answer(self, what: impl Serialize + Send + 'static) -> Result<Response, Problem> {
        self.make(move || Ok(what)).await
    }

    /// The same for an answer that takes time to make.
    ///
    /// # Errors
    /// That of `make`; or the answer cannot be encoded as JSON.
    pub async fn make<T: Serialize>(
        self,
        make: impl FnOnce() -> Result<T, Problem> + Send + 'static,
    ) -> Result<Response, Problem> {
        let making = tokio::task::spawn_blocking(move || encoded(&make()?));
        let json = making.await.unwrap_or_else(|error| Err(Problem::internal("internal", &error)))?;
        Ok(held(JSON, json, self))
    }
}

/// The items of a page, made one by one until the page is full, and whether some are left.
///
/// # Errors
/// That of an item; or one cannot be encoded as JSON.
pub fn page<T: Serialize>(items: impl IntoIterator<Item = Result<T, Problem>>) -> Result<(Vec<T>, bool), Problem> {
    let (mut page, mut bytes) = (Vec::new(), Count(0));
    for item in items {
        if bytes.0 >= PAGE_BYTES_MAX {
            return Ok((page, true));
        }
        let item = item?;
        serde_json::to_writer(&mut bytes, &item).map_err(|error| Problem::internal("storage", &error))?;
        page.push(item);
    }
    Ok((page, false))
}

/// Counts the bytes that are written to it.
struct Count(usize);

impl io::Write for Count {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.saturating_add(bytes.len());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn too_many() -> Problem {
    let detail = "too many concurrent lists; try again later";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "over-budget", detail).retry_after(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_ends_with_the_item_that_fills_it_and_makes_no_other() {
        let mut made = 0;
        let items = (0..100).map(|_| {
            made += 1;
            Ok("x".repeat(1 << 20))
        });
        let (items, has_more) = page(items).expect("a page");
        assert_eq!((items.len(), has_more), (4, true));
        assert!(made <= 5, "{made} were made");
        assert_eq!(page((0..3).map(Ok)).expect("a page"), (vec![0, 1, 2], false));
    }
}

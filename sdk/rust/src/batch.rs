//! Batches: several deliveries that a handler gets at once. Owns the result of each. Knows nothing of how the runtime forms
//! batches.

use crate::{Context, Event, EventData, Failure};

/// One delivery of a batch.
pub struct Item<T> {
    pub event: Event<T>,
    /// The item's own context: state, effects, settings and log are those of its delivery.
    pub context: Context,
    failure: Option<Failure>,
}

impl<T> Item<T> {
    /// Fails this item; the others are not affected. The first failure counts, and the item's effects are dropped. So are
    /// those of later items of the same key, which are delivered again after it.
    pub fn fail(&mut self, failure: impl Into<Failure>) {
        self.failure.get_or_insert(failure.into());
    }

    /// The failure of the item so far.
    #[must_use]
    pub fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }
}

/// The result of each delivery, in order.
pub(crate) type Results = Vec<Result<(), Failure>>;

/// Calls the handler with all items at once. Items whose data does not fit fail and are left out. A returned failure applies
/// to every item that has not failed already.
pub(crate) fn handle_all<T: EventData>(
    given: impl IntoIterator<Item = (Event<Vec<u8>>, Context)>,
    handler: impl FnOnce(&mut [Item<T>]) -> Result<(), Failure>,
) -> Results {
    let mut items = Vec::new();
    let read = |(event, context): (Event<Vec<u8>>, Context)| {
        items.push(Item { event: event.read()?, context, failure: None });
        Ok(())
    };
    let misfits: Results = given.into_iter().map(read).collect();
    let outcome = if items.is_empty() { Ok(()) } else { handler(&mut items) };
    let mut items = items.into_iter();
    let finish = |fits: Result<(), Failure>| {
        fits?;
        let Some(Item { context, failure, .. }) = items.next() else { return Ok(()) };
        failure.map_or_else(|| outcome.clone(), Err)?;
        context.finish()
    };
    misfits.into_iter().map(finish).collect()
}

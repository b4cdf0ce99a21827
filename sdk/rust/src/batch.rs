//! Batches: several deliveries that a handler sees at once. Owns which result each of them comes to. Knows nothing of how
//! the runtime makes batches.

use crate::{Context, Event, EventData, Failure};

/// One delivery of a batch.
pub struct Item<T> {
    pub event: Event<T>,
    /// The item's own: state, effects, settings and log are those of its delivery.
    pub context: Context,
    failure: Option<Failure>,
}

impl<T> Item<T> {
    /// This item has failed; the others have not. The first failure counts, and the item's effects are dropped. So are
    /// those of later items of the same key, which come again after it.
    pub fn fail(&mut self, failure: impl Into<Failure>) {
        self.failure.get_or_insert(failure.into());
    }

    /// The failure that the item has come to so far.
    #[must_use]
    pub fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }
}

/// What each delivery came to, in their order.
pub(crate) type Results = Vec<Result<(), Failure>>;

/// Have the handler see all items at once. Those whose data does not fit have failed and are left out. A failure that it
/// returns is that of every item which has not failed by itself.
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

//! Batches in tests: several deliveries in one call, each with its own effects.

use std::collections::BTreeSet;

use super::{Delivery, Run, World, lanes::Tried, limits::catch_end, recorder::Recorder, run::End};
use crate::{
    Context, Event, EventData, Failure, Item,
    batch::{Results, handle_all},
};

impl World {
    /// Delivers all of them in one call, in this order. The effects of those that complete stay in the world. A batch
    /// handler that takes one item after another is an ordinary handler: use [`World::run`].
    ///
    /// # Panics
    /// With the handler's own panic, which in a component would be a trap and fail all items; or as [`World::run`], where an
    /// earlier delivery of a key is open.
    #[track_caller]
    pub fn run_batch<T: EventData>(
        &mut self,
        deliveries: impl IntoIterator<Item = Delivery>,
        handler: impl FnOnce(&mut [Item<T>]) -> Result<(), Failure>,
    ) -> Vec<Run> {
        let deliveries: Vec<_> = deliveries.into_iter().collect();
        let batch: Vec<_> = deliveries.iter().map(Tried::of).collect();
        self.check_batch(&batch);
        let deliveries: Vec<_> = deliveries.into_iter().map(|delivery| self.take(delivery)).collect();
        let recorders: Vec<_> = deliveries.iter().map(Delivery::recorder).collect();
        Recorder::join(&recorders);
        let (mut keys, mut subjects, mut given) = (Vec::new(), Vec::new(), Vec::new());
        for (delivery, recorder) in deliveries.iter().zip(&recorders) {
            let (event, identity) = delivery.clone().parts();
            keys.push(identity.key.clone());
            subjects.push(event.subject.clone().unwrap_or_default());
            given.push((event, Context::new(Box::new(recorder.clone()), identity)));
        }
        let call = || match migrate(&deliveries, &given) {
            Some(failed) => failed,
            None => ends(handle_all(given, handler), &keys),
        };
        let ends = match catch_end(call) {
            Ok(ends) => ends,
            Err(reason) => keys.iter().map(|_| End::Ended(reason.clone())).collect(),
        };
        let recorded = ends.into_iter().zip(Recorder::finish(recorders)).zip(subjects);
        let runs: Vec<_> = recorded.map(|((end, recorded), subject)| Run::new(end, recorded, &subject)).collect();
        for (tried, run) in batch.into_iter().zip(&runs) {
            self.keep(tried, run);
        }
        runs
    }
}

/// Migrates the state of each item that says so. If one fails, the handler is not called: the others are delivered again.
fn migrate(deliveries: &[Delivery], given: &[(Event<Vec<u8>>, Context)]) -> Option<Vec<End>> {
    let mut migrated = deliveries.iter().zip(given).map(|(delivery, (_, context))| delivery.migrate(context).err());
    let (failed, failure) = migrated.by_ref().enumerate().find_map(|(index, failure)| Some((index, failure?)))?;
    let mut ends: Vec<_> = deliveries.iter().map(|_| End::Blocked).collect();
    if let Some(end) = ends.get_mut(failed) {
        *end = End::Failed(failure);
    }
    Some(ends)
}

/// Later items of a key with a failed item have read effects that do not count.
fn ends(results: Results, keys: &[String]) -> Vec<End> {
    let mut failed = BTreeSet::new();
    let end = |(result, key): (Result<(), Failure>, _)| {
        if failed.contains(key) {
            return End::Blocked;
        }
        let Err(failure) = result else { return End::Completed };
        failed.insert(key);
        End::Failed(failure)
    };
    results.into_iter().zip(keys).map(end).collect()
}

//! Whether a replay may have changed since it was read: cheap to ask, for those who follow it.

use weirgate_types::Position;

use super::Handle;
use crate::{
    Refusal, StorageError, keys,
    replays::ReplayRow,
    what_ifs::{KnownMark, PlanId},
};

/// What a replay's item is made of, as it was at a time: while that is the same, so is the item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayMark {
    /// As the views hold it.
    row: Option<Vec<u8>>,
    /// When its handler was removed last.
    removed: Option<Position>,
    known: Option<KnownMark>,
}

impl Handle {
    /// # Errors
    /// The views cannot be read.
    pub async fn replay_mark(&self, id: PlanId) -> Result<ReplayMark, Refusal> {
        let known = self.0.what_ifs.mark(id);
        let views = self.0.statuses.views.clone();
        let read = move || {
            let row = views.get(&keys::replay(id.replay))?;
            let handler = row.as_deref().map(ReplayRow::decode).transpose()?.map(|row| row.handler);
            let removed = handler.map(|handler| views.get(&keys::removed(&handler))).transpose()?.flatten();
            let removed = removed.and_then(|value| keys::value_position(&value));
            Ok::<_, StorageError>(ReplayMark { row, removed, known })
        };
        Ok(self.0.queries.own_read(read).await??)
    }
}

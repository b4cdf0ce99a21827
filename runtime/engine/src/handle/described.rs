//! Handlers and breakers with what operators ask next: since when, and why. Read from the log and the views beside the
//! writer.

use weirgate_types::HandlerName;

use super::Handle;
use crate::{
    BreakerItem, HandlerItem, Refusal, VersionRow,
    command::Changed,
    keys,
    notices::{breaker_subject, handler_subject},
};

/// The status parts in which the runtime says what it or an operator did.
const HANDLER_PART: &str = "weirgate-handler";
const BREAKER_PART: &str = "weirgate-breaker";

impl Handle {
    /// The same handlers with the time of their oldest open delivery and the last change of their mode.
    ///
    /// # Errors
    /// The log or the views cannot be read.
    pub async fn described(&self, mut items: Vec<HandlerItem>) -> Result<Vec<HandlerItem>, Refusal> {
        let handle = self.clone();
        let read = move || {
            for item in &mut items {
                if let Some(position) = item.oldest_open {
                    item.oldest_open_at_ms = handle.0.statuses.log.read(position)?.map(|(_, record)| record.at_ms());
                }
                let row = handle.0.statuses.views.get(&keys::version(&item.name, item.version))?;
                item.version_number = row.map(|row| VersionRow::decode(&row)).transpose()?.map(|row| row.number);
                item.changed = handle.changed(&handler_subject(&item.name), HANDLER_PART)?;
            }
            Ok(items)
        };
        self.0.queries.own_read(read).await?
    }

    /// The same breakers with their last change.
    ///
    /// # Errors
    /// The views cannot be read.
    pub async fn described_breakers(&self, mut items: Vec<BreakerItem>) -> Result<Vec<BreakerItem>, Refusal> {
        let handle = self.clone();
        let read = move || {
            for item in &mut items {
                item.changed = handle.changed(&breaker_subject(&item.breaker), BREAKER_PART)?;
            }
            Ok(items)
        };
        self.0.queries.own_read(read).await?
    }

    fn changed(&self, subject: &str, part: &str) -> Result<Option<Changed>, Refusal> {
        let Ok(name) = part.parse::<HandlerName>() else { return Ok(None) };
        let found = self.0.statuses.part(subject, &name)?;
        // A handler of the same name may have been removed before.
        let found = found.filter(|(part, _)| part.state != "removed");
        Ok(found.map(|(part, _)| Changed { at_ms: part.at_ms, reason: part.text }))
    }
}

//! Changes of timers and of time itself: handlers that start and cancel timers, deployments with schedules, and timers that
//! fire.

use weirgate_core::{Anchors, schedule};
use weirgate_types::{Anchor, Deployed, Manifest, Position, TimerId, TimerWrite, Written};

use super::Projection;
use crate::{
    StorageError,
    keys::{self, TimerKind, TimerRow},
    tables, timers,
};

impl Projection {
    pub(super) fn timer_written(
        &mut self,
        position: Position,
        index: usize,
        Written { handler, key, version, .. }: Written<'_>,
        write: &TimerWrite,
    ) -> Result<(), StorageError> {
        let (handler, key, name) = (handler.clone(), key.to_owned(), write.name.clone());
        let row = keys::timer(&TimerId { handler, key, name }, TimerKind::Handler);
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        let version = version.unwrap_or(position);
        self.set_timer(row, write.set.as_ref().map(|set| TimerRow { due_ms: set.due_ms, position, index, version }))
    }

    /// The schedules of a version replace those of the previous version.
    pub(super) fn deployed(&mut self, position: Position, deployed: &Deployed) -> Result<(), StorageError> {
        let Ok(manifest) = Manifest::from_record(&deployed.manifest) else { return Ok(()) };
        for row in self.scan_keys(&keys::timers(&deployed.handler, TimerKind::Schedule), usize::MAX)? {
            self.set_timer(row, None)?;
        }
        for (index, schedule) in (0_u32..).zip(&manifest.schedules) {
            let row = keys::timer(&timers::schedule_id(&deployed.handler, schedule), TimerKind::Schedule);
            let due_ms = schedule::next_after(&schedule.cron, deployed.wall_ms);
            self.set_timer(row, due_ms.map(|due_ms| TimerRow { due_ms, position, index, version: position }))?;
        }
        Ok(())
    }

    /// A timer is removed when it fires; a schedule's timer is set again.
    pub(super) fn fired(
        &mut self,
        id: &TimerId,
        kind: TimerKind,
        due_ms: u64,
        next_ms: Option<u64>,
    ) -> Result<(), StorageError> {
        let row = keys::timer(id, kind);
        let Some(timer) = self.timer(&row)?.filter(|timer| timer.due_ms == due_ms) else { return Ok(()) };
        self.set_timer(row, next_ms.map(|due_ms| TimerRow { due_ms, ..timer }))
    }

    /// The wall clock was set: the times of later records map to other moments of elapsed time.
    pub(super) fn anchored(&mut self, position: Position, anchor: Anchor) -> Result<(), StorageError> {
        let kept = self.get(tables::ANCHORS.prefix())?;
        let kept = kept.map(|value| {
            postcard::from_bytes::<Anchors>(&value).map_err(StorageError::undecodable("the anchors of time"))
        });
        let kept = kept.transpose()?;
        let mut anchors = kept.unwrap_or_default();
        anchors.push(position, anchor);
        let value = postcard::to_stdvec(&anchors).map_err(StorageError::encode("the anchors of time"))?;
        self.put(tables::ANCHORS.prefix().to_vec(), value);
        Ok(())
    }

    pub fn timer(&mut self, row: &[u8]) -> Result<Option<TimerRow>, StorageError> {
        self.get(row)?.map(|value| TimerRow::decode(&value)).transpose()
    }

    /// Its handler was removed.
    pub fn remove_timer(&mut self, row: Vec<u8>) -> Result<(), StorageError> {
        self.set_timer(row, None)
    }

    fn set_timer(&mut self, row: Vec<u8>, timer: Option<TimerRow>) -> Result<(), StorageError> {
        if let Some(before) = self.timer(&row)? {
            self.remove(keys::timer_by_time(before.due_ms, &row));
        }
        match timer {
            None => self.remove(row),
            Some(timer) => {
                self.put(keys::timer_by_time(timer.due_ms, &row), Vec::new());
                let value = postcard::to_stdvec(&timer).map_err(StorageError::encode("a timer"))?;
                self.put(row, value);
            }
        }
        Ok(())
    }
}

//! Recovery: from the views as last kept, and the later records, to an up-to-date machine.

use weirgate_core::{Input, named_deliveries};
use weirgate_types::{DeliveryId, Position, Record, RuntimeChanged, RuntimeVersion};

use super::{Exit, Writer, read_ahead::ReadAhead};
use crate::tables;

/// The views are brought forward in steps of about this many changes: of a row that changes often, only the newest is encoded.
const STEP_CHANGES: usize = 16_384;
/// Or of about this many bytes.
const STEP_BYTES: usize = 8 << 20;

impl Writer {
    /// Brings machine and views up to the log's head, ends the attempts that were interrupted, and makes that durable. `runtime`
    /// is what executes handlers from now on.
    pub fn recover(&mut self, runtime: &RuntimeVersion) -> Result<(), Exit> {
        self.delivery.set_unlimited(true);
        self.durability.projection_mut().set_watched(false);
        self.replay()?;
        self.durability.projection_mut().set_watched(true);
        self.delivery.set_unlimited(false);
        self.note_runtime(runtime)?;
        self.end_pass()
    }

    /// Records which runtime executes handlers, if it is not the one before.
    fn note_runtime(&mut self, runtime: &RuntimeVersion) -> Result<(), Exit> {
        let before = self.durability.projection_mut().get(tables::RUNTIME.prefix())?;
        let before: Option<RuntimeVersion> = before.and_then(|bytes| postcard::from_bytes(&bytes).ok());
        if before.as_ref() == Some(runtime) {
            return Ok(());
        }
        let (runtime, at_ms) = (runtime.clone(), self.time.at_ms());
        self.stage(Record::RuntimeChanged(RuntimeChanged { runtime, at_ms })).map(drop)
    }

    fn replay(&mut self) -> Result<(), Exit> {
        let applied = self.durability.views().applied();
        self.delivery.restore(self.durability.views(), self.durability.reader())?;
        self.removals.restore(self.durability.views())?;
        self.feed(Input::Durable { position: self.durability.head() })?;
        let mut through = applied;
        let mut ahead = ReadAhead::begin(self.durability.reader(), applied.next());
        while let Some(part) = ahead.next_part()? {
            for (position, record) in &part {
                through = self.execute_again(*position, record, through)?;
            }
            ahead.done(part);
        }
        self.bring_forward(through)?;
        self.delete_all_left_rows(through)?;
        self.time.resume(self.delivery.machine().anchors().newest());
        // How long the breakers of hosts stay open is known only now.
        self.delivery.keep_all_hosts();
        // The first read finds when the next timer is due.
        self.feed(Input::TimersRead { next_due_ms: Some(0) })?;
        self.feed(Input::Recovered)?;
        tracing::info!(from = applied.0, through = through.0, "recovered");
        Ok(())
    }

    /// Executes a record of the log; all up to `through` are executed. Returns up to where they are then.
    fn execute_again(&mut self, position: Position, record: &Record, through: Position) -> Result<Position, Exit> {
        self.bring_back(record, through)?;
        self.follow_removals(record, through)?;
        let under_way = self.under_way(record)?;
        self.durability.projection_mut().project(position, record)?;
        self.report_under_way(&under_way);
        self.feed(Input::Staged { position, record })?;
        let through = position.plus(record.width()).before();
        let projection = self.durability.projection();
        if projection.changes() >= STEP_CHANGES || projection.bytes() >= STEP_BYTES {
            self.bring_forward(through)?;
        }
        Ok(through)
    }

    /// A record follows about deliveries that may be spilled: the machine has to reload them before.
    fn bring_back(&mut self, record: &Record, through: Position) -> Result<(), Exit> {
        for (handler, position) in named_deliveries(record) {
            if self.delivery.machine().may_be_spilled(handler, position) {
                self.bring_forward(through)?;
                // Rows that were spilled just now have to be readable as well.
                self.write_forward(through)?;
                let delivery = DeliveryId { handler: handler.clone(), position };
                self.delivery.reload_for(&delivery, self.durability.views(), self.time.now())?;
                self.perform(None)?;
            }
        }
        Ok(())
    }

    /// A handler is removed, or its name is deployed again: then nothing may be left of the removed one.
    fn follow_removals(&mut self, record: &Record, through: Position) -> Result<(), Exit> {
        match record {
            Record::Removed(removed) => self.removals.begin(removed.handler.clone()),
            Record::Deployed(deployed) if self.removals.has(&deployed.handler) => {
                self.bring_forward(through)?;
                self.write_forward(through)?;
                self.delete_all_left_rows(through)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn bring_forward(&mut self, through: Position) -> Result<(), Exit> {
        self.write_forward(through)?;
        self.feed(Input::Durable { position: self.durability.head() })
    }

    fn write_forward(&mut self, through: Position) -> Result<(), Exit> {
        self.delivery.keep_all_handlers();
        self.delivery.keep_rows(self.durability.projection_mut(), self.time.now().elapsed_ms)?;
        Ok(self.durability.apply_replayed(through)?)
    }
}

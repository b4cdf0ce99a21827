//! Stops: an engine is asked to stop with everything in flight. It stops in time, whatever calls do, leaves no caller
//! waiting, and the next start finds log and views as they were left.

use weirgate_engine::sim::Exit;
use weirgate_testkit::{Crash, SimStorage};
use weirgate_views::MemoryStore;

use super::{Ground, History, Setup, Stop};
use crate::{Rule, checks::check, clock};

/// Time between two passes.
const PASS_MS: u64 = 500;
/// It has stopped by then.
const STOP_MS_MAX: u64 = 6_000;

impl History<'_> {
    /// Stops, and starts again.
    pub(super) fn stop(&mut self) -> Result<(), Stop> {
        self.figures.faults += 1;
        let steps: Vec<_> = self.calls.iter().filter_map(|call| self.engine.step(call, "charge")).collect();
        let mut answer = self.engine.ask_to_stop();
        let mut passed_ms = 0;
        loop {
            check(Rule::Liveness, passed_ms <= STOP_MS_MAX, || "it does not stop".to_owned())?;
            if self.stop_pass()? {
                break;
            }
            self.ground.clock().pass(PASS_MS);
            passed_ms += PASS_MS;
            if self.chance.one_in(3) {
                self.people_step()?;
            }
            if let Some(call) = self.some_call().filter(|_| self.chance.one_in(4)) {
                self.end(call, self.plan.rates.failure);
            }
        }
        // Commands that are not taken any more.
        self.people_step()?;
        let late: Vec<_> = self.calls.iter().filter_map(|call| self.engine.step(call, "charge")).collect();
        self.leave()?;
        check(Rule::Liveness, answer.has_stopped(), || "who asked it to stop has no answer".to_owned())?;
        let waits = steps.iter().chain(&late).filter(|step| step.waits()).count();
        check(Rule::Liveness, waits == 0, || format!("{waits} workers wait for an answer that will not come"))?;
        self.start_again()
    }

    /// A pass of a stopping engine. Returns whether it is ready to stop.
    fn stop_pass(&mut self) -> Result<bool, Stop> {
        match self.run_pass()? {
            Err(Exit::Asked) => Ok(true),
            passed => Ok(passed.map(|()| false)?),
        }
    }

    /// The process ends as requested.
    fn leave(&mut self) -> Result<(), Stop> {
        let nothing =
            Ground::new(SimStorage::new(), MemoryStore::default()).start(self.stage, &Setup::of(&self.plan))?;
        std::mem::replace(&mut self.engine, nothing).stop();
        self.calls.clear();
        self.asked.clear();
        self.people.are_cut_off();
        self.repairs.are_cut_off();
        self.checks.on_hold.clear();
        self.ground.storage = self.ground.storage.crash(Crash::Keep(0));
        self.ground.identities = self.ground.identities.crash(Crash::Keep(0));
        Ok(())
    }

    fn start_again(&mut self) -> Result<(), Stop> {
        clock::restart(self.ground.clock(), &mut self.chance);
        let behind = self.ground.behind(&self.plan)?;
        check(Rule::Rebuilt, behind == 0, || format!("the views are {behind} positions behind"))?;
        self.engine = self.ground.start(self.stage, &Setup::of(&self.plan))?;
        self.see_restart()?;
        self.people.check(&self.records)?;
        self.watching.begin(&self.engine, &self.plan)?;
        self.ready_all();
        Ok(())
    }
}

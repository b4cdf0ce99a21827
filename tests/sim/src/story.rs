//! A record as a line, for printing one history.

use weirgate_types::{Commit, DeliveryCommand, Outcome, Position, Record};

pub fn line(position: Position, record: &Record) -> String {
    let what = match record {
        Record::Accepted { event, .. } => format!("accepted {} of {}", event.r#type, event.key()),
        Record::Attempted { delivery, attempt, .. } => format!("attempt {attempt} of {delivery}"),
        Record::Committed(commit) => outcome(commit),
        Record::Batched(commits) => commits.iter().map(outcome).collect::<Vec<_>>().join("; "),
        Record::Deployed(deployed) => format!("deployed {}", deployed.handler),
        Record::ModeChanged(changed) => format!("{} is {:?}, by {}", changed.handler, changed.mode, changed.actor),
        Record::DeliveryDecided(one) => match &one.command {
            DeliveryCommand::Correct(correction) => {
                format!("{} corrected with {:?} by {}", one.delivery, correction.event, one.actor)
            }
            command => format!("{} {} by {}", one.delivery, command.word(), one.actor),
        },
        Record::BreakerChanged(changed) => format!("{} open until {:?}", changed.breaker, changed.open_until_ms),
        Record::Fired { timer, due_ms, .. } => {
            format!("timer {} of {} {}, due {due_ms}", timer.name, timer.handler, timer.key)
        }
        Record::Released { delivery, .. } => format!("{delivery} is released"),
        Record::Stepped(stepped) => format!("{} made a call", stepped.delivery),
        Record::CorrectionRefused(one) => {
            format!("{} not corrected with {}: {}", one.delivery, one.correction, one.reason)
        }
        Record::Paced { slow, .. } => format!("slow: {slow}"),
        Record::Lost(lost) => format!("{} positions are lost", lost.positions),
        Record::TimeAnchored(anchor) => format!("elapsed time is {}", anchor.elapsed_ms),
        Record::Removed(removed) => format!("removed {}", removed.handler),
        Record::ReplayRequested(one) => format!("a replay of {} is asked for", one.handler),
        Record::ReplayApproved(one) => format!("replay {} is approved, undoes: {}", one.replay, one.undoes),
        Record::Repaired(one) => format!("{} {} is repaired by replay {}", one.handler, one.key, one.replay),
        Record::ReplayAnswered(one) => format!("replay {} made a call for {}", one.replay, one.delivery),
        Record::RepairsRefused(one) => format!("replay {} has not repaired {} keys", one.replay, one.count),
        Record::UndoRequested(one) => format!("the undo of replay {} is asked for", one.replay),
        Record::ApplyBegun(one) => format!("replay {} begins to be applied, undoes: {}", one.replay, one.undoes),
        Record::ReplayEnded(one) => format!("replay {} has ended: {:?}", one.replay, one.end),
        Record::RuntimeChanged(changed) => format!("the runtime is {}", changed.runtime.weirgate),
        Record::GapPassed(gap) => {
            format!("{} waits no longer for {}, and has {}", gap.delivery, gap.expected, gap.found)
        }
    };
    format!("{position} at {}: {what}", record.at_ms())
}

fn outcome(commit: &Commit) -> String {
    let (handler, event, attempt) = (&commit.handler, commit.event, commit.attempt);
    let how = match &commit.outcome {
        Outcome::Completed => "completed".to_owned(),
        Outcome::Withheld => "withheld".to_owned(),
        Outcome::Retry { delay_ms, stage, spent, failure, .. } => {
            format!("{:?}, again after {delay_ms} ms, stage {stage}, spent: {spent}", failure.kind)
        }
        Outcome::AwaitingCorrection { .. } => "waits for a correction".to_owned(),
        Outcome::DeadLettered { held, failure, .. } => format!("dead of {:?}, held: {held}", failure.kind),
    };
    format!("attempt {attempt} of {handler}@{event}: {how}")
}

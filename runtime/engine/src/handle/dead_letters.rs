//! The store of dead letters: listing them, and inspecting one.

use weirgate_core::DeliveryRow;
use weirgate_types::{
    AttemptFailure, Carried, Commit, DeliveryCommand, DeliveryDecided, DeliveryId, Digest, FailureClass, HandlerName,
    LogLine, Outcome, Position, Record,
};

use super::{Handle, blocking};
use crate::{DeadLetter, Refusal, command::LastFailure, job::StoredRecord, keys, notices, queries::Slot, tables};

/// Maximum number of dead letters scanned for one page.
const LOOKED_AT_MAX: usize = 10_000;
const PAGE: usize = 256;
/// Maximum number of failed attempts listed for one delivery.
const FAILURES_MAX: usize = 1_000;
/// Maximum bytes in a page of dead letters, and in the failures listed for one delivery; the item that reaches it is the last.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// Filter of dead letters; absent fields match all.
#[derive(Debug, Clone, Default)]
pub struct DeadLetterFilter {
    pub handler: Option<HandlerName>,
    /// The version that failed.
    pub digest: Option<Digest>,
    pub class: Option<FailureClass>,
    /// A substring of the failure's message, case-insensitive.
    pub text: Option<String>,
    /// The event's type.
    pub r#type: Option<String>,
    pub key: Option<String>,
    /// Unix milliseconds, the first inclusive, the second exclusive.
    pub from_ms: Option<u64>,
    pub until_ms: Option<u64>,
    /// Only those whose record is not after this position.
    pub through: Option<Position>,
}

/// Some dead letters, in order of handler and position.
#[derive(Debug, Clone)]
pub struct DeadLetterPage {
    pub dead_letters: Vec<DeadLetter>,
    /// Where the next page begins; `None` on the last page.
    pub next: Option<DeliveryId>,
    /// The log had been applied up to here before the page was read: as a filter's `through`, it leaves out later ones.
    pub through: Position,
}

/// A failed attempt.
#[derive(Debug, Clone)]
pub struct Failure {
    pub attempt: u32,
    pub at_ms: u64,
    pub digest: Digest,
    pub failure: AttemptFailure,
    pub log: Vec<LogLine>,
    /// When it was due to be tried again.
    pub due_ms: Option<u64>,
}

impl DeadLetterFilter {
    fn takes(&self, dead_letter: &DeadLetter) -> bool {
        let is = |wanted: &Option<String>, found: &str| wanted.as_ref().is_none_or(|wanted| wanted == found);
        let holds = |wanted: &String| dead_letter.failure.message.to_lowercase().contains(&wanted.to_lowercase());
        self.digest.is_none_or(|wanted| dead_letter.digest == Some(wanted))
            && self.class.is_none_or(|wanted| dead_letter.failure.class == wanted)
            && self.text.as_ref().is_none_or(holds)
            && is(&self.r#type, &dead_letter.r#type)
            && is(&self.key, &dead_letter.key)
            && self.from_ms.is_none_or(|from_ms| dead_letter.at_ms >= from_ms)
            && self.until_ms.is_none_or(|until_ms| dead_letter.at_ms < until_ms)
            && self.through.is_none_or(|through| dead_letter.position <= through)
    }
}

impl Handle {
    /// Dead letters after `after`, at most `limit`, and not many more than 4 MiB. A page may hold fewer although more follow.
    ///
    /// # Errors
    /// The log cannot be read; [`Refusal::TooManyQueries`].
    pub async fn dead_letters(
        &self,
        filter: DeadLetterFilter,
        after: Option<DeliveryId>,
        limit: usize,
    ) -> Result<DeadLetterPage, Refusal> {
        let scan = self.0.queries.scan().await?;
        self.dead_letters_in(scan, filter, after, limit).await
    }

    pub(super) async fn dead_letters_in(
        &self,
        scan: Slot,
        filter: DeadLetterFilter,
        after: Option<DeliveryId>,
        limit: usize,
    ) -> Result<DeadLetterPage, Refusal> {
        let handle = self.clone();
        blocking(move || {
            let _scan = scan;
            handle.read_dead_letters(&filter, after.as_ref(), limit)
        })
        .await?
    }

    /// # Errors
    /// The delivery is not a dead letter.
    pub async fn dead_letter(&self, delivery: DeliveryId) -> Result<DeadLetter, Refusal> {
        let handle = self.clone();
        self.0
            .queries
            .read(move || handle.find_dead_letter(&delivery)?.ok_or(Refusal::NotADeadLetter(delivery)))
            .await?
    }

    /// The failed attempts at a delivery, in order; the newest 1,000 of them, or 4 MiB. Attempts of a delivery that is
    /// neither open nor a dead letter are not found.
    ///
    /// # Errors
    /// The log cannot be read; [`Refusal::TooManyQueries`].
    pub async fn failures(&self, delivery: DeliveryId) -> Result<Vec<Failure>, Refusal> {
        let (handle, scan) = (self.clone(), self.0.queries.scan().await?);
        blocking(move || {
            let _scan = scan;
            let (mut failures, mut next, mut bytes) = (Vec::new(), handle.carried(&delivery)?.failure, 0);
            while let Some(position) = next.filter(|_| failures.len() < FAILURES_MAX && bytes < ANSWER_BYTES_MAX) {
                let (failure, previous) = handle.failure_at(&delivery, position)?;
                bytes += failure.as_ref().map_or(0, |failure| failure_bytes(&failure.failure, &failure.log));
                failures.extend(failure);
                next = previous;
            }
            failures.reverse();
            Ok(failures)
        })
        .await?
    }

    pub(super) fn read_dead_letters(
        &self,
        filter: &DeadLetterFilter,
        after: Option<&DeliveryId>,
        limit: usize,
    ) -> Result<DeadLetterPage, Refusal> {
        let prefix =
            filter.handler.as_ref().map_or_else(|| tables::DEAD_LETTERS.prefix().to_vec(), keys::dead_letters_of);
        let mut after = after.map(keys::dead_letter);
        let (mut dead_letters, mut bytes) = (Vec::new(), 0);
        let through = self.0.statuses.views.applied();
        let page = |dead_letters, next| DeadLetterPage { dead_letters, next, through };
        for _ in 0..LOOKED_AT_MAX / PAGE {
            let rows = self.0.statuses.views.scan(&prefix, after.as_deref(), PAGE)?;
            let is_last = rows.len() < PAGE;
            for (row, value) in rows {
                let (Some(delivery), Some(position)) = (keys::delivery_of(&row), keys::value_position(&value)) else {
                    continue;
                };
                after = Some(row);
                let found = self.dead_letter_at(&delivery, position)?.filter(|found| filter.takes(found));
                let Some(dead_letter) = found else { continue };
                // There is a next page only if it has something.
                if dead_letters.len() >= limit || bytes >= ANSWER_BYTES_MAX {
                    let next = dead_letters.last().map(|last: &DeadLetter| last.delivery.clone());
                    return Ok(page(dead_letters, next));
                }
                bytes += dead_letter_bytes(&dead_letter);
                dead_letters.push(dead_letter);
            }
            if is_last {
                return Ok(page(dead_letters, None));
            }
        }
        Ok(page(dead_letters, after.as_deref().and_then(keys::delivery_of)))
    }

    pub(super) fn find_dead_letter(&self, delivery: &DeliveryId) -> Result<Option<DeadLetter>, Refusal> {
        let row = self.0.statuses.views.get(&keys::dead_letter(delivery))?;
        let position = row.and_then(|value| keys::value_position(&value));
        position.map_or(Ok(None), |position| self.dead_letter_at(delivery, position))
    }

    /// What the record at a position contains about a delivery that it made a dead letter.
    fn dead_letter_at(&self, delivery: &DeliveryId, position: Position) -> Result<Option<DeadLetter>, Refusal> {
        let log = &self.0.statuses.log;
        let Some((_, record)) = log.read(position)? else { return Ok(None) };
        let stored = StoredRecord::read(log, delivery.position)?;
        let event = stored.as_ref().and_then(|stored| stored.event(delivery.position));
        let r#type = event.map(|event| event.r#type.clone()).unwrap_or_default();
        if let Record::DeliveryDecided(DeliveryDecided {
            command: DeliveryCommand::DeadLetter,
            key,
            carried,
            actor,
            reason,
            at_ms,
            ..
        }) = record
        {
            let last = self.last_failure(delivery, carried.failure)?;
            return Ok(Some(DeadLetter {
                delivery: delivery.clone(),
                key,
                attempt: last.as_ref().map_or(0, |last| last.attempt),
                at_ms,
                failure: notices::given_up(&actor, &reason, last.as_ref()),
                position,
                digest: last.as_ref().map(|last| last.digest),
                log: last.map(|last| last.log).unwrap_or_default(),
                state: Vec::new(),
                held: false,
                carried: Carried { failure: Some(position), ..carried },
                r#type,
            }));
        }
        Ok(record.commit_of(delivery).and_then(|commit| dead_letter(commit, delivery, position, r#type)))
    }

    /// What the next attempt at a delivery needs, if there is one.
    pub(super) fn carried(&self, delivery: &DeliveryId) -> Result<Carried, Refusal> {
        if let Some(dead_letter) = self.find_dead_letter(delivery)? {
            return Ok(dead_letter.carried);
        }
        let open = self.0.statuses.views.get(&keys::delivery(delivery))?;
        let row = open.and_then(|value| postcard::from_bytes::<DeliveryRow>(&value).ok());
        Ok(row.map(|row| row.carried).unwrap_or_default())
    }

    /// The newest failed attempt in the list that begins at a position; commands are in it as well.
    pub(super) fn last_failure(
        &self,
        delivery: &DeliveryId,
        newest: Option<Position>,
    ) -> Result<Option<LastFailure>, Refusal> {
        let mut next = newest;
        for _ in 0..FAILURES_MAX {
            let Some(position) = next else { return Ok(None) };
            let (failure, previous) = self.failure_at(delivery, position)?;
            if let Some(Failure { attempt, digest, failure, log, .. }) = failure {
                return Ok(Some(LastFailure { attempt, digest, failure, log }));
            }
            next = previous;
        }
        Ok(None)
    }

    /// What the record at a position contains about a failed attempt, and the position of the previous failure.
    fn failure_at(
        &self,
        delivery: &DeliveryId,
        position: Position,
    ) -> Result<(Option<Failure>, Option<Position>), Refusal> {
        let record = self.0.statuses.log.read(position)?.map(|(_, record)| record);
        if let Some(Record::DeliveryDecided(DeliveryDecided { carried, .. })) = &record {
            return Ok((None, carried.failure));
        }
        let Some(commit) = record.as_ref().and_then(|record| record.commit_of(delivery)) else {
            return Ok((None, None));
        };
        let (failure, due_ms, previous) = match &commit.outcome {
            Outcome::Retry { failure, due_ms, previous, .. } => (failure, Some(*due_ms), previous),
            Outcome::AwaitingCorrection { failure, previous } => (failure, None, previous),
            Outcome::DeadLettered { failure, carried, .. } => (failure, None, &carried.failure),
            Outcome::Completed | Outcome::Withheld => return Ok((None, None)),
        };
        let failure = Failure {
            attempt: commit.attempt,
            at_ms: commit.at_ms,
            digest: commit.digest,
            failure: failure.clone(),
            log: commit.log.clone(),
            due_ms,
        };
        Ok((Some(failure), *previous))
    }
}

/// The approximate size of a dead letter, in bytes.
fn dead_letter_bytes(dead_letter: &DeadLetter) -> usize {
    let state = dead_letter.state.iter().map(|write| write.name.len() + write.value.as_ref().map_or(0, Vec::len));
    failure_bytes(&dead_letter.failure, &dead_letter.log) + state.sum::<usize>() + dead_letter.key.len()
}

/// The approximate size of a failure and its log, in bytes.
fn failure_bytes(failure: &AttemptFailure, log: &[LogLine]) -> usize {
    let what_is_wrong = failure.what_is_wrong.as_ref().map_or(0, String::len);
    let log = log.iter().map(|line| size_of::<LogLine>() + line.message.len());
    size_of::<Failure>() + failure.message.len() + what_is_wrong + log.sum::<usize>()
}

fn dead_letter(commit: &Commit, delivery: &DeliveryId, position: Position, r#type: String) -> Option<DeadLetter> {
    let Outcome::DeadLettered { held, carried, state, failure } = &commit.outcome else { return None };
    let carried = Carried { failure: Some(position), ..carried.clone() };
    Some(DeadLetter {
        delivery: delivery.clone(),
        key: commit.key.clone(),
        attempt: commit.attempt,
        at_ms: commit.at_ms,
        failure: failure.clone(),
        position,
        log: commit.log.clone(),
        state: state.clone(),
        held: *held,
        carried,
        digest: Some(commit.digest),
        r#type,
    })
}

//! The deployments that what-ifs ask for, read once for all keys: an application looks at one key after the other, and there may be many
//! records of deployments, modes and breakers.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use weirgate_history::Look;
use weirgate_types::{
    Capabilities, Deployed, HandlerName, Interest, Manifest, Ordering, Position, Record, Start, Subscription,
};

use crate::{StorageError, replay::ReplayError};

/// How many positions are asked for at once.
const PAGE: usize = 1_024;
/// Maximum number of manifests that are kept decoded.
const MANIFESTS_MAX: usize = 1_024;
/// Maximum bytes of the records that are kept; others are read again.
const RECORDS_BYTES_MAX: usize = 16 << 20;

/// A version that is in force.
pub struct InForce {
    pub version: Position,
    pub interest: Interest,
    pub subscriptions: Vec<Subscription>,
    pub state_version: u32,
    pub ordering: Ordering,
    /// Whether it begins with the first event of the log.
    pub begins: bool,
    pub capabilities: Capabilities,
    /// How long an outbound call may take.
    pub call_time_max: Duration,
}

/// By handler.
pub type AllInForce = BTreeMap<HandlerName, Arc<InForce>>;

/// See the module documentation.
#[derive(Default)]
pub struct Deployments(Mutex<Known>);

/// Of the what-if that asked last.
#[derive(Default)]
struct Known {
    in_force: Option<(Position, Arc<AllInForce>)>,
    behind: Option<Behind>,
    /// The last position that is older than a time.
    older: Option<(u64, Position)>,
    manifests: HashMap<Position, Arc<InForce>>,
}

/// The deployments and removals of a handler behind a position.
struct Behind {
    handler: HandlerName,
    after: Position,
    /// The last record about the handler that was read.
    through: Position,
    records: Vec<Kept>,
    bytes: usize,
}

/// Where a record begins, and the record, if there was room for it.
pub type Kept = (Position, Option<Arc<Record>>);

impl Deployments {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The versions in force at a position.
    ///
    /// # Errors
    /// The log or its index cannot be read, or a manifest.
    pub fn in_force(&self, look: &Look, at: Position) -> Result<Arc<AllInForce>, ReplayError> {
        if let Some((_, all)) = self.known().in_force.as_ref().filter(|(known, _)| *known == at) {
            return Ok(Arc::clone(all));
        }
        let head = look.log().head();
        let decoded = |(handler, (position, deployed))| Ok((handler, self.decoded(position, &deployed)?));
        let all: Result<AllInForce, ReplayError> = in_force(look, at)?.into_iter().map(decoded).collect();
        let all = Arc::new(all?);
        // Others may come before a position that the log has not reached.
        if at <= head {
            self.known().in_force = Some((at, Arc::clone(&all)));
        }
        Ok(all)
    }

    /// A version, as its deployment says.
    ///
    /// # Errors
    /// Its manifest cannot be read.
    pub fn decoded(&self, position: Position, deployed: &Deployed) -> Result<Arc<InForce>, ReplayError> {
        if let Some(decoded) = self.known().manifests.get(&position) {
            return Ok(Arc::clone(decoded));
        }
        let manifest = Manifest::from_record(&deployed.manifest)
            .map_err(|error| ReplayError::Manifest { position, reason: error.to_string() })?;
        let (interest, state_version) = (Interest::new(&manifest.subscriptions), manifest.state_version);
        let begins = manifest.start == Start::Beginning;
        let decoded = Arc::new(InForce {
            version: position,
            interest,
            subscriptions: manifest.subscriptions,
            state_version,
            ordering: manifest.ordering,
            begins,
            capabilities: manifest.capabilities,
            call_time_max: Duration::from_millis(manifest.limits.wall_ms),
        });
        let manifests = &mut self.known().manifests;
        if manifests.len() >= MANIFESTS_MAX {
            manifests.clear();
        }
        manifests.insert(position, Arc::clone(&decoded));
        Ok(decoded)
    }

    /// The deployments and removals of a handler behind a position, and up to another, in order.
    ///
    /// # Errors
    /// The log or its index cannot be read.
    pub fn behind(
        &self,
        look: &Look,
        handler: &HandlerName,
        (after, through): (Position, Position),
    ) -> Result<Vec<Kept>, ReplayError> {
        let known = self.known().behind.take().filter(|known| known.handler == *handler && known.after <= after);
        let mut behind = known.unwrap_or_else(|| Behind {
            handler: handler.clone(),
            after,
            through: after,
            records: Vec::new(),
            bytes: 0,
        });
        behind.read(look, through)?;
        let is_asked_for = |(at, _): &&Kept| *at > after && *at <= through;
        let records = behind.records.iter().filter(is_asked_for).cloned().collect();
        self.known().behind = Some(behind);
        Ok(records)
    }

    /// The last position that is older than a time, which `find` finds.
    ///
    /// # Errors
    /// That of `find`.
    pub fn older(
        &self,
        look: &Look,
        time_ms: u64,
        find: impl FnOnce() -> Result<Position, ReplayError>,
    ) -> Result<Position, ReplayError> {
        if let Some((_, position)) = self.known().older.filter(|(known_ms, _)| *known_ms == time_ms) {
            return Ok(position);
        }
        let (head, position) = (look.log().head(), find()?);
        // Records that come may be older, too, until there is one that is not.
        if position < head {
            self.known().older = Some((time_ms, position));
        }
        Ok(position)
    }
}

impl Behind {
    /// Reads on. A look may not know the newest records, so what is known ends with the last one that was found.
    fn read(&mut self, look: &Look, through: Position) -> Result<(), ReplayError> {
        loop {
            let page = look.of_handler(&self.handler, self.through, PAGE)?;
            for position in page.iter().copied().take_while(|position| *position <= through) {
                let read = look.log().read(position).map_err(StorageError::from)?;
                if let Some((first, record @ (Record::Deployed(_) | Record::Removed(_)))) = read {
                    self.bytes = self.bytes.saturating_add(record.encoded_size());
                    let is_kept = self.bytes <= RECORDS_BYTES_MAX;
                    self.records.push((first, is_kept.then(|| Arc::new(record))));
                }
                self.through = position;
            }
            if page.len() < PAGE || page.last().is_some_and(|last| *last > through) {
                return Ok(());
            }
        }
    }
}

/// The deployments in force at a position.
pub fn in_force(look: &Look, through: Position) -> Result<BTreeMap<HandlerName, (Position, Deployed)>, ReplayError> {
    let mut found = BTreeMap::new();
    of_handlers(look, Position::ZERO, through, |position, record| match record {
        Record::Deployed(deployed) => drop(found.insert(deployed.handler.clone(), (position, deployed))),
        Record::Removed(removed) => drop(found.remove(&removed.handler)),
        _ => {}
    })?;
    Ok(found)
}

/// Whether a version is deployed in a range that begins with the first event of the log.
pub fn begins_in(look: &Look, after: Position, through: Position) -> Result<bool, ReplayError> {
    let mut is_any = false;
    of_handlers(look, after, through, |_, record| {
        let Record::Deployed(deployed) = record else { return };
        let manifest = Manifest::from_record(&deployed.manifest);
        is_any |= manifest.is_ok_and(|manifest| manifest.start == Start::Beginning);
    })?;
    Ok(is_any)
}

/// The records about handlers in a range, in order.
fn of_handlers(
    look: &Look,
    mut after: Position,
    through: Position,
    mut take: impl FnMut(Position, Record),
) -> Result<(), ReplayError> {
    loop {
        let page = look.of_handlers(after, PAGE)?;
        for position in page.iter().copied().take_while(|position| *position <= through) {
            if let Some((_, record)) = look.log().read(position).map_err(StorageError::from)? {
                take(position, record);
            }
        }
        match page.last() {
            Some(last) if page.len() == PAGE && *last <= through => after = *last,
            _ => return Ok(()),
        }
    }
}

//! A bundle: attempts with all that they need, in one file, so that they can be executed again elsewhere.
//!
//! It holds modules, manifests, events, state and the results of calls. Secrets are in none of these: the log has their names
//! only. `docs/formats/bundle.md` describes the file.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use weirgate_host::{Host, ModuleError};
use weirgate_log::LogReader;
use weirgate_types::{Commit, DeliveryId, Digest, Epochs, Manifest, Position, RuntimeVersion};

use super::{
    Differs, Fixture, Mask, ReplayError,
    attempts::{Begun, EndedCall},
    compare::{Came, differences},
    execute::{CallInput, Executable},
    inputs::Deployment,
    mask::masked,
    memory::{MemoryCalls, MemoryState, StateView, Step},
    recorded::RecordedCalls,
    walk::{Visit, Walk},
};

const MARK: &[u8; 8] = b"WEIRBNDL";
const VERSION: u32 = 2;
const HEADER_BYTES: usize = MARK.len() + 4 + 32;

/// Attempts with all that they need.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bundle {
    modules: Vec<(Digest, Vec<u8>)>,
    calls: Vec<BundledCall>,
    /// Attempts that are left out because they are not reproducible.
    pub not_reproducible: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BundledCall {
    /// What executed it.
    runtime: RuntimeVersion,
    digest: Digest,
    /// JSON, as recorded.
    pub manifest: String,
    pub input: CallInput<'static>,
    pub items: Vec<BundledItem>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BundledItem {
    pub state: Vec<StateView>,
    /// Final answers of earlier attempts.
    pub before: Vec<Step>,
    /// The attempt's own calls, in order.
    pub calls: Vec<Step>,
    pub came: Came,
}

/// An attempt of a bundle that was executed again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    pub delivery: DeliveryId,
    pub attempt: u32,
    /// Empty if it came to the bundled result.
    pub parts: Vec<Differs>,
}

/// The bytes are no bundle, or it cannot be executed.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    #[error("it is no bundle")]
    NoBundle,
    #[error("it is a bundle of format version {0}; this program reads version {VERSION}")]
    Version(u32),
    #[error("the bundle is damaged: its checksum differs")]
    Damaged,
    #[error("the bundle cannot be decoded")]
    Encoding(#[from] postcard::Error),
    #[error("the bundle has no module {0}")]
    NoModule(Digest),
    #[error("the manifest in the bundle cannot be read: {0}")]
    Manifest(String),
    #[error("module {digest} cannot be used")]
    Module { digest: Digest, source: ModuleError },
    #[error(transparent)]
    Replay(#[from] ReplayError),
}

/// Collects all attempts at `deliveries`, and those that shared their calls. What the masks name is replaced in events, state and
/// answers; then the bundled results are those of the attempts with the replaced values.
///
/// # Errors
/// The log or a module cannot be read; an attempt that is not masked comes to another result than the recorded one.
pub fn collect(
    log: (LogReader, Epochs),
    host: &Arc<Host>,
    deliveries: &BTreeSet<DeliveryId>,
    masks: &[Mask],
) -> Result<Bundle, BundleError> {
    let mut collecting = Collecting { deliveries, masks, bundle: Bundle::default() };
    Walk::new(log, Arc::clone(host)).run(Position(u64::MAX), &mut collecting)?;
    let mut bundle = collecting.bundle;
    let digests: BTreeSet<Digest> = bundle.calls.iter().map(|call| call.digest).collect();
    for digest in digests {
        let bytes = host.module_bytes(digest).map_err(|source| BundleError::Module { digest, source })?;
        bundle.modules.push((digest, bytes));
    }
    Ok(bundle)
}

struct Collecting<'a> {
    deliveries: &'a BTreeSet<DeliveryId>,
    masks: &'a [Mask],
    bundle: Bundle,
}

impl Visit for Collecting<'_> {
    fn call(&mut self, walk: &mut Walk, _: Position, call: &EndedCall) -> Result<(), ReplayError> {
        if !call.iter().any(|ended| self.deliveries.contains(&ended.begun.delivery)) {
            return Ok(());
        }
        let commits = call.iter().map(|ended| walk.commit(ended)).collect::<Result<Option<Vec<_>>, _>>()?;
        let has_inputs = !walk.may_lack_inputs(call);
        let commits = commits.filter(|commits| has_inputs && commits.iter().all(|commit| commit.reproducible));
        let (Some(commits), Some(first)) = (commits, call.first()) else {
            self.bundle.not_reproducible += call.len() as u64;
            return Ok(());
        };
        let deployment = walk.inputs.deployment(first.begun.version)?;
        let bundled = self.bundled(walk, call, &commits, &deployment)?;
        self.bundle.calls.push(bundled);
        Ok(())
    }
}

impl Collecting<'_> {
    fn bundled(
        &self,
        walk: &Walk,
        call: &EndedCall,
        commits: &[Commit],
        deployment: &Deployment,
    ) -> Result<BundledCall, ReplayError> {
        let digest = deployment.record.digest;
        let mut input = walk.inputs.call(call, commits.iter().map(Some))?;
        for item in &mut input.items {
            item.event.to_mut().data = masked(self.masks, &item.event.data);
        }
        let items = call.iter().zip(commits).map(|(ended, commit)| self.item(walk, &ended.begun, commit));
        let items = items.collect::<Result<Vec<_>, _>>()?;
        let (runtime, manifest) = (walk.runtime.clone(), deployment.record.manifest.clone());
        let mut bundled = BundledCall { runtime, digest, manifest, input, items };
        let missing = || ReplayError::Module { digest, source: ModuleError::Missing(digest) };
        let executable = deployment.executable.as_ref().ok_or_else(missing)?;
        if self.masks.is_empty() {
            return bundled.check(executable).map(|()| bundled);
        }
        bundled.adopt(executable)?;
        Ok(bundled)
    }

    fn item(&self, walk: &Walk, begun: &Begun, commit: &Commit) -> Result<BundledItem, ReplayError> {
        let mut state = walk.inputs.state(begun, commit).views()?;
        let values = state.iter_mut().flat_map(|view| &mut view.values);
        values.for_each(|(_, value)| *value = masked(self.masks, value));
        let RecordedCalls { before, own } = walk.inputs.calls(begun)?;
        let step = |stepped| Step::of(stepped, |body| masked(self.masks, body));
        let (before, calls) = (before.into_iter().map(step).collect(), own.into_iter().map(step).collect());
        Ok(BundledItem { state, before, calls, came: commit.into() })
    }
}

impl BundledCall {
    /// The results of the items, executed again; their calls are those that are recorded.
    fn repeat(&self, executable: &Executable) -> Result<Vec<Came>, ReplayError> {
        let (repeated, _) = executable.execute(&self.input, |index| {
            let item = self.items.get(index).ok_or(ReplayError::NoItem(index))?;
            let calls = MemoryCalls::new(item.before.clone(), item.calls.clone());
            Ok((Box::new(MemoryState::new(&item.state)), Box::new(calls)))
        })?;
        Ok(repeated.into_iter().map(Came::from).collect())
    }

    /// # Errors
    /// An item comes to another result than the recorded one.
    fn check(&self, executable: &Executable) -> Result<(), ReplayError> {
        let came = self.repeat(executable)?;
        let mut items = self.input.items.iter().zip(&self.items).zip(&came);
        match items.find(|((_, item), came)| item.came != **came) {
            Some(((input, _), _)) => Err(ReplayError::Differs(input.delivery.clone(), input.attempt)),
            None => Ok(()),
        }
    }

    /// Takes over the results, and the requests of calls, that masked inputs lead to.
    fn adopt(&mut self, executable: &Executable) -> Result<(), ReplayError> {
        let adopted: Vec<MemoryCalls> = self
            .items
            .iter()
            .map(|item| MemoryCalls::new(item.before.clone(), item.calls.clone()).of_any_request())
            .collect();
        let (repeated, _) = executable.execute(&self.input, |index| {
            let (item, calls) = self.items.get(index).zip(adopted.get(index)).ok_or(ReplayError::NoItem(index))?;
            Ok((Box::new(MemoryState::new(&item.state)), Box::new(calls.clone())))
        })?;
        for ((item, repeated), calls) in self.items.iter_mut().zip(repeated).zip(adopted) {
            (item.before, item.calls) = calls.into_steps();
            item.came = repeated.into();
        }
        Ok(())
    }
}

impl Bundle {
    /// Number of bundled attempts.
    #[must_use]
    pub fn attempts(&self) -> usize {
        self.calls.iter().map(|call| call.items.len()).sum()
    }

    /// The attempts that the SDK's test kit can run, as files for it.
    ///
    /// # Errors
    /// A manifest cannot be read.
    pub fn fixtures(&self) -> Result<Vec<Fixture>, BundleError> {
        let mut counts = BTreeMap::<_, u32>::new();
        let mut fixtures = Vec::new();
        for call in &self.calls {
            // Attempts are counted from zero again after a correction, so their numbers are not unique.
            let delivery = call.input.items.first().map(|item| &item.delivery);
            let count = counts.entry(delivery).or_default();
            *count += 1;
            fixtures.extend(call.fixture(*count)?);
        }
        Ok(fixtures)
    }

    /// Executes all attempts again: with their own modules, or all with the candidate.
    ///
    /// # Errors
    /// A module cannot be used, or a call cannot be executed.
    pub fn run(&self, host: &Host, candidate: Option<&[u8]>) -> Result<Vec<Ran>, BundleError> {
        let mut ran = Vec::new();
        for call in &self.calls {
            let own =
                || self.modules.iter().find(|(digest, _)| *digest == call.digest).map(|(_, bytes)| bytes.as_slice());
            let bytes = candidate.or_else(own).ok_or(BundleError::NoModule(call.digest))?;
            let failed = |source| BundleError::Module { digest: call.digest, source };
            let module = host.put_module(bytes).and_then(|info| host.load(info.digest)).map_err(failed)?;
            let manifest = Manifest::from_record(&call.manifest);
            let manifest = manifest.map_err(|error| BundleError::Manifest(error.to_string()))?;
            let came = call.repeat(&Executable::new(module, &manifest))?;
            ran.extend(call.input.items.iter().zip(&call.items).zip(&came).map(|((input, item), came)| Ran {
                delivery: input.delivery.clone(),
                attempt: input.attempt,
                parts: differences(&item.came, came),
            }));
        }
        Ok(ran)
    }

    /// # Errors
    /// None in practice: writing to memory.
    pub fn encode(&self) -> Result<Vec<u8>, BundleError> {
        let body = postcard::to_stdvec(self)?;
        let mut bytes = Vec::with_capacity(HEADER_BYTES + body.len());
        bytes.extend_from_slice(MARK);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&Sha256::digest(&body));
        bytes.extend_from_slice(&body);
        Ok(bytes)
    }

    /// # Errors
    /// The bytes are no bundle of this version, or damaged.
    pub fn decode(bytes: &[u8]) -> Result<Self, BundleError> {
        let rest = bytes.strip_prefix(MARK).ok_or(BundleError::NoBundle)?;
        let (version, rest) = rest.split_first_chunk::<4>().ok_or(BundleError::NoBundle)?;
        let version = u32::from_le_bytes(*version);
        if version != VERSION {
            return Err(BundleError::Version(version));
        }
        let (checksum, body) = rest.split_first_chunk::<32>().ok_or(BundleError::NoBundle)?;
        if Sha256::digest(body).as_slice() != checksum {
            return Err(BundleError::Damaged);
        }
        match postcard::take_from_bytes(body)? {
            (bundle, []) => Ok(bundle),
            _ => Err(BundleError::Damaged),
        }
    }
}

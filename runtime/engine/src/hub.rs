//! The status hub: which watcher follows which subjects, and which changes it has not seen.
//!
//! A watcher keeps no queue. It keeps the set of its subjects that have changed; when it can write, it asks for the changes
//! since the version that it last sent. So a slow reader gets the latest state of each subject, and costs no memory.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use tokio::sync::Notify;
use weirgate_types::{Position, StatusDelta, StatusDocument};

use crate::{Refusal, projection::PublicPart, queries::Queries, statuses::Statuses};

/// All watched subjects.
pub struct Hub {
    statuses: Statuses,
    queries: Queries,
    /// A std mutex: held for a few map operations, never across an await or a read from disk.
    topics: Mutex<HashMap<Arc<str>, Topic>>,
}

#[derive(Debug, Default)]
struct Topic {
    document: StatusDocument,
    /// By their address, since 100,000 of them may begin or end at once. Each ends its own watches.
    watchers: HashMap<usize, Arc<Watcher>>,
    /// The newest requested delta: most watchers request the same one.
    newest: Option<Arc<SharedDelta>>,
}

/// A delta shared by several connections. The first one fills `encoded`.
#[derive(Debug)]
pub struct SharedDelta {
    pub delta: StatusDelta,
    pub encoded: OnceLock<Arc<str>>,
}

/// One watcher's changed subjects.
#[derive(Debug, Default)]
struct Watcher {
    changed: Mutex<BTreeSet<Arc<str>>>,
    /// Wakes the task that writes to this watcher.
    wake: Notify,
}

impl Watcher {
    async fn changed(&self) -> BTreeSet<Arc<str>> {
        loop {
            let changed = std::mem::take(&mut *lock(&self.changed));
            if !changed.is_empty() {
                return changed;
            }
            self.wake.notified().await;
        }
    }

    fn mark(&self, subject: &Arc<str>) {
        lock(&self.changed).insert(Arc::clone(subject));
        self.wake.notify_one();
    }
}

/// A watcher, its subjects, and the version it has of each; dropping it ends all its watches.
pub struct Watch {
    hub: Arc<Hub>,
    watcher: Arc<Watcher>,
    versions: HashMap<Arc<str>, Position>,
}

impl Watch {
    #[must_use]
    pub fn new(hub: Arc<Hub>) -> Self {
        Self { hub, watcher: Arc::default(), versions: HashMap::new() }
    }

    /// Watches a subject, and returns its present document. No change is missed between the two.
    ///
    /// # Errors
    /// The view cannot be read.
    pub async fn add(&mut self, subject: &str) -> Result<StatusDocument, Refusal> {
        let name = self.begin(subject);
        let stored = self.hub.document(subject).await?;
        Ok(self.complete(name, stored))
    }

    /// The same, on a thread that may wait for the disk.
    ///
    /// # Errors
    /// The view cannot be read.
    #[cfg(feature = "sim")]
    pub fn add_blocking(&mut self, subject: &str) -> Result<StatusDocument, Refusal> {
        let name = self.begin(subject);
        let stored = self.hub.statuses.document(subject)?;
        Ok(self.complete(name, stored))
    }

    /// The watch begins before the document is read, and parts published meanwhile are merged by version.
    fn begin(&mut self, subject: &str) -> Arc<str> {
        let name: Arc<str> = subject.into();
        self.versions.entry(Arc::clone(&name)).or_default();
        self.hub.watch(&self.watcher, subject);
        name
    }

    fn complete(&mut self, name: Arc<str>, stored: StatusDocument) -> StatusDocument {
        let document = self.hub.merge(&name, stored);
        self.versions.insert(name, document.version);
        document
    }

    pub fn remove(&mut self, subject: &str) {
        self.versions.remove(subject);
        self.hub.unwatch(&self.watcher, subject);
    }

    /// Waits until a watched subject has changed; returns all changed ones, each once.
    pub async fn changed(&self) -> BTreeSet<Arc<str>> {
        self.watcher.changed().await
    }

    /// The changes of a watched subject since the watcher last asked; `None` if there are none.
    pub fn news(&mut self, subject: &str) -> Option<Arc<SharedDelta>> {
        let version = self.versions.get_mut(subject)?;
        let shared = self.hub.since(subject, *version)?;
        *version = shared.delta.version;
        Some(shared)
    }

    /// The watcher's version of a subject; `None` if it does not watch it.
    #[must_use]
    pub fn version(&self, subject: &str) -> Option<Position> {
        self.versions.get(subject).copied()
    }

    /// How many subjects are watched.
    #[must_use]
    pub fn subjects(&self) -> usize {
        self.versions.len()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        for subject in self.versions.keys() {
            self.hub.unwatch(&self.watcher, subject);
        }
    }
}

impl Hub {
    pub(crate) fn new(statuses: Statuses, queries: Queries) -> Self {
        Self { statuses, queries, topics: Mutex::default() }
    }

    fn watch(&self, watcher: &Arc<Watcher>, subject: &str) {
        let mut topics = lock(&self.topics);
        let topic = topics.entry(subject.into()).or_default();
        topic.watchers.insert(Arc::as_ptr(watcher).addr(), Arc::clone(watcher));
    }

    /// The document read for a watched subject, merged with parts published since.
    fn merge(&self, subject: &str, stored: StatusDocument) -> StatusDocument {
        let mut topics = lock(&self.topics);
        let topic = topics.entry(subject.into()).or_default();
        for (name, part) in stored.parts {
            if topic.document.parts.get(&name).is_none_or(|known| known.version < part.version) {
                topic.document.set(&name, part);
            }
        }
        topic.document.clone()
    }

    fn unwatch(&self, watcher: &Arc<Watcher>, subject: &str) {
        let mut topics = lock(&self.topics);
        if let Some(topic) = topics.get_mut(subject) {
            topic.watchers.remove(&Arc::as_ptr(watcher).addr());
            if topic.watchers.is_empty() {
                topics.remove(subject);
            }
        }
    }

    fn since(&self, subject: &str, previous: Position) -> Option<Arc<SharedDelta>> {
        let mut topics = lock(&self.topics);
        let topic = topics.get_mut(subject).filter(|topic| topic.document.version > previous)?;
        let version = topic.document.version;
        let known = topic.newest.as_ref().filter(|s| s.delta.previous == previous && s.delta.version == version);
        if let Some(shared) = known {
            return Some(Arc::clone(shared));
        }
        let shared = Arc::new(SharedDelta { delta: topic.document.since(previous), encoded: OnceLock::new() });
        topic.newest = Some(Arc::clone(&shared));
        Some(shared)
    }

    /// The document of a subject, watched or not.
    ///
    /// # Errors
    /// The view cannot be read.
    pub async fn document(&self, subject: &str) -> Result<StatusDocument, Refusal> {
        let (statuses, subject) = (self.statuses.clone(), subject.to_owned());
        Ok(self.queries.watched_status(move || statuses.document(&subject)).await??)
    }

    /// The same, on a thread that may wait for the disk.
    ///
    /// # Errors
    /// The view cannot be read.
    #[cfg(feature = "sim")]
    pub fn document_blocking(&self, subject: &str) -> Result<StatusDocument, Refusal> {
        Ok(self.statuses.document(subject)?)
    }

    /// How many subjects are watched.
    #[must_use]
    pub fn watched(&self) -> usize {
        lock(&self.topics).len()
    }

    /// Broadcasts committed parts to the watchers. Called after the view has applied them.
    pub(crate) fn broadcast(&self, parts: Vec<PublicPart>) {
        let mut topics = lock(&self.topics);
        for PublicPart { subject, handler, part, .. } in parts {
            let name = topics.get_key_value(subject.as_str()).map(|(name, _)| Arc::clone(name));
            let Some((name, topic)) = name.and_then(|name| Some((Arc::clone(&name), topics.get_mut(&name)?))) else {
                continue;
            };
            topic.document.set(handler.as_str(), part);
            topic.watchers.values().for_each(|watcher| watcher.mark(&name));
        }
    }
}

/// A panic while one of these locks is held leaves no inconsistent state.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! The status hub: which watcher follows which subjects, and which changes it has not seen.
//!
//! A watcher keeps no queue. It keeps the set of its subjects that have changed; when it can write, it asks for the changes
//! since the version that it last sent. So a slow reader gets the latest state of each subject, and costs no memory.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    future::poll_fn,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
};

use weirgate_types::{Position, StatusDelta, StatusDocument};

use crate::{Refusal, projection::PublicPart, queries::Queries, statuses::Statuses};

/// Number of a subject's watchers that are woken by the thread that broadcasts. More are woken by [`Hub::wake_watchers`].
const WOKEN_MAX: usize = 16;

/// All watched subjects.
pub struct Hub {
    statuses: Statuses,
    queries: Queries,
    /// The changed subjects of [`Hub::wake_watchers`], while it runs.
    many: Watcher,
    wakes: AtomicBool,
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
    /// The version at the last [`Hub::wake_watchers`], which most of its watchers have by the next.
    woken_at: Position,
}

impl Topic {
    fn since(&mut self, previous: Position) -> Option<Arc<SharedDelta>> {
        let version = self.document.version;
        if version <= previous {
            return None;
        }
        let known = self.newest.as_ref().filter(|s| s.delta.previous == previous && s.delta.version == version);
        if let Some(shared) = known {
            return Some(Arc::clone(shared));
        }
        let (encoded, framed) = (OnceLock::new(), OnceLock::new());
        let shared = Arc::new(SharedDelta { delta: self.document.since(previous), encoded, framed });
        self.newest = Some(Arc::clone(&shared));
        Some(shared)
    }
}

/// A subject that has changed.
#[derive(Debug)]
pub struct ChangedSubject {
    subject: Arc<str>,
    /// What has changed, for those that have the version before it. Saves them the hub's lock.
    shared: Option<Arc<SharedDelta>>,
}

/// A delta shared by several connections. The first one that needs an encoding of it makes it.
#[derive(Debug)]
pub struct SharedDelta {
    pub delta: StatusDelta,
    /// As text.
    pub encoded: OnceLock<Arc<str>>,
    /// As the bytes of a WebSocket's frame.
    pub framed: OnceLock<Arc<[u8]>>,
}

/// One watcher's changed subjects.
#[derive(Debug, Default)]
struct Watcher(Mutex<Marked>);

#[derive(Debug, Default)]
struct Marked {
    /// Each once, in the order of their first change.
    subjects: VecDeque<ChangedSubject>,
    /// Wakes the task that writes to this watcher, if it waits. One lock with the subjects, because each change needs both.
    waker: Option<Waker>,
}

impl Watcher {
    fn poll_changed(&self, context: &Context<'_>, changed: &mut VecDeque<ChangedSubject>) -> Poll<()> {
        let mut marked = lock(&self.0);
        if marked.subjects.is_empty() {
            if !marked.waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
                marked.waker = Some(context.waker().clone());
            }
            return Poll::Pending;
        }
        changed.append(&mut marked.subjects);
        Poll::Ready(())
    }

    /// A topic's watchers share its name, so equal names are one allocation.
    fn mark(&self, subject: &Arc<str>, shared: Option<&Arc<SharedDelta>>) {
        let mut marked = lock(&self.0);
        if let Some(known) = marked.subjects.iter_mut().find(|known| Arc::ptr_eq(&known.subject, subject)) {
            // Neither of the two deltas has all that changed.
            known.shared = None;
            return;
        }
        marked.subjects.push_back(ChangedSubject { subject: Arc::clone(subject), shared: shared.cloned() });
        let waker = marked.waker.take();
        drop(marked);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn unmark(&self, subject: &str) {
        lock(&self.0).subjects.retain(|known| *known.subject != *subject);
    }
}

/// A watcher, its subjects, and the version it has of each; dropping it ends all its watches.
pub struct Watch {
    hub: Arc<Hub>,
    watcher: Arc<Watcher>,
    /// A tree, since most watchers have one subject, or a few.
    versions: BTreeMap<Arc<str>, Position>,
}

impl Watch {
    #[must_use]
    pub fn new(hub: Arc<Hub>) -> Self {
        Self { hub, watcher: Arc::default(), versions: BTreeMap::new() }
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
        self.watcher.unmark(subject);
    }

    /// Waits until a watched subject has changed; returns all changed ones, each once.
    pub async fn changed(&self) -> VecDeque<ChangedSubject> {
        let mut changed = VecDeque::new();
        poll_fn(|context| self.poll_changed(context, &mut changed)).await;
        changed
    }

    /// The same, adding them to `changed`. Without any, the task is woken at the next one.
    pub fn poll_changed(&self, context: &Context<'_>, changed: &mut VecDeque<ChangedSubject>) -> Poll<()> {
        self.watcher.poll_changed(context, changed)
    }

    /// The changes of a watched subject since the watcher last asked; `None` if there are none.
    pub fn news(&mut self, subject: &str) -> Option<Arc<SharedDelta>> {
        self.news_or(subject, None)
    }

    /// The same, of a subject that has changed, and its name.
    pub fn news_of(&mut self, changed: ChangedSubject) -> Option<(Arc<str>, Arc<SharedDelta>)> {
        let shared = self.news_or(&changed.subject, changed.shared)?;
        Some((changed.subject, shared))
    }

    fn news_or(&mut self, subject: &str, shared: Option<Arc<SharedDelta>>) -> Option<Arc<SharedDelta>> {
        let version = self.versions.get_mut(subject)?;
        let follows = shared.filter(|shared| shared.delta.previous == *version);
        let shared = follows.or_else(|| self.hub.since(subject, *version))?;
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
        Self { statuses, queries, many: Watcher::default(), wakes: AtomicBool::new(false), topics: Mutex::default() }
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
        lock(&self.topics).get_mut(subject)?.since(previous)
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
            if topic.watchers.len() > WOKEN_MAX && self.wakes.load(Ordering::Acquire) {
                self.many.mark(&name, None);
            } else {
                topic.watchers.values().for_each(|watcher| watcher.mark(&name, None));
            }
        }
    }

    /// Wakes the watchers of subjects that have many, until it is dropped. To be run by the runtime that runs the watchers' tasks: one of
    /// its threads wakes a task for a fraction of what it costs the writer, and lets another thread take half of them.
    pub async fn wake_watchers(&self) {
        let _end = Waking::begin(self);
        let mut changed = VecDeque::new();
        loop {
            poll_fn(|context| self.many.poll_changed(context, &mut changed)).await;
            changed.drain(..).for_each(|changed| self.wake_all(&changed.subject));
        }
    }

    /// The watchers are woken when the lock is released, because their tasks may need it at once.
    fn wake_all(&self, subject: &Arc<str>) {
        let (shared, watchers) = {
            let mut topics = lock(&self.topics);
            let Some(topic) = topics.get_mut(subject) else { return };
            let before = std::mem::replace(&mut topic.woken_at, topic.document.version);
            let watchers: Vec<Arc<Watcher>> = topic.watchers.values().cloned().collect();
            (topic.since(before), watchers)
        };
        for watcher in &watchers {
            watcher.mark(subject, shared.as_ref());
        }
    }
}

/// A running [`Hub::wake_watchers`].
struct Waking<'a>(&'a Hub);

impl<'a> Waking<'a> {
    fn begin(hub: &'a Hub) -> Self {
        hub.wakes.store(true, Ordering::Release);
        Self(hub)
    }
}

impl Drop for Waking<'_> {
    fn drop(&mut self) {
        self.0.wakes.store(false, Ordering::Release);
        let left = std::mem::take(&mut lock(&self.0.many.0).subjects);
        for changed in &left {
            self.0.wake_all(&changed.subject);
        }
    }
}

/// A panic while one of these locks is held leaves no inconsistent state.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use weirgate_types::StatusPart;

    use super::*;

    fn part(version: u64) -> StatusPart {
        StatusPart {
            version: Position(version),
            at_ms: 1,
            state: "done".to_owned(),
            text: String::new(),
            data: None,
            delivery: None,
            corrected: false,
            removed: false,
        }
    }

    /// What is taken of a watcher, and whether its task is woken at the next change.
    fn taken(watcher: &Watcher) -> (Vec<(String, bool)>, bool) {
        let mut changed = VecDeque::new();
        let is_waiting = watcher.poll_changed(&Context::from_waker(Waker::noop()), &mut changed).is_pending();
        let changed = changed.into_iter().map(|changed| (changed.subject.to_string(), changed.shared.is_some()));
        (changed.collect(), is_waiting && lock(&watcher.0).waker.is_some())
    }

    #[test]
    fn a_subject_is_marked_once_and_has_a_delta_only_if_that_is_all() {
        let (watcher, mut topic) = (Watcher::default(), Topic::default());
        topic.document.set("ledger", part(3));
        let shared = topic.since(Position::ZERO).expect("news");
        let [a, b]: [Arc<str>; 2] = ["a".into(), "b".into()];
        assert_eq!(taken(&watcher), (vec![], true));
        watcher.mark(&b, Some(&shared));
        watcher.mark(&a, Some(&shared));
        watcher.mark(&a, Some(&shared));
        assert_eq!(taken(&watcher), (vec![("b".into(), true), ("a".into(), false)], false));
        watcher.mark(&a, None);
        watcher.mark(&b, None);
        watcher.unmark("a");
        assert_eq!(taken(&watcher), (vec![("b".into(), false)], false));
        assert_eq!(taken(&watcher), (vec![], true));
    }

    #[test]
    fn watchers_with_one_version_share_a_delta() {
        let mut topic = Topic::default();
        topic.document.set("ledger", part(3));
        topic.document.set("mail", part(5));
        let [first, again, later] = [0, 0, 3].map(|version| topic.since(Position(version)).expect("news"));
        assert!(Arc::ptr_eq(&first, &again) && first.delta.parts.len() == 2);
        assert_eq!((later.delta.previous, later.delta.version, later.delta.parts.len()), (Position(3), Position(5), 1));
        assert!(topic.since(Position(5)).is_none());
    }
}

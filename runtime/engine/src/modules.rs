//! Uploaded modules: the queues for uploading and for loading them, and garbage collection.
//!
//! Both queues are short and have their own threads, so that nothing else waits behind a compiler. Queued work ends when the
//! future that waits for it is dropped.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rustix::fs::statvfs;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use weirgate_host::{Host, Module, ModuleError, ModuleInfo};
use weirgate_types::Digest;
use weirgate_views::Views;

use crate::{Clock, Refusal, keys, queries::blocking};

/// Maximum number of uploads in progress: read, waiting, or compiled.
const UPLOADS_MAX: usize = 8;
/// Maximum number of deployments that load a module or wait for that.
const LOADS_MAX: usize = 16;

/// Limits for modules that no handler was ever deployed with.
#[derive(Debug, Clone, Copy)]
pub struct ModuleOptions {
    /// How long one is kept after its upload.
    pub grace: Duration,
    /// Maximum total bytes.
    pub unused_bytes_max: u64,
}

impl Default for ModuleOptions {
    fn default() -> Self {
        Self { grace: Duration::from_secs(3_600), unused_bytes_max: 2 << 30 }
    }
}

/// Where modules are written, and how much space has to stay free there.
#[derive(Debug, Clone)]
pub struct ModuleDisk {
    pub dir: PathBuf,
    pub free_bytes_min: u64,
}

/// See the module documentation.
pub struct Modules {
    host: Arc<Host>,
    views: Views,
    clock: Arc<dyn Clock>,
    options: ModuleOptions,
    disk: ModuleDisk,
    uploads: Queue,
    loads: Queue,
    /// When this process last stored or loaded a module, by the monotonic clock.
    recent: Mutex<HashMap<Digest, Duration>>,
}

/// A module whose bytes are arriving, with its permit in the queue.
#[derive(Debug)]
pub struct Upload {
    taken: weirgate_host::Upload,
    permit: OwnedSemaphorePermit,
}

/// What a collection deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Collected {
    pub modules: usize,
    pub bytes: u64,
}

/// Permits for waiting jobs, and a slot for the running one.
struct Queue {
    waiting: Arc<Semaphore>,
    slots: Arc<Semaphore>,
}

impl Queue {
    fn new(waiting_max: usize) -> Self {
        Self { waiting: Arc::new(Semaphore::new(waiting_max)), slots: Arc::new(Semaphore::new(1)) }
    }

    fn permit(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        Arc::clone(&self.waiting).try_acquire_owned().map_err(|_| Refusal::ModuleQueueFull)
    }

    /// Runs a job when a slot is free. Once begun it continues, with its permit, even if its caller has gone.
    async fn run<T: Send + 'static>(
        &self,
        permit: OwnedSemaphorePermit,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let slot = Arc::clone(&self.slots).acquire_owned().await.map_err(|_| Refusal::Stopped)?;
        blocking(move || {
            let _held = (permit, slot);
            work()
        })
        .await
    }
}

impl Upload {
    /// Appends the next bytes.
    ///
    /// # Errors
    /// It is too large, not a component, or cannot be written.
    pub async fn write(mut self, chunk: impl AsRef<[u8]> + Send + 'static) -> Result<Self, Refusal> {
        blocking(move || {
            self.taken.write(chunk.as_ref())?;
            Ok(self)
        })
        .await?
    }
}

impl Modules {
    pub fn new(
        host: Arc<Host>,
        views: Views,
        clock: Arc<dyn Clock>,
        options: ModuleOptions,
        disk: ModuleDisk,
    ) -> Arc<Self> {
        let (uploads, loads) = (Queue::new(UPLOADS_MAX), Queue::new(LOADS_MAX));
        Arc::new(Self { host, views, clock, options, disk, uploads, loads, recent: Mutex::default() })
    }

    pub fn host(&self) -> &Arc<Host> {
        &self.host
    }

    /// Begins an upload of at most `bytes`, if there is a permit and space for it.
    pub async fn begin(self: &Arc<Self>, bytes: u64) -> Result<Upload, Refusal> {
        let permit = self.uploads.permit()?;
        let modules = Arc::clone(self);
        blocking(move || {
            if !modules.disk.has_room(bytes) {
                return Err(Refusal::DiskFull);
            }
            if modules.unused_bytes()?.saturating_add(bytes) > modules.options.unused_bytes_max {
                return Err(Refusal::TooManyModules { bytes_max: modules.options.unused_bytes_max });
            }
            Ok(Upload { taken: modules.host.begin_upload()?, permit })
        })
        .await?
    }

    /// Checks a complete upload, and keeps it.
    pub async fn put(self: &Arc<Self>, upload: Upload) -> Result<ModuleInfo, Refusal> {
        let modules = Arc::clone(self);
        let Upload { taken, permit } = upload;
        let put = move || {
            // Noted before the look-up, so that a module that exists already is not deleted from now on.
            modules.note(taken.digest());
            Ok(modules.host.put_upload(taken)?)
        };
        self.uploads.run(permit, put).await?
    }

    /// The module of a handler that is being deployed. It is not deleted before the deployment is durable.
    pub async fn load(self: &Arc<Self>, digest: Digest) -> Result<Module, Refusal> {
        self.note(digest);
        let modules = Arc::clone(self);
        let load = move || {
            let module = modules.host.load(digest)?;
            modules.host.mark_used(digest);
            Ok(module)
        };
        if self.host.is_loaded(digest) {
            blocking(load).await?
        } else {
            self.loads.run(self.loads.permit()?, load).await?
        }
    }

    /// Deletes the modules that no `Deployed` record names and that were not used within the grace period.
    pub fn collect(&self) -> Result<Collected, Refusal> {
        let mut collected = Collected::default();
        for digest in self.host.modules()? {
            if let Some(bytes) = self.collect_one(digest)? {
                tracing::info!(%digest, bytes, "deleting a module that was never deployed");
                collected.modules += 1;
                collected.bytes += bytes;
            }
        }
        Ok(collected)
    }

    fn collect_one(&self, digest: Digest) -> Result<Option<u64>, Refusal> {
        let Some((used_ms, bytes)) = self.unused(digest)? else { return Ok(None) };
        let age = Duration::from_millis(self.clock.now_ms().saturating_sub(used_ms));
        // Held until the module is deleted: a deployment notes the module before it loads it.
        let recent = self.recent();
        let now = self.clock.monotonic();
        let is_recent = recent.get(&digest).is_some_and(|at| now.saturating_sub(*at) < self.options.grace);
        if is_recent || age < self.options.grace {
            return Ok(None);
        }
        self.host.remove(digest)?;
        Ok(Some(bytes))
    }

    fn unused_bytes(&self) -> Result<u64, Refusal> {
        let mut bytes = 0_u64;
        for digest in self.host.modules()? {
            bytes = bytes.saturating_add(self.unused(digest)?.map_or(0, |(_, bytes)| bytes));
        }
        Ok(bytes)
    }

    /// When a module was last used, and its size, where no `Deployed` record names it.
    fn unused(&self, digest: Digest) -> Result<Option<(u64, u64)>, Refusal> {
        if self.views.get(&keys::deployed_module(digest))?.is_some() {
            return Ok(None);
        }
        match self.host.last_use(digest) {
            Ok(found) => Ok(Some(found)),
            Err(ModuleError::Missing(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Notes that a module is used now.
    fn note(&self, digest: Digest) {
        let (now, grace) = (self.clock.monotonic(), self.options.grace);
        let mut recent = self.recent();
        recent.retain(|_, at| now.saturating_sub(*at) < grace);
        recent.insert(digest, now);
    }

    fn recent(&self) -> MutexGuard<'_, HashMap<Digest, Duration>> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ModuleDisk {
    /// Whether this many bytes fit without using the reserve. If the file system reports no free space, the write has to
    /// show it.
    fn has_room(&self, bytes: u64) -> bool {
        statvfs(&self.dir).map_or(true, |disk| {
            disk.f_bavail.saturating_mul(disk.f_frsize).saturating_sub(bytes) >= self.free_bytes_min
        })
    }
}

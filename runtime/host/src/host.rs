//! The host: accepts, stores and loads modules. Loaded modules are called through [`Module`].

use std::{
    collections::HashMap,
    fs::File,
    io::{Read, Seek},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

use wasmtime::{Engine, component::Linker};
use weirgate_types::{Digest, FailureKind, RuntimeVersion};

use crate::{
    Budget, CallError, HostError, HostOptions, Module, ModuleError, ModuleInfo, Purpose, Upload,
    artefact::Artefact,
    attempt::Attempt,
    check,
    compile::{CompileLimits, parent, sandbox},
    contract, engine,
    files::Files,
    module::WeakModule,
    outbound::Network,
    ticker::Ticker,
    wasi,
};

/// Approximate size of an artefact as a multiple of its module's size.
const ARTEFACT_PER_MODULE: usize = 4;

/// Accepts modules and loads them. Its methods block: for seconds when something has to be compiled.
pub struct Host {
    options: HostOptions,
    engine: Engine,
    linker: Linker<Attempt>,
    ticker: Ticker,
    network: Arc<Network>,
    files: Files,
    /// Modules in use, so that a module's code is in memory only once.
    loaded: Mutex<HashMap<Digest, WeakModule>>,
    /// Number of compilers that may still be started.
    compilers: Mutex<usize>,
    compiler_free: Condvar,
    /// Whether compiling processes are confined by a seccomp filter.
    has_seccomp: bool,
}

impl Host {
    /// # Errors
    /// The directory cannot be created, or the engine does not start (its pool takes much address space).
    pub fn new(options: HostOptions) -> Result<Self, HostError> {
        if options.compiler.is_empty() {
            return Err(HostError::NoCompiler);
        }
        let has_seccomp = sandbox::announce();
        let failed = |error: wasmtime::Error| HostError::Engine(check::one_line(&error));
        let engine = engine::running(options.instances_max, options.memory_bytes_max).map_err(failed)?;
        let mut linker = Linker::new(&engine);
        contract::add_to_linker(&mut linker).map_err(failed)?;
        wasi::add_to_linker(&mut linker).map_err(failed)?;
        Ok(Self {
            ticker: Ticker::start(&engine).map_err(|error| HostError::Engine(error.to_string()))?,
            network: Arc::new(Network::new(options.outbound.clone(), options.budget.clone())),
            files: Files::open(&options.dir, engine::compatibility(&engine))?,
            loaded: Mutex::default(),
            compilers: Mutex::new(options.compiles_max.max(1)),
            compiler_free: Condvar::new(),
            has_seccomp,
            options,
            engine,
            linker,
        })
    }

    /// Checks the module and stores it durably. Returns at once if the module exists already.
    ///
    /// # Errors
    /// It is not a handler, needs too much, or cannot be written; nothing is stored then.
    pub fn put_module(&self, bytes: &[u8]) -> Result<ModuleInfo, ModuleError> {
        let mut upload = self.begin_upload()?;
        upload.write(bytes)?;
        self.put_upload(upload)
    }

    /// Begins the upload of a module.
    ///
    /// # Errors
    /// No file can be created for it.
    pub fn begin_upload(&self) -> Result<Upload, ModuleError> {
        Ok(Upload::new(self.files.begin_module()?, self.options.module_bytes_max))
    }

    /// Like [`Host::put_module`], for a completely uploaded module.
    ///
    /// # Errors
    /// As for [`Host::put_module`].
    pub fn put_upload(&self, upload: Upload) -> Result<ModuleInfo, ModuleError> {
        let bytes = upload.bytes();
        let (digest, mut file) = upload.finish()?;
        // A module that is damaged or cannot be loaded any more is written again.
        if let Ok(module) = self.files.module(digest).and_then(|_| self.load(digest)) {
            self.files.touch_module(digest);
            return Ok(module.info().clone());
        }
        let path = file.path().to_owned();
        let failed = |source| ModuleError::Storage { doing: "reading", path, source };
        let module = file.rewind().and_then(|()| file.reopen()).map_err(failed)?;
        let artefact = self.compile(module, bytes)?;
        let module = self.link(digest, bytes, &artefact)?;
        self.try_start(&module)?;
        self.files.write_artefact(digest, &artefact.0);
        self.files.keep_module(digest, file)?;
        self.announce(&module);
        Ok(module.info().clone())
    }

    /// A stored module, from the cache or compiled again.
    ///
    /// # Errors
    /// [`ModuleError::Missing`] if it was never stored or its file is gone; otherwise it cannot be read or compiled.
    pub fn load(&self, digest: Digest) -> Result<Module, ModuleError> {
        let bytes = self.files.module_bytes(digest)?;
        if let Some(module) = self.held(digest) {
            return Ok(module);
        }
        let module = self.load_cached(digest, bytes).map_or_else(|| self.load_compiling(digest, bytes), Ok)?;
        self.announce(&module);
        Ok(module)
    }

    /// A stored module's bytes, which are verified.
    ///
    /// # Errors
    /// As for [`Host::load`].
    pub fn module_bytes(&self, digest: Digest) -> Result<Vec<u8>, ModuleError> {
        let mut bytes = Vec::new();
        let read = self.files.module(digest)?.read_to_end(&mut bytes);
        read.map(|_| bytes).map_err(|source| {
            let path = self.options.dir.clone();
            ModuleError::Storage { doing: "reading a module in", path, source }
        })
    }

    /// Whether a module is in memory, so that loading it takes no time.
    #[must_use]
    pub fn is_loaded(&self, digest: Digest) -> bool {
        self.held(digest).is_some()
    }

    /// When a module was last stored or marked as used, in Unix milliseconds, and its size in bytes.
    ///
    /// # Errors
    /// [`ModuleError::Missing`], or its file's metadata cannot be read.
    pub fn last_use(&self, digest: Digest) -> Result<(u64, u64), ModuleError> {
        self.files.module_used(digest)
    }

    /// Marks a module as used now.
    pub fn mark_used(&self, digest: Digest) {
        self.files.touch_module(digest);
    }

    /// Deletes a module and its artefacts. Its present users keep it in memory.
    ///
    /// # Errors
    /// Its file cannot be deleted.
    pub fn remove(&self, digest: Digest) -> Result<(), ModuleError> {
        self.files.remove_module(digest)
    }

    /// What executes handlers here.
    #[must_use]
    pub fn runtime_version(&self) -> RuntimeVersion {
        let wasm_engine = format!("wasmtime {} {}", engine::WASMTIME, engine::compatibility(&self.engine));
        RuntimeVersion { weirgate: env!("CARGO_PKG_VERSION").to_owned(), wasm_engine }
    }

    /// The budget of held bytes; see [`HostOptions::budget`].
    #[must_use]
    pub fn budget(&self) -> &Budget {
        &self.options.budget
    }

    /// The description of a module.
    ///
    /// # Errors
    /// As for [`Host::load`].
    pub fn info(&self, digest: Digest) -> Result<ModuleInfo, ModuleError> {
        self.load(digest).map(|module| module.info().clone())
    }

    /// The digests of all stored modules, sorted.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn modules(&self) -> Result<Vec<Digest>, ModuleError> {
        self.files.modules()
    }

    fn load_cached(&self, digest: Digest, bytes: u64) -> Option<Module> {
        let artefact = Artefact(self.files.artefact(digest)?);
        let linked = self.link(digest, bytes, &artefact);
        linked
            .inspect_err(
                |error| tracing::warn!(%digest, %error, "a compiled artefact cannot be used and is compiled again"),
            )
            .ok()
    }

    fn load_compiling(&self, digest: Digest, bytes: u64) -> Result<Module, ModuleError> {
        let artefact = self.compile(self.files.module(digest)?, bytes)?;
        let module = self.link(digest, bytes, &artefact)?;
        self.files.write_artefact(digest, &artefact.0);
        Ok(module)
    }

    fn held(&self, digest: Digest) -> Option<Module> {
        locked(&self.loaded).get(&digest).and_then(WeakModule::upgrade)
    }

    /// Makes a loaded module available to others while it is in use.
    fn announce(&self, module: &Module) {
        let mut loaded = locked(&self.loaded);
        loaded.retain(|_, module| module.upgrade().is_some());
        loaded.insert(module.info().digest, module.downgrade());
    }

    fn link(&self, digest: Digest, bytes: u64, artefact: &Artefact) -> Result<Module, ModuleError> {
        // A module that compiles but is refused here does not fit the pool: too many tables, too large a memory.
        let component =
            artefact.load(&self.engine).map_err(|error| ModuleError::StartLimit(check::one_line(&error)))?;
        let entry = check::link(&self.linker, &component)?;
        let (imports, exports) = check::names(&self.engine, &component);
        Ok(Module::new(
            ModuleInfo { digest, bytes, imports, exports },
            entry,
            self.ticker.clone(),
            Arc::clone(&self.network),
        ))
    }

    fn compile(&self, mut module: File, bytes: u64) -> Result<Artefact, ModuleError> {
        let limits = CompileLimits {
            cpu_seconds_max: self.options.compile_seconds_max,
            memory_bytes_max: self.options.compile_memory_bytes_max,
            has_seccomp: self.has_seccomp,
        };
        let _slot = self.compile_slot();
        // The few compilers bound the memory of their artefacts; here it is counted.
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX).saturating_mul(ARTEFACT_PER_MODULE);
        let bytes = bytes.min(self.options.budget.share(Purpose::Uploads) / self.options.compiles_max.max(1));
        let _held = self.options.budget.take(Purpose::Uploads, bytes);
        check::imports(&module)?;
        let rewound = module.rewind();
        rewound.map_err(|source| ModuleError::Storage { doing: "reading", path: self.options.dir.clone(), source })?;
        parent::compile(&self.options.compiler, limits, module)
    }

    /// Waits until a compiler may be started.
    fn compile_slot(&self) -> CompileSlot<'_> {
        let free = locked(&self.compilers);
        let mut free = self.compiler_free.wait_while(free, |free| *free == 0).unwrap_or_else(PoisonError::into_inner);
        *free -= 1;
        CompileSlot(self)
    }

    fn try_start(&self, module: &Module) -> Result<(), ModuleError> {
        let limits = [FailureKind::Timeout, FailureKind::Memory, FailureKind::EffectLimit];
        match module.try_start(&self.options.start) {
            Ok(()) => Ok(()),
            Err(CallError::Busy) => Err(ModuleError::Busy),
            Err(CallError::Failed(failure)) if limits.contains(&failure.kind) => {
                Err(ModuleError::StartLimit(failure.message))
            }
            Err(error) => Err(ModuleError::TrapsAtStart(error.to_string())),
        }
    }
}

/// A mutex is usable after its holder panicked: its value is always replaced as a whole.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Released when the compiler has ended.
struct CompileSlot<'a>(&'a Host);

impl Drop for CompileSlot<'_> {
    fn drop(&mut self) {
        *locked(&self.0.compilers) += 1;
        self.0.compiler_free.notify_one();
    }
}

//! A wall clock that the test sets: a small library between the server and the C library's clock.

use std::{
    fs::File,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, OnceLock},
    time::{SystemTime, UNIX_EPOCH},
};

use tempfile::TempDir;

use crate::Setup;

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/clock.c");

/// See the module documentation. It is removed with the test.
#[derive(Debug, Clone)]
pub struct WallClock {
    dir: Arc<TempDir>,
    offset: Arc<File>,
}

impl WallClock {
    /// A correct clock.
    pub fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let file = File::create(dir.path().join("offset")).expect("a file");
        let clock = Self { dir: Arc::new(dir), offset: Arc::new(file) };
        clock.set_off_by(0);
        clock
    }

    /// Offsets the server's wall clock by this many milliseconds from now on.
    pub fn set_off_by(&self, ms: i64) {
        self.offset.write_all_at(&ms.to_ne_bytes(), 0).expect("written");
    }

    /// Its reading with this offset in milliseconds.
    #[expect(clippy::disallowed_methods, reason = "it is derived from the real clock")]
    pub fn now_ms(off_by_ms: i64) -> i64 {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
        i64::try_from(since_epoch.as_millis()).expect("not so late") + off_by_ms
    }

    /// A server with this clock.
    #[must_use]
    pub fn given_to(&self, setup: Setup) -> Setup {
        let offset = self.dir.path().join("offset");
        setup.env("LD_PRELOAD", library().to_string_lossy()).env("TEST_CLOCK", offset.to_string_lossy())
    }
}

impl Default for WallClock {
    fn default() -> Self {
        Self::new()
    }
}

/// Compiled once per test program. There is a C compiler wherever Rust programs are linked.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let library = tempfile::tempdir().expect("a directory").keep().join("clock.so");
        let compiled = Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(SOURCE).status();
        assert!(compiled.expect("cc runs").success(), "{SOURCE} does not compile");
        library
    })
}

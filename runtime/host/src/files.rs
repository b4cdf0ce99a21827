//! Modules and compiled artefacts on disk. A module is `<hex digest>.wasm`, written so that it is either whole and
//! durable or not there. An artefact is `cache/<hex digest>-<engine>.cwasm`; it can be lost at any time.
//!
//! Knows no WebAssembly.

use std::{
    fs::{self, DirBuilder, File},
    io::{self, Write},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};
use weirgate_types::Digest;

use crate::{HostError, ModuleError};

const SUFFIX: &str = ".wasm";
/// An artefact's file begins with the SHA-256 of the rest.
const CHECKSUM_BYTES: usize = 32;

#[derive(Debug)]
pub(crate) struct Files {
    dir: PathBuf,
    cache: PathBuf,
    /// Names the engine that artefacts were compiled for.
    engine: String,
}

impl Files {
    /// Make the directories, for nobody else to enter: what lies in the cache is run.
    pub(crate) fn open(dir: &Path, engine: String) -> Result<Self, HostError> {
        let cache = dir.join("cache");
        let failed = |source| HostError::Dir { path: cache.clone(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(&cache).map_err(failed)?;
        // It may have been there before, made by someone more generous.
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        fs::set_permissions(&cache, private).map_err(failed)?;
        Ok(Self { dir: dir.to_owned(), cache, engine })
    }

    /// A module's bytes, whose digest has been compared.
    pub(crate) fn module(&self, digest: Digest) -> Result<Vec<u8>, ModuleError> {
        let path = self.module_path(digest);
        match fs::read(&path) {
            Ok(bytes) if digest_of(&bytes) == digest => Ok(bytes),
            Ok(_) => Err(ModuleError::Damaged { digest }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(ModuleError::Missing(digest)),
            Err(source) => Err(ModuleError::Storage { doing: "reading", path, source }),
        }
    }

    pub(crate) fn module_bytes(&self, digest: Digest) -> Result<u64, ModuleError> {
        let path = self.module_path(digest);
        match fs::metadata(&path) {
            Ok(metadata) => Ok(metadata.len()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(ModuleError::Missing(digest)),
            Err(source) => Err(ModuleError::Storage { doing: "looking at", path, source }),
        }
    }

    /// The digests of all modules, sorted.
    pub(crate) fn modules(&self) -> Result<Vec<Digest>, ModuleError> {
        let failed = |source| ModuleError::Storage { doing: "listing", path: self.dir.clone(), source };
        let mut digests = Vec::new();
        for entry in fs::read_dir(&self.dir).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let hex = name.to_str().and_then(|name| name.strip_suffix(SUFFIX));
            digests.extend(hex.and_then(|hex| hex.parse::<Digest>().ok()));
        }
        digests.sort_unstable();
        Ok(digests)
    }

    /// Make the module durable. Writing it again changes nothing.
    pub(crate) fn write_module(&self, digest: Digest, bytes: &[u8]) -> Result<(), ModuleError> {
        let path = self.module_path(digest);
        write_durably(&self.dir, &path, &[bytes]).map_err(|source| ModuleError::Storage {
            doing: "writing",
            path,
            source,
        })
    }

    /// The artefact, where there is a whole one.
    pub(crate) fn artefact(&self, digest: Digest) -> Option<Vec<u8>> {
        let path = self.artefact_path(digest);
        let mut file = fs::read(&path).ok()?;
        let whole = file.split_at_checked(CHECKSUM_BYTES).is_some_and(|(sum, rest)| *sum == digest_of(rest).0);
        if !whole {
            tracing::warn!(path = %path.display(), "a compiled artefact is damaged and is made again");
            return None;
        }
        file.drain(..CHECKSUM_BYTES);
        Some(file)
    }

    /// Keep the artefact. Where that fails it is compiled again next time, which is no reason to fail now.
    pub(crate) fn write_artefact(&self, digest: Digest, artefact: &[u8]) {
        let path = self.artefact_path(digest);
        let checksum = digest_of(artefact).0;
        if let Err(error) = write_durably(&self.cache, &path, &[&checksum, artefact]) {
            tracing::warn!(path = %path.display(), %error, "a compiled artefact cannot be kept");
        }
    }

    fn module_path(&self, digest: Digest) -> PathBuf {
        self.dir.join(format!("{}{SUFFIX}", digest.to_hex()))
    }

    fn artefact_path(&self, digest: Digest) -> PathBuf {
        self.cache.join(format!("{}-{}.cwasm", digest.to_hex(), self.engine))
    }
}

pub(crate) fn digest_of(bytes: &[u8]) -> Digest {
    Digest(Sha256::digest(bytes).into())
}

/// Write to a temporary file, sync it, rename it into place, sync the directory.
fn write_durably(dir: &Path, path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    for part in parts {
        file.write_all(part)?;
    }
    file.as_file().sync_all()?;
    file.persist(path)?;
    File::open(dir)?.sync_all()
}

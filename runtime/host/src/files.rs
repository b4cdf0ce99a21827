//! Modules and compiled artefacts on disk. A module is `<hex digest>.wasm`, written so that it is either whole and
//! durable or not there. An artefact is `cache/<hex digest>-<engine>.cwasm`; it can be lost at any time.
//!
//! Knows no WebAssembly.

use std::{
    fs::{self, DirBuilder, File, Permissions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use rustix::process::geteuid;
use sha2::{Digest as _, Sha256};
use weirgate_types::Digest;

use crate::{HostError, ModuleError};

const SUFFIX: &str = ".wasm";
/// What a file is called until it is whole.
const UNFINISHED_PREFIX: &str = ".unfinished-";
/// An artefact's file begins with a SHA-256 over what it is of and the rest.
const CHECKSUM_BYTES: usize = 32;

#[derive(Debug)]
pub(crate) struct Files {
    dir: PathBuf,
    cache: PathBuf,
    /// Names the engine that artefacts were compiled for.
    engine: String,
}

impl Files {
    /// Make the directories, for nobody else to enter: what lies in the cache is run. What a killed process has not
    /// finished, and what other engines have compiled, is deleted.
    pub(crate) fn open(dir: &Path, engine: String) -> Result<Self, HostError> {
        let files = Self { dir: dir.to_owned(), cache: dir.join("cache"), engine };
        own_dir(&files.dir)?;
        own_dir(&files.cache)?;
        files.tidy(&files.dir, |name| name.starts_with(UNFINISHED_PREFIX))?;
        let artefact = format!("-{}.cwasm", files.engine);
        files.tidy(&files.cache, |name| !name.ends_with(&artefact) || name.starts_with(UNFINISHED_PREFIX))?;
        Ok(files)
    }

    /// Delete the files whose names say that nobody needs them.
    fn tidy(&self, dir: &Path, is_left_over: impl Fn(&str) -> bool) -> Result<(), HostError> {
        let failed = |source| HostError::Dir { path: dir.to_owned(), source };
        for entry in fs::read_dir(dir).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let is_file = entry.file_type().map_err(failed)?.is_file();
            if !is_file || !entry.file_name().to_str().is_some_and(&is_left_over) {
                continue;
            }
            let path = entry.path();
            match fs::remove_file(&path) {
                Ok(()) => tracing::debug!(path = %path.display(), engine = self.engine, "a left-over file is deleted"),
                Err(error) => tracing::warn!(path = %path.display(), %error, "a left-over file cannot be deleted"),
            }
        }
        Ok(())
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

    /// The artefact, where there is a whole one that was made of this module for this engine.
    pub(crate) fn artefact(&self, digest: Digest) -> Option<Vec<u8>> {
        let path = self.artefact_path(digest);
        let mut file = match fs::read(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "a compiled artefact cannot be read and is made again");
                return None;
            }
        };
        let parts = file.split_at_checked(CHECKSUM_BYTES);
        if parts.is_none_or(|(sum, artefact)| *sum != self.checksum(digest, artefact)) {
            tracing::warn!(path = %path.display(), "a compiled artefact is damaged and is made again");
            return None;
        }
        file.drain(..CHECKSUM_BYTES);
        Some(file)
    }

    /// Keep the artefact. Where that fails it is compiled again next time, which is no reason to fail now.
    pub(crate) fn write_artefact(&self, digest: Digest, artefact: &[u8]) {
        let path = self.artefact_path(digest);
        let checksum = self.checksum(digest, artefact);
        if let Err(error) = write_durably(&self.cache, &path, &[&checksum, artefact]) {
            tracing::warn!(path = %path.display(), %error, "a compiled artefact cannot be kept");
        }
    }

    /// Covers what the artefact is of, so that a whole one under another module's name is refused.
    fn checksum(&self, digest: Digest, artefact: &[u8]) -> [u8; CHECKSUM_BYTES] {
        let of = Sha256::new().chain_update(digest.0).chain_update(&self.engine).chain_update([0]);
        of.chain_update(artefact).finalize().into()
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

/// Make the directory where there is none, and see that it is ours alone.
fn own_dir(path: &Path) -> Result<(), HostError> {
    let failed = |source| HostError::Dir { path: path.to_owned(), source };
    let not_ours = |problem| HostError::DirNotOurs { path: path.to_owned(), problem };
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
    // Of the name itself, not of what a symbolic link points to.
    let found = fs::symlink_metadata(path).map_err(failed)?;
    if !found.is_dir() {
        return Err(not_ours("is a symbolic link"));
    }
    if found.uid() != geteuid().as_raw() {
        return Err(not_ours("belongs to another user"));
    }
    // It may have been there before, made by someone more generous.
    fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(failed)
}

/// Write to a temporary file, sync it, rename it into place, sync the directory.
fn write_durably(dir: &Path, path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let mut file = tempfile::Builder::new().prefix(UNFINISHED_PREFIX).tempfile_in(dir)?;
    for part in parts {
        file.write_all(part)?;
    }
    file.as_file().sync_all()?;
    file.persist(path)?;
    File::open(dir)?.sync_all()
}

//! Modules and compiled artefacts on disk. A module is `<hex digest>.wasm`, either complete and durable or absent. An
//! artefact is `cache/<hex digest>-<engine>.cwasm`; it can be lost at any time.
//!
//! Knows no WebAssembly.

use std::{
    fs::{self, DirBuilder, File, Permissions},
    io::{self, Read, Seek, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, utimensat},
    process::geteuid,
};
use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;
use weirgate_types::Digest;

use crate::{HostError, ModuleError};

const SUFFIX: &str = ".wasm";
/// Suffix of a file that is not complete yet.
const UNFINISHED_PREFIX: &str = ".unfinished-";
/// An artefact's file begins with a SHA-256 over its key and its contents.
const CHECKSUM_BYTES: usize = 32;
const READ_BYTES: usize = 64 * 1024;

#[derive(Debug)]
pub(crate) struct Files {
    dir: PathBuf,
    cache: PathBuf,
    /// The id of the engine for which artefacts are compiled.
    engine: String,
}

impl Files {
    /// Creates the directories, closed to other users: artefacts in the cache are executed. Deletes unfinished files of a
    /// killed process, and artefacts of other engines.
    pub(crate) fn open(dir: &Path, engine: String) -> Result<Self, HostError> {
        let files = Self { dir: dir.to_owned(), cache: dir.join("cache"), engine };
        own_dir(&files.dir)?;
        own_dir(&files.cache)?;
        files.tidy(&files.dir, |name| name.starts_with(UNFINISHED_PREFIX))?;
        let artefact = format!("-{}.cwasm", files.engine);
        files.tidy(&files.cache, |name| !name.ends_with(&artefact) || name.starts_with(UNFINISHED_PREFIX))?;
        Ok(files)
    }

    /// Deletes files whose names show that they are not needed.
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

    /// A module's file, from its beginning. Its digest has been verified.
    pub(crate) fn module(&self, digest: Digest) -> Result<File, ModuleError> {
        let path = self.module_path(digest);
        match open_hashed(&path) {
            Ok((file, found)) if found == digest => Ok(file),
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

    /// A file for a module that is being uploaded. It is deleted on drop.
    pub(crate) fn begin_module(&self) -> Result<NamedTempFile, ModuleError> {
        let begun = tempfile::Builder::new().prefix(UNFINISHED_PREFIX).tempfile_in(&self.dir);
        begun.map_err(|source| ModuleError::Storage { doing: "creating a file in", path: self.dir.clone(), source })
    }

    /// Makes a written module durable. Idempotent.
    pub(crate) fn keep_module(&self, digest: Digest, file: NamedTempFile) -> Result<(), ModuleError> {
        let path = self.module_path(digest);
        let kept = persist(&self.dir, &path, file);
        kept.map_err(|source| ModuleError::Storage { doing: "writing", path, source })
    }

    /// When a module was last uploaded or deployed, in Unix milliseconds, and its size.
    pub(crate) fn module_used(&self, digest: Digest) -> Result<(u64, u64), ModuleError> {
        let path = self.module_path(digest);
        match fs::metadata(&path) {
            Ok(found) => {
                let at_ms = found.mtime().saturating_mul(1_000).saturating_add(found.mtime_nsec() / 1_000_000);
                Ok((u64::try_from(at_ms).unwrap_or(0), found.len()))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(ModuleError::Missing(digest)),
            Err(source) => Err(ModuleError::Storage { doing: "looking at", path, source }),
        }
    }

    /// Notes that a module is used now.
    pub(crate) fn touch_module(&self, digest: Digest) {
        let time = |nsec| Timespec { tv_sec: 0, tv_nsec: nsec };
        let times = Timestamps { last_access: time(UTIME_OMIT), last_modification: time(UTIME_NOW) };
        let path = self.module_path(digest);
        if let Err(error) = utimensat(CWD, &path, &times, AtFlags::empty()) {
            tracing::warn!(path = %path.display(), %error, "the time of a module's last use cannot be stored");
        }
    }

    /// Deletes a module and its artefacts.
    pub(crate) fn remove_module(&self, digest: Digest) -> Result<(), ModuleError> {
        for path in [self.artefact_path(digest), self.module_path(digest)] {
            match fs::remove_file(&path) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return Err(ModuleError::Storage { doing: "deleting", path, source });
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The artefact, if there is a complete one of this module for this engine.
    pub(crate) fn artefact(&self, digest: Digest) -> Option<Vec<u8>> {
        let path = self.artefact_path(digest);
        let mut file = match fs::read(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "a compiled artefact cannot be read and is compiled again");
                return None;
            }
        };
        let parts = file.split_at_checked(CHECKSUM_BYTES);
        if parts.is_none_or(|(sum, artefact)| *sum != self.checksum(digest, artefact)) {
            tracing::warn!(path = %path.display(), "a compiled artefact is damaged and is compiled again");
            return None;
        }
        file.drain(..CHECKSUM_BYTES);
        Some(file)
    }

    /// Stores the artefact. If that fails, the module is compiled again next time, so this is no error.
    pub(crate) fn write_artefact(&self, digest: Digest, artefact: &[u8]) {
        let path = self.artefact_path(digest);
        let checksum = self.checksum(digest, artefact);
        if let Err(error) = write_durably(&self.cache, &path, &[&checksum, artefact]) {
            tracing::warn!(path = %path.display(), %error, "a compiled artefact cannot be stored");
        }
    }

    /// Covers the artefact's module, so that a complete artefact under another module's name is refused.
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

/// Opens a file and hashes it; the next read begins at its start.
fn open_hashed(path: &Path) -> io::Result<(File, Digest)> {
    let mut file = File::open(path)?;
    let (mut hash, mut buffer) = (Sha256::new(), vec![0; READ_BYTES]);
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            count => hash.update(buffer.get(..count).unwrap_or_default()),
        }
    }
    file.rewind()?;
    Ok((file, Digest(hash.finalize().into())))
}

/// Creates the directory if there is none, and checks that only this user can enter it.
fn own_dir(path: &Path) -> Result<(), HostError> {
    let failed = |source| HostError::Dir { path: path.to_owned(), source };
    let not_ours = |problem| HostError::DirNotOurs { path: path.to_owned(), problem };
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
    // Of the name itself, not of the target of a symbolic link.
    let found = fs::symlink_metadata(path).map_err(failed)?;
    if !found.is_dir() {
        return Err(not_ours("is a symbolic link"));
    }
    if found.uid() != geteuid().as_raw() {
        return Err(not_ours("belongs to another user"));
    }
    // It may have existed before, with wider permissions.
    fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(failed)
}

/// Writes to a temporary file, syncs it, renames it into place, syncs the directory.
fn write_durably(dir: &Path, path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let mut file = tempfile::Builder::new().prefix(UNFINISHED_PREFIX).tempfile_in(dir)?;
    for part in parts {
        file.write_all(part)?;
    }
    persist(dir, path, file)
}

fn persist(dir: &Path, path: &Path, file: NamedTempFile) -> io::Result<()> {
    file.as_file().sync_all()?;
    file.persist(path)?;
    File::open(dir)?.sync_all()
}

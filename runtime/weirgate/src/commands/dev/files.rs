//! Which files of a project there are, and when they were changed. Looked at a few times a second: a project is small, and that
//! works on every file system, network and container mounts included.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::SystemTime,
};

/// Files beyond this many are not watched.
const FILES_MAX: usize = 10_000;
const DEPTH_MAX: usize = 16;
/// Folders that builds write.
const NOT_SOURCES: [&str; 3] = ["target", "node_modules", "dist"];

/// What builds and servers write beside the sources.
const NOT_SOURCES_BY_EXTENSION: [&str; 2] = ["wasm", "log"];

/// A file system and a number in it.
type FileId = (u64, u64);

/// The files that this process prints to: a line in one of them must not cause a build, which prints a line.
fn own_outputs() -> Vec<FileId> {
    let outputs = [1, 2].into_iter().filter_map(|number| fs::metadata(format!("/proc/self/fd/{number}")).ok());
    outputs.map(|file| (file.dev(), file.ino())).collect()
}

/// See the module documentation.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Snapshot(BTreeMap<PathBuf, (Option<SystemTime>, u64)>);

impl Snapshot {
    /// The files below a folder, those left out that are hidden or built.
    pub fn take(dir: &Path) -> Self {
        let mut found = Self::default();
        found.add(dir, 0, &own_outputs());
        found
    }

    /// A build has written this file: as it is in `found`, it is no change.
    pub fn take_over(&mut self, found: &Self, path: &Path) {
        if let Some(file) = found.0.get(path) {
            self.0.insert(path.to_owned(), *file);
        }
    }

    fn add(&mut self, dir: &Path, depth: usize, left_out: &[FileId]) {
        let Ok(entries) = fs::read_dir(dir) else { return };
        for entry in entries.flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            let name = name.to_string_lossy();
            let is_result =
                path.extension().is_some_and(|extension| NOT_SOURCES_BY_EXTENSION.iter().any(|one| extension == *one));
            if is_result || name.starts_with('.') || NOT_SOURCES.contains(&&*name) || self.0.len() >= FILES_MAX {
                continue;
            }
            // Of a link itself, so that no loop is followed.
            let Ok(file) = entry.metadata() else { continue };
            if file.is_dir() {
                // Cargo marks a target directory of another name so.
                if depth < DEPTH_MAX && !path.join("CACHEDIR.TAG").exists() {
                    self.add(&path, depth + 1, left_out);
                }
            } else if !left_out.contains(&(file.dev(), file.ino())) {
                self.0.insert(path, (file.modified().ok(), file.len()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_of_sources_are_seen_and_builds_are_not() {
        let dir = std::env::temp_dir().join(format!("weirgate-files-{}", uuid::Uuid::new_v4()));
        fs::create_dir_all(dir.join("src")).expect("a folder");
        fs::write(dir.join("src/lib.rs"), "a").expect("written");
        let before = Snapshot::take(&dir);
        assert_eq!(before, Snapshot::take(&dir));
        for path in ["target/a.wasm", ".weirgate/log", "other-target/CACHEDIR.TAG", "a.wasm", ".git/HEAD"] {
            let path = dir.join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, "b").expect("written");
        }
        std::os::unix::fs::symlink(&dir, dir.join(".loop")).expect("a link");
        assert_eq!(before, Snapshot::take(&dir));
        fs::write(dir.join("src/lib.rs"), "ab").expect("written");
        let changed = Snapshot::take(&dir);
        assert_ne!(before, changed);
        fs::write(dir.join("handler.toml"), "").expect("written");
        let mut seen = Snapshot::take(&dir);
        assert_ne!(changed, seen);
        let lock = dir.join("Cargo.lock");
        fs::write(&lock, "").expect("written");
        let found = Snapshot::take(&dir);
        assert_ne!(found, seen);
        seen.take_over(&found, &lock);
        assert_eq!(found, seen);
        fs::remove_dir_all(&dir).expect("removed");
    }
}

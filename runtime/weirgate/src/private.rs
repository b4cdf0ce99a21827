//! The data directory is closed to other users, whatever the process's umask was: folders have mode 0700 and files 0600.

use std::{
    fs::{self, DirBuilder, Metadata, Permissions},
    io,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::Path,
};

use anyhow::{Context, Result, ensure};
use rustix::{fs::Mode, process::umask};

/// What the server keeps in its data directory. Other files there are not touched.
const OWN: [&str; 6] = ["log", "views", "views.lock", "views.damaged", "modules", "ballast"];
const STICKY: u32 = 0o1000;
const OTHERS: u32 = 0o077;
const OWNER: u32 = 0o700;

/// Files that this process creates from now on are closed to other users.
pub fn close_new_files() {
    umask(Mode::RWXG | Mode::RWXO);
}

/// Creates the data directory, or closes it and what an earlier version left open in it.
pub fn data_directory(dir: &Path) -> Result<()> {
    let failed = || format!("the data directory {} cannot be used", dir.display());
    DirBuilder::new().recursive(true).mode(OWNER).create(dir).with_context(failed)?;
    let found = fs::metadata(dir).with_context(failed)?;
    ensure!(
        found.permissions().mode() & STICKY == 0,
        "the data directory {} is shared by all users; name a folder of its own in it (--data)",
        dir.display()
    );
    close(dir, &found);
    for name in OWN {
        // The log may be a link to another disk.
        let path = dir.join(name);
        match fs::metadata(&path).and_then(|found| close_tree(&path, &found)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("{} cannot be used", path.display()));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Follows no links.
fn close_tree(path: &Path, found: &Metadata) -> io::Result<()> {
    close(path, found);
    if !found.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let found = entry.metadata()?;
        if !found.is_symlink() {
            close_tree(&entry.path(), &found)?;
        }
    }
    Ok(())
}

fn close(path: &Path, found: &Metadata) {
    let mode = found.permissions().mode();
    if mode & OTHERS == 0 {
        return;
    }
    match fs::set_permissions(path, Permissions::from_mode(mode & OWNER)) {
        Ok(()) => tracing::info!(path = %path.display(), "closed to other users"),
        // A volume may belong to another user, who lets this one write to it. New folders in it are closed.
        Err(error) => tracing::warn!(path = %path.display(), %error, "cannot be closed to other users"),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).expect("it is there").permissions().mode() & 0o1777
    }

    #[test]
    fn open_directories_are_closed_and_foreign_files_stay() {
        let temporary = tempfile::tempdir().expect("a directory");
        let dir = temporary.path().join("a/data");
        data_directory(&dir).expect("created");
        assert_eq!(mode(&dir), 0o700);
        fs::create_dir_all(dir.join("log")).expect("a folder");
        let outside = temporary.path().join("outside");
        for path in [dir.join("log/1.seg"), dir.join("ballast"), dir.join("script"), outside.clone()] {
            fs::write(&path, "x").expect("a file");
            fs::set_permissions(&path, Permissions::from_mode(0o755)).expect("its mode");
        }
        symlink(&outside, dir.join("log/link")).expect("a link");
        for path in [&dir, &dir.join("log")] {
            fs::set_permissions(path, Permissions::from_mode(0o777)).expect("its mode");
        }
        data_directory(&dir).expect("closed");
        for (path, expected) in [
            (dir.clone(), 0o700),
            (dir.join("log"), 0o700),
            (dir.join("log/1.seg"), 0o700),
            (dir.join("ballast"), 0o700),
            (dir.join("script"), 0o755),
            (outside, 0o755),
        ] {
            assert_eq!(mode(&path), expected, "{}", path.display());
        }
        fs::set_permissions(&dir, Permissions::from_mode(0o1777)).expect("its mode");
        let error = data_directory(&dir).expect_err("like /tmp").to_string();
        assert!(error.contains("shared by all users"), "{error}");
    }
}

//! The files of a served folder. No link leads out of the folder: the kernel resolves each path below it, and where it cannot
//! do that, the resolved path is compared.
//!
//! Links within the folder are followed if they are relative. Anything but files and folders is not there.

use std::{
    fs::{self, Metadata},
    future::Future,
    io::{self, Read},
    path::{Path, PathBuf},
    pin::Pin,
    task::{Context, Poll},
};

use axum::{
    http::StatusCode,
    response::{Html, IntoResponse, Response},
};
use rustix::{
    fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2},
    io::Errno,
};
use tokio::io::{AsyncRead, AsyncSeek, ReadBuf};
use tower_http::services::{
    ServeDir,
    fs::{Backend, DefaultServeDirFallback, File as ServedFile},
};

/// Maximum size of the page that is shown where there is no file, in bytes.
const PAGE_BYTES_MAX: u64 = 1 << 20;

/// Serves the files in `folder`, a path below `root`. A link to a folder outside of `root` is not followed, also at `folder`
/// itself; `root` may be a link.
pub fn serve(root: &Path, folder: &str) -> ServeDir<DefaultServeDirFallback, Below> {
    // Of a relative path the files' own paths would not begin with it.
    let root = std::path::absolute(root).unwrap_or_else(|_| root.to_owned());
    ServeDir::with_backend(root.join(folder), Below { root })
}

/// The folder's first page, shown where there is no file.
pub async fn page(root: PathBuf) -> Response {
    let read = move || {
        let mut page = Vec::new();
        open_below(&root, &root.join("index.html"))?.take(PAGE_BYTES_MAX).read_to_end(&mut page)?;
        io::Result::Ok(page)
    };
    match blocking(read).await {
        Ok(page) => Html(page).into_response(),
        Err(_) => StatusCode::NOT_FOUND.into_response(),
    }
}

/// Opens files below a folder.
#[derive(Debug, Clone)]
pub struct Below {
    root: PathBuf,
}

/// An open file.
pub struct OpenFile(tokio::fs::File);

type Later<'a, T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send + 'a>>;

impl Backend for Below {
    type File = OpenFile;
    type Metadata = Metadata;
    type OpenFuture = Later<'static, OpenFile>;
    type MetadataFuture = Later<'static, Metadata>;

    fn open(&self, path: PathBuf) -> Self::OpenFuture {
        let root = self.root.clone();
        Box::pin(async move { Ok(OpenFile(blocking(move || open_below(&root, &path)).await?.into())) })
    }

    fn metadata(&self, path: PathBuf) -> Self::MetadataFuture {
        let root = self.root.clone();
        Box::pin(blocking(move || open_below(&root, &path)?.metadata()))
    }
}

impl ServedFile for OpenFile {
    type Metadata = Metadata;
    type MetadataFuture<'a> = Later<'a, Metadata>;

    fn metadata(&self) -> Self::MetadataFuture<'_> {
        Box::pin(self.0.metadata())
    }
}

impl AsyncRead for OpenFile {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncSeek for OpenFile {
    fn start_seek(mut self: Pin<&mut Self>, position: io::SeekFrom) -> io::Result<()> {
        Pin::new(&mut self.0).start_seek(position)
    }

    fn poll_complete(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<u64>> {
        Pin::new(&mut self.0).poll_complete(context)
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

/// # Errors
/// `NotFound` for what is not in the folder, or is neither file nor folder.
fn open_below(root: &Path, path: &Path) -> io::Result<fs::File> {
    let inner = path.strip_prefix(root).map_err(|_| missing())?;
    let inner = if inner.as_os_str().is_empty() { Path::new(".") } else { inner };
    // Opening a pipe would wait for its writer.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let folder = openat(CWD, root, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::DIRECTORY, Mode::empty())?;
    let opened =
        match openat2(&folder, inner, flags, Mode::empty(), ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS) {
            // Linux before 5.6, and containers that do not know the call.
            Err(Errno::NOSYS | Errno::PERM) => resolved_below(root, path, flags)?,
            Err(Errno::XDEV | Errno::LOOP) => return Err(missing()),
            opened => opened?,
        };
    let file = fs::File::from(opened);
    let metadata = file.metadata()?;
    if metadata.is_file() || metadata.is_dir() { Ok(file) } else { Err(missing()) }
}

fn missing() -> io::Error {
    io::ErrorKind::NotFound.into()
}

fn resolved_below(root: &Path, path: &Path, flags: OFlags) -> io::Result<rustix::fd::OwnedFd> {
    // A link may lead to itself.
    let path = path.canonicalize().map_err(|_| missing())?;
    if !path.starts_with(root.canonicalize()?) {
        return Err(missing());
    }
    Ok(openat(CWD, path, flags | OFlags::NOFOLLOW, Mode::empty())?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn no_link_leads_out_of_the_folder() {
        let dir = tempfile::tempdir().expect("a directory");
        let (root, secret) = (dir.path().join("shop"), dir.path().join("secret"));
        fs::create_dir_all(root.join("assets")).expect("folders");
        fs::write(&secret, "secret").expect("a file");
        fs::write(root.join("assets/a.js"), "ours").expect("a file");
        for (link, to) in [
            ("inner", "assets/a.js"),
            ("assets/up", "../inner"),
            ("folder", "assets"),
            ("out", "../secret"),
            ("absolute", secret.to_str().expect("a path")),
            ("outer", ".."),
            ("assets/twice", "../outer/secret"),
            ("process", "/proc/self/root"),
            ("loop", "loop"),
        ] {
            symlink(to, root.join(link)).expect("a link");
        }
        rustix::fs::mknodat(CWD, root.join("pipe"), rustix::fs::FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)
            .expect("a pipe");
        let read = |open: &dyn Fn(&Path) -> io::Result<fs::File>, path: &str| {
            let mut text = String::new();
            open(&root.join(path))?.read_to_string(&mut text)?;
            io::Result::Ok(text)
        };
        let by_kernel = |path: &Path| open_below(&root, path);
        let by_comparison = |path: &Path| resolved_below(&root, path, OFlags::RDONLY).map(fs::File::from);
        for open in [&by_kernel as &dyn Fn(&Path) -> io::Result<fs::File>, &by_comparison] {
            for path in ["assets/a.js", "inner", "assets/up", "folder/a.js"] {
                assert_eq!(read(open, path).expect(path), "ours");
            }
            for path in
                ["out", "absolute", "outer/secret", "assets/twice", "process/etc/passwd", "../secret", "loop", "none"]
            {
                let error = read(open, path).expect_err(path);
                assert_eq!(error.kind(), io::ErrorKind::NotFound, "{path}");
            }
        }
        assert!(by_kernel(&root).is_ok() && by_kernel(&root.join("folder")).is_ok());
        assert_eq!(by_kernel(&root.join("pipe")).expect_err("a pipe").kind(), io::ErrorKind::NotFound);
        // The folder itself may be a link, for instance to the newest of several.
        symlink(&root, dir.path().join("current")).expect("a link");
        let current = dir.path().join("current");
        assert!(open_below(&current, &current.join("inner")).is_ok());
    }
}

//! A journey through the shop's pages in a real browser, run by node. By a line on its output it asks the test to do something, and
//! waits for the answer.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};

/// See the module documentation. Dropping it ends it.
pub struct Journey {
    name: String,
    child: Child,
    asks: Lines<BufReader<ChildStdout>>,
    answers: ChildStdin,
}

impl Journey {
    /// Begins one of `tests/e2e/browser` at the shop's address.
    pub fn begin(name: &str, shop: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new("node");
        command.arg(Self::root().join("tests/e2e/browser").join(name)).arg(shop).args(arguments);
        command.current_dir(Self::root().join("web")).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().expect("node runs");
        let asks = BufReader::new(child.stdout.take().expect("its output")).lines();
        let answers = child.stdin.take().expect("its input");
        Self { name: name.to_owned(), child, asks, answers }
    }

    /// The workspace's root.
    pub fn root() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the workspace's root")
    }

    /// The folder of the built shop.
    pub fn shop_files() -> PathBuf {
        let dist = Self::root().join("web/storefront/dist");
        assert!(dist.join("index.html").exists(), "the shop is not built: npm ci && npm run build, in web/");
        dist
    }

    /// What it asks for next; `None` once it has ended well.
    pub async fn asks(&mut self) -> Option<String> {
        while let Some(line) = self.asks.next_line().await.expect("a line") {
            match line.strip_prefix("ask ") {
                Some(what) => return Some(what.to_owned()),
                None => println!("{}: {line}", self.name),
            }
        }
        let status = self.child.wait().await.expect("its end");
        assert!(status.success(), "{} failed: {status}", self.name);
        None
    }

    /// What it asked for is done.
    pub async fn answer(&mut self) {
        self.answers.write_all(b"done\n").await.expect("it listens");
    }
}

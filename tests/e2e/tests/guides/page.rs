//! The blocks of one page, run one after the other in a fresh folder, as a reader would.

use std::{
    fs,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;
use weirgate_tests::{binary, eventually, free_port};

use crate::{
    blocks::{Block, Kind},
    matching::differs,
};

/// How long a command may take, with a first build in it.
const PATIENCE: Duration = Duration::from_mins(10);
/// How long the output of a repeated command may take to become right.
const REPEAT_PATIENCE: Duration = Duration::from_mins(1);
/// The address of a server in documents. Tests run beside other servers, so theirs has another port.
const ADDRESS: &str = "127.0.0.1:8080";

/// A page being run.
pub struct Page {
    name: String,
    dir: TempDir,
    port: u16,
    /// What the last command printed.
    printed: String,
    background: Vec<Background>,
}

struct Background {
    running: Running,
    output: PathBuf,
    line: usize,
}

impl Page {
    pub fn new(name: &str) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        for folder in ["bin", "page", "home"] {
            fs::create_dir(dir.path().join(folder)).expect("a folder");
        }
        std::os::unix::fs::symlink(binary(), dir.path().join("bin/weirgate")).expect("a link");
        fs::write(dir.path().join("folder"), dir.path().join("page").to_str().expect("UTF-8")).expect("written");
        fs::write(dir.path().join("exports"), "").expect("written");
        Self { name: name.to_owned(), dir, port: free_port(), printed: String::new(), background: Vec::new() }
    }

    /// Runs all blocks, and ends what they left running.
    pub async fn run(mut self, blocks: &[Block]) {
        for (index, block) in blocks.iter().enumerate() {
            if let Some(missing) = block.mark("needs").filter(|needed| !is_there(needed)) {
                eprintln!("{}:{}: not run from here on, since {missing} is not installed", self.name, block.line);
                break;
            }
            if let Some(command) = &block.before {
                self.bash(block.line, command).await;
            }
            match block.kind().unwrap_or_else(|reason| panic!("{}:{}: {reason}", self.name, block.line)) {
                Kind::Run { repeat: true } => self.repeat(block, blocks.get(index + 1)).await,
                Kind::Run { repeat: false } => self.printed = self.bash(block.line, &block.text).await,
                Kind::Background { until } => self.start(block, &until).await,
                Kind::Prints => self.compare(block),
                Kind::File(file) => self.compare_file(block, &file),
                _ => {}
            }
        }
        for background in std::mem::take(&mut self.background) {
            self.interrupt(background).await;
        }
    }

    /// Runs a command in the folder that the last one ended in. Returns what it printed.
    async fn bash(&self, line: usize, command: &str) -> String {
        let output = self.dir.path().join("output");
        let mut running = Running::spawn(self.shell(&self.keeping_folder(command)), &output);
        let what = format!("{}:{line} to end", self.name);
        let status =
            eventually(&what, PATIENCE, async || running.0.try_wait().expect("its state").ok_or("it runs")).await;
        let printed = fs::read_to_string(&output).expect("its output");
        assert!(status.success(), "{}:{line} fails:\n{command}\n{printed}", self.name);
        printed
    }

    /// Runs a command until it prints what the next block says.
    async fn repeat(&mut self, block: &Block, prints: Option<&Block>) {
        let prints = prints.unwrap_or_else(|| panic!("{}:{}: no block of output follows", self.name, block.line));
        let what = format!("{}:{} to print line {}", self.name, block.line, prints.line);
        let printed = eventually(&what, REPEAT_PATIENCE, async || {
            let output = self.shell(&self.keeping_folder(&block.text)).output().expect("bash");
            let printed = String::from_utf8_lossy(&output.stdout).into_owned();
            match differs(prints, &printed) {
                None => Ok(printed),
                Some(difference) => Err(format!("{difference}, {}", String::from_utf8_lossy(&output.stderr))),
            }
        });
        let printed = printed.await;
        self.printed = printed;
    }

    async fn start(&mut self, block: &Block, until: &str) {
        let output = self.dir.path().join(format!("background-{}", block.line));
        let mut running = Running::spawn(self.shell(&self.here(&block.text)), &output);
        let what = format!("{}:{} to print {until:?}", self.name, block.line);
        eventually(&what, PATIENCE, async || {
            let printed = fs::read_to_string(&output).expect("its output");
            let ended = running.0.try_wait().expect("its state");
            assert!(ended.is_none(), "{what}, but it ended: {ended:?}\n{printed}");
            if printed.contains(until) { Ok(()) } else { Err(printed) }
        })
        .await;
        self.background.push(Background { running, output, line: block.line });
    }

    /// Ctrl-C: the command ends without an error, and nothing of it is left.
    async fn interrupt(&self, mut background: Background) {
        background.running.signal(Signal::INT);
        let what = format!("{}:{} to end after Ctrl-C", self.name, background.line);
        let status = eventually(&what, REPEAT_PATIENCE, async || {
            let ended = background.running.0.try_wait().expect("its state");
            ended.ok_or_else(|| fs::read_to_string(&background.output).expect("its output"))
        });
        // Of bash, which is interrupted too, or of the command in its place.
        let status = status.await;
        assert!(status.success() || status.code().is_none_or(|code| code == 130), "{what}: {status:?}");
        eventually("its server to be gone", REPEAT_PATIENCE, async || {
            std::net::TcpListener::bind(("127.0.0.1", self.port)).map(drop)
        })
        .await;
    }

    fn compare(&self, block: &Block) {
        if let Some(difference) = differs(block, &self.printed) {
            panic!("{}:{}: {difference}", self.name, block.line);
        }
    }

    /// The block is what the file holds.
    fn compare_file(&self, block: &Block, file: &str) {
        let folder = fs::read_to_string(self.dir.path().join("folder")).expect("a folder");
        let path = Path::new(folder.trim()).join(file);
        let held = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(block.text.trim(), held.trim(), "{}:{} is not what {file} holds", self.name, block.line);
    }

    /// The command, and a note of the folder that it ends in and of what it exports: a reader's terminal keeps both.
    fn keeping_folder(&self, command: &str) -> String {
        let [folder, exports] = ["folder", "exports"].map(|file| self.dir.path().join(file).display().to_string());
        format!(". '{exports}'\n{}\npwd > '{folder}'\nexport -p > '{exports}'\n", self.here(command))
    }

    /// The command with the test's port.
    fn here(&self, command: &str) -> String {
        command.replace(ADDRESS, &format!("127.0.0.1:{}", self.port))
    }

    fn shell(&self, script: &str) -> Command {
        let path = format!("{}:{}", self.dir.path().join("bin").display(), path());
        let folder = fs::read_to_string(self.dir.path().join("folder")).expect("a folder");
        let mut bash = Command::new("bash");
        bash.args(["-euo", "pipefail", "-c", script]).current_dir(folder.trim()).stdin(Stdio::null());
        bash.env("WEIRGATE_SOURCES", sources())
            .env("PATH", path)
            .env("WEIRGATE_URL", format!("http://127.0.0.1:{}", self.port));
        // Projects share what they compile; their own results are where a reader finds them.
        bash.env("CARGO_BUILD_BUILD_DIR", build_dir()).env_remove("CARGO_TARGET_DIR").env_remove("RUST_LOG");
        // What a page writes there is not the tester's. Rust stays where it is.
        bash.env("HOME", self.dir.path().join("home"));
        for (name, folder) in [("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup")] {
            if std::env::var_os(name).is_none() {
                bash.env(name, std::env::home_dir().expect("a home").join(folder));
            }
        }
        bash
    }
}

/// A command in a process group of its own. Dropping it kills the group, so that a failed test leaves nothing running.
struct Running(Child);

impl Running {
    /// Both outputs go to a file.
    fn spawn(mut command: Command, output: &Path) -> Self {
        let file = fs::File::create(output).expect("a file");
        command.stdout(file.try_clone().expect("a file")).stderr(file).process_group(0);
        Self(command.spawn().expect("bash"))
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw) {
            // It may have ended.
            let _ = kill_process_group(group, signal);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            self.signal(Signal::KILL);
            let _ = self.0.wait();
        }
    }
}

/// Where programs are looked for: also where `make test` unpacks those that it does not install.
pub fn path() -> String {
    let unpacked = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/unpacked/usr/bin");
    format!("{}:{unpacked}", std::env::var("PATH").unwrap_or_default())
}

/// The workspace's folder, for hidden commands.
fn sources() -> &'static str {
    concat!(env!("CARGO_MANIFEST_DIR"), "/../..")
}

/// Kept between runs.
pub fn build_dir() -> PathBuf {
    let target = std::env::current_exe().expect("this program");
    target.ancestors().nth(3).expect("a target directory").join("guides")
}

/// Whether a program, or a target of Rust, is installed.
pub fn is_there(needed: &str) -> bool {
    let script = match needed.starts_with("wasm32-") {
        true => format!("ls \"$(rustc --print target-libdir --target {needed})\"/libstd-*.rlib"),
        false => format!("command -v {needed}"),
    };
    let found = Command::new("bash").args(["-c", &script]).env("PATH", path()).output();
    found.is_ok_and(|found| found.status.success())
}

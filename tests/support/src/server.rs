//! The server: the real binary as a child, killed, stopped and started again on the same directory and port.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::{
    net::TcpStream,
    time::{Instant, sleep},
};

use crate::{Client, eventually, lines::Lines, replays};

/// How long a server may take to answer, on a machine that is busy with other tests.
const START_PATIENCE: Duration = Duration::from_mins(1);
const STOP_PATIENCE: Duration = Duration::from_secs(30);

/// The binary, built if it is not up to date. With `WEIRGATE_BIN` set, that one is used as it is.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| match std::env::var_os("WEIRGATE_BIN") {
        Some(path) => path.into(),
        None => build(),
    })
}

fn build() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let args = ["build", "--quiet", "--release", "--package", "weirgate"];
    let built = Command::new(cargo).args(args).current_dir(&root).status().expect("cargo runs");
    assert!(built.success(), "the server does not build: cargo {}", args.join(" "));
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    root.join(target).join("release/weirgate")
}

/// A port without a listener. Not an ephemeral one: a client that connects to such a port while the server is down can get
/// it as its own, and is then connected to itself.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() % 8_000).unwrap_or(0);
    let tries = (0..8_000).map(|_| 20_000 + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % 12_000);
    let mut free = tries.filter(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
    free.next().expect("a free port")
}

/// The options of a server.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    env: Vec<(String, String)>,
    args: Vec<String>,
    expected: Vec<String>,
    dir: Option<PathBuf>,
    /// What a shell does before it becomes the server.
    before: Vec<String>,
}

impl Setup {
    pub fn new() -> Self {
        Self::default()
    }

    #[must_use]
    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.env.push((name.to_owned(), value.into()));
        self
    }

    #[must_use]
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Warnings and errors that contain `text` do not fail the test.
    #[must_use]
    pub fn expect_line(mut self, text: &str) -> Self {
        self.expected.push(text.to_owned());
        self
    }

    /// Keeps the data here instead of in a directory that is deleted with the server.
    #[must_use]
    pub fn dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.dir = Some(dir.into());
        self
    }

    /// Starts the process with these limits of file descriptors.
    #[must_use]
    pub fn descriptors(mut self, soft: u64, hard: u64) -> Self {
        self.before.push(format!("ulimit -Sn {soft} && ulimit -Hn {hard}"));
        self
    }

    /// Starts the process with this umask, for instance `000`.
    #[must_use]
    pub fn umask(mut self, umask: &str) -> Self {
        self.before.push(format!("umask {umask}"));
        self
    }

    /// Starts the server and waits until it is ready.
    pub async fn start(self) -> Server {
        let mut server = self.prepare();
        server.start().await;
        server
    }

    /// Everything but the start.
    pub fn prepare(self) -> Server {
        let temporary = self.dir.is_none().then(|| Arc::new(tempfile::tempdir().expect("a directory")));
        let dir = self.dir.clone().or_else(|| Some(temporary.as_ref()?.path().join("data"))).expect("a directory");
        let lines = Lines::default();
        self.expected.iter().for_each(|text| lines.expect(text));
        let port = free_port();
        let client = Client::new(format!("http://127.0.0.1:{port}"));
        Server { setup: self, dir, port, client, lines, child: None, _temporary: temporary }
    }
}

/// A test's own server. Dropping it kills it, and fails the test if its log has unexpected warnings or errors,
/// or if the attempts in it come to another result when they are executed again.
pub struct Server {
    setup: Setup,
    pub dir: PathBuf,
    port: u16,
    pub client: Client,
    lines: Lines,
    child: Option<Child>,
    _temporary: Option<Arc<TempDir>>,
}

impl Server {
    /// Starts the process; it may not be ready yet.
    pub fn spawn(&mut self) {
        assert!(self.child.is_none(), "the server runs");
        let mut command = self.command();
        command.arg("serve").args(["--listen", &format!("127.0.0.1:{}", self.port)]).arg("--data").arg(&self.dir);
        command.args(&self.setup.args).envs(self.setup.env.iter().cloned());
        command.env_remove("RUST_LOG").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the server's process");
        self.lines.follow(child.stderr.take().expect("its log"));
        self.child = Some(child);
    }

    /// The program, started by a shell if its surroundings have to differ.
    fn command(&self) -> Command {
        if self.setup.before.is_empty() {
            return Command::new(binary());
        }
        let mut command = Command::new("sh");
        let script = format!("{} && exec \"$0\" \"$@\"", self.setup.before.join(" && "));
        command.args(["-c", &script]).arg(binary());
        command
    }

    /// Starts it, and waits until it is ready. Returns how long that took.
    pub async fn start(&mut self) -> Duration {
        let started = Instant::now();
        self.spawn();
        self.ready().await;
        started.elapsed()
    }

    /// Waits until it accepts requests.
    pub async fn ready(&mut self) {
        let deadline = Instant::now() + START_PATIENCE;
        while !self.client.is_ready().await {
            let ended = self.child.as_mut().and_then(|child| child.try_wait().expect("its state"));
            assert!(ended.is_none(), "the server ended ({ended:?}):\n{}", self.lines.tail());
            assert!(Instant::now() < deadline, "the server is not ready:\n{}", self.lines.tail());
            sleep(Duration::from_millis(2)).await;
        }
    }

    /// Kills it like the kernel does: no close frames, nothing flushed.
    pub fn kill9(&mut self) {
        let mut child = self.child.take().expect("the server runs");
        child.kill().expect("killed");
        child.wait().expect("reaped");
    }

    /// Requests a stop, and waits for it.
    pub async fn terminate(&mut self) -> ExitStatus {
        let pid = self
            .child
            .as_ref()
            .and_then(|child| Pid::from_raw(i32::try_from(child.id()).ok()?))
            .expect("the server runs");
        kill_process(pid, Signal::TERM).expect("a signal");
        self.ended().await
    }

    /// Waits until it has ended on its own.
    pub async fn ended(&mut self) -> ExitStatus {
        let child = self.child.as_mut().expect("the server runs");
        let status = eventually("the server to end", STOP_PATIENCE, async || {
            child.try_wait().expect("its state").ok_or("it runs")
        })
        .await;
        self.child = None;
        status
    }

    /// `kill -9`, and a restart. Returns how long the start took.
    pub async fn restart(&mut self) -> Duration {
        self.kill9();
        self.start().await
    }

    pub fn url(&self, path: &str) -> String {
        self.client.url(path)
    }

    /// Warnings and errors that contain `text` are expected from now on.
    pub fn expect_line(&self, text: &str) {
        self.lines.expect(text);
    }

    /// Waits for a line that contains `text`, among those after the first `from`.
    pub async fn line(&self, text: &str, from: usize) -> String {
        let what = format!("a line with {text:?}");
        eventually(&what, START_PATIENCE, async || {
            self.lines.since(from).into_iter().find(|line| line.contains(text)).ok_or_else(|| self.lines.tail())
        })
        .await
    }

    pub fn lines_count(&self) -> usize {
        self.lines.count()
    }

    /// Peak memory of the process, in bytes.
    pub fn memory_bytes_peak(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("the process runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("its peak");
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
        kib * 1024
    }

    /// A raw connection, for requests that no client would send.
    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(("127.0.0.1", self.port)).await.expect("a connection")
    }

    /// The process's id.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("the server runs").id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("the server's log ends:\n{}", self.lines.tail());
            return;
        }
        let unexpected = self.lines.unexpected();
        assert!(
            unexpected.is_empty(),
            "the server's log has unexpected warnings or errors:\n{}",
            unexpected.join("\n")
        );
        replays::verify(binary(), &self.dir);
    }
}

//! The server under test: the real release binary with its own directory and the benchmark's handler.

use std::{
    fs::File,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use crate::{clock, http::Http, scrape::Scrape};

/// How long a server may take to start.
pub const START: Duration = Duration::from_mins(1);
/// Time limit of one readiness request; a lost one is sent again, on another connection.
const READY_TRY: Duration = Duration::from_secs(2);

/// Paths.
#[derive(Debug, Clone, clap::Args)]
pub struct Place {
    /// The server's binary
    #[arg(long, default_value = "target/release/weirgate", value_name = "FILE")]
    pub weirgate: PathBuf,
    /// The manifest of the handler to measure with
    #[arg(long, default_value = "tests/bench/guest/handler.toml", value_name = "FILE")]
    pub manifest: PathBuf,
    /// Where data directories are created and deleted: on the disk to measure
    #[arg(long, default_value = "target/bench", value_name = "DIR")]
    pub work_dir: PathBuf,
}

/// A running program, which is killed on drop.
pub struct Running(Child);

/// A ready server, and its data directory; both are removed on drop.
pub struct Server {
    running: Running,
    /// `host:port`.
    pub authority: String,
    pub http: Http,
    dir: TempDir,
}

impl Server {
    /// Starts one, and deploys the handler.
    ///
    /// # Errors
    /// It does not start, or refuses the handler.
    pub async fn start(place: &Place) -> Result<Self> {
        let server = Self::start_bare(place, Command::new(&place.weirgate)).await?;
        server.deploy(place, &place.manifest)?;
        Ok(server)
    }

    /// Starts one by a command that ends with the server's binary, without a handler.
    ///
    /// # Errors
    /// It does not start.
    pub async fn start_bare(place: &Place, command: Command) -> Result<Self> {
        std::fs::create_dir_all(&place.work_dir)?;
        let dir = tempfile::Builder::new().prefix("weirgate-").tempdir_in(&place.work_dir)?;
        let authority = format!("127.0.0.1:{}", free_port()?);
        let running = serve(command, &authority, dir.path())?;
        let http = Http::new(&authority);
        let mut server = Self { running, authority, http, dir };
        server.running.ready(&server.http, "/readyz", START).await.context("Weirgate does not start")?;
        Ok(server)
    }

    /// Kills it, removes these folders of its data directory, and starts it again. Returns how long it takes to be ready.
    ///
    /// # Errors
    /// It does not start within `patience`.
    pub async fn restart(&mut self, place: &Place, removed: &[&str], patience: Duration) -> Result<Duration> {
        self.running.kill();
        for folder in removed {
            let folder = self.data().join(folder);
            if folder.exists() {
                std::fs::remove_dir_all(folder)?;
            }
        }
        let begun = clock::now();
        self.running = serve(Command::new(&place.weirgate), &self.authority, self.dir.path())?;
        self.http = Http::new(&self.authority);
        self.running.ready(&self.http, "/readyz", patience).await.context("Weirgate does not start again")?;
        Ok(begun.elapsed())
    }

    /// The data directory.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    #[must_use]
    pub fn pid(&self) -> u32 {
        self.running.pid()
    }

    /// # Errors
    /// The server does not answer.
    pub async fn scrape(&self) -> Result<Scrape> {
        Ok(Scrape::read(&self.http.get("/metrics").await?))
    }

    /// Deploys a handler by its manifest.
    ///
    /// # Errors
    /// The server refuses it.
    pub fn deploy(&self, place: &Place, manifest: &Path) -> Result<()> {
        let deploy = |consent: &[&str]| {
            let mut deploy = Command::new(&place.weirgate);
            deploy
                .args(["--url", &format!("http://{}", self.authority), "handlers", "deploy"])
                .args(consent)
                .arg(manifest);
            deploy.output().context("the command line does not run")
        };
        let mut output = deploy(&["--yes"])?;
        // A baseline may be a build that asked for no consent.
        if String::from_utf8_lossy(&output.stderr).contains("unexpected argument '--yes'") {
            output = deploy(&[])?;
        }
        if !output.status.success() {
            bail!("the handler was not deployed: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    }
}

impl Running {
    /// Starts a program; its output goes to the file `log`.
    ///
    /// # Errors
    /// There is no such program.
    pub fn start(command: &mut Command, log: &Path) -> Result<Self> {
        let log = File::create(log)?;
        let command = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command.spawn().with_context(|| format!("{} does not run", command.get_program().display()))?;
        Ok(Self(child))
    }

    #[must_use]
    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Waits until `path` answers with success.
    ///
    /// # Errors
    /// The program ends, or does not answer in time.
    pub async fn ready(&mut self, http: &Http, path: &str, patience: Duration) -> Result<()> {
        let begun = clock::now();
        let one_try = async || timeout(READY_TRY, http.get(path)).await.context("no answer in time").flatten();
        while let Err(error) = one_try().await {
            if let Some(status) = self.0.try_wait()? {
                bail!("it has ended: {status}");
            }
            if begun.elapsed() > patience {
                return Err(error.context("it does not become ready"));
            }
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Ends it at once, if it has not ended already.
    fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Starts the server on the data directory in `dir`.
fn serve(mut command: Command, authority: &str, dir: &Path) -> Result<Running> {
    command.args(["serve", "--listen", authority, "--data"]).arg(dir.join("data"));
    Running::start(&mut command, &dir.join("server.log"))
}

/// A port without a listener at present.
///
/// # Errors
/// There is none.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

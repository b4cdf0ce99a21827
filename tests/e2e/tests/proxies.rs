//! The proxies of `docs/guides/proxies.md`, as the page has them: nginx and Caddy with TLS, and a browser that publishes
//! through them, follows statuses over WebSocket and server-sent events, and polls. Only names, ports and paths are replaced.
// JSON that lacks the requested member yields null, and the test reports it.
#![allow(clippy::indexing_slicing)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::json;
use tempfile::TempDir;
use tokio::{net::TcpStream, process};
use weirgate_tests::{Server, Setup, event, eventually, free_port, manifest, within};

const PATIENCE: Duration = Duration::from_secs(30);
const JOURNEY_PATIENCE: Duration = Duration::from_secs(120);
const PASSWORD: &str = "correct horse";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the workspace's root")
}

/// The blocks of the guide in one language.
fn blocks(language: &str) -> Vec<String> {
    let guide = fs::read_to_string(root().join("docs/guides/proxies.md")).expect("the guide");
    let opening = format!("```{language} ");
    // After the language the fence says how the block is tested.
    let bodies = guide.split(&opening).skip(1).filter_map(|rest| rest.split_once('\n'));
    bodies.map(|(_, body)| body.split("```").next().unwrap_or_default().to_owned()).collect()
}

/// `text` with each part replaced. Each has to be there.
fn replaced(text: &str, parts: &[(&str, &str)]) -> String {
    parts.iter().fold(text.to_owned(), |text, (part, by)| {
        assert!(text.contains(part), "the guide has no {part:?}:\n{text}");
        text.replace(part, by)
    })
}

/// Whether a proxy's tests cannot run here. `tools/lib.sh` tries to get it.
fn is_missing(program: &str) -> bool {
    let missing = std::env::var("WITHOUT_PROXIES").is_ok_and(|missing| missing.split(' ').any(|name| name == program));
    if missing {
        println!("skipped: {program} could not be unpacked from Debian's packages");
    }
    missing
}

fn output(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// A server as the guide configures it, and what a proxy before it needs: a port, a certificate, a folder.
struct World {
    server: Server,
    dir: TempDir,
    port: u16,
}

impl World {
    async fn start(with_proxies: bool) -> Self {
        let (dir, port) = (tempfile::tempdir().expect("a directory"), free_port());
        let shop = dir.path().join("shop");
        fs::create_dir_all(&shop).expect("a folder");
        fs::write(shop.join("index.html"), "<!doctype html><title>A shop</title>").expect("a page");
        let configured = blocks("toml").remove(0);
        let name = format!("https://shop.example:{port}");
        let mut configured = replaced(&configured, &[("https://shop.example", &name)]);
        if !with_proxies {
            configured = replaced(&configured, &[("proxies = [\"127.0.0.1\"]", "")]);
        }
        let file = dir.path().join("weirgate.toml");
        fs::write(&file, configured).expect("a configuration");
        let path = |path: &Path| path.to_str().expect("a path").to_owned();
        let setup = Setup::new().arg("--config").arg(path(&file)).arg("--shop").arg(path(&shop));
        let server = setup.start().await;
        server.client.deploy(&manifest("ledger", &["ledger.add"]), weirgate_guests::build("ledger")).await;
        server.client.accept(event("ledger.add", "account/1", "0", &json!({ "n": 0 }))).await;
        server.client.reaches("account/1", "ledger", "counted").await;
        let world = Self { server, dir, port };
        let mut certificate = Command::new("openssl");
        certificate.args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
        ]);
        certificate.args(["-subj", "/CN=shop.example", "-addext", "subjectAltName=DNS:shop.example"]);
        output(certificate.args(["-keyout", &world.path("key.pem"), "-out", &world.path("certificate.pem")]));
        world
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().expect("a path").to_owned()
    }

    fn upstream(&self) -> String {
        self.server.url("").replace("http://", "")
    }

    /// Writes nginx's whole configuration around a block of the guide, and starts it.
    async fn nginx(&self, block: &str) -> process::Child {
        let (listen, certificate, key) =
            (format!("listen 127.0.0.1:{} ssl", self.port), self.path("certificate.pem"), self.path("key.pem"));
        let mut block = replaced(
            block,
            &[
                ("listen 443 ssl", &listen),
                ("127.0.0.1:8080", &self.upstream()),
                ("/etc/ssl/shop.example.pem", &certificate),
                ("/etc/ssl/shop.example.key", &key),
            ],
        );
        if block.contains("auth_basic") {
            let hash = output(Command::new("openssl").args(["passwd", "-apr1", PASSWORD]));
            fs::write(self.path("operators"), format!("operator:{hash}\n")).expect("a file");
            block = replaced(&block, &[("/etc/nginx/operators", &self.path("operators"))]);
        }
        let folders = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let folders = folders.map(|name| format!("{name}_temp_path {};", self.path(name))).join("\n");
        let whole = format!(
            "daemon off; master_process off; pid {}; error_log stderr warn;\nevents {{}}\nhttp {{ access_log off;\n{folders}\n{block}\n}}\n",
            self.path("pid")
        );
        fs::write(self.path("nginx.conf"), whole).expect("a configuration");
        let mut command = process::Command::new("nginx");
        command.args(["-p", &self.path("."), "-c", &self.path("nginx.conf"), "-e", "stderr"]);
        self.started(command).await
    }

    async fn caddy(&self, block: &str) -> process::Child {
        let hash = output(Command::new("caddy").args(["hash-password", "--plaintext", PASSWORD]));
        let site = format!(
            "https://shop.example:{} {{\n\ttls {} {}\n",
            self.port,
            self.path("certificate.pem"),
            self.path("key.pem")
        );
        let block = replaced(
            block,
            &[("shop.example {\n", &site), ("127.0.0.1:8080", &self.upstream()), ("$2a$14$HASH", &hash)],
        );
        let whole = format!("{{\n\tadmin off\n\tauto_https disable_redirects\n}}\n{block}");
        fs::write(self.path("Caddyfile"), whole).expect("a configuration");
        let mut command = process::Command::new("caddy");
        command.args(["run", "--adapter", "caddyfile", "--config", &self.path("Caddyfile")]);
        command
            .env("HOME", self.path("."))
            .env("XDG_DATA_HOME", self.path("data"))
            .env("XDG_CONFIG_HOME", self.path("config"));
        self.started(command).await
    }

    /// Waits until the proxy accepts connections.
    async fn started(&self, mut command: process::Command) -> process::Child {
        let log = fs::File::create(self.path("log")).expect("a log");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).kill_on_drop(true);
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        eventually("the proxy to accept connections", PATIENCE, async || {
            let tried = TcpStream::connect(("127.0.0.1", self.port)).await;
            tried.map(drop).map_err(|_| fs::read_to_string(self.path("log")).unwrap_or_default())
        })
        .await;
        child
    }

    /// What a page does through the proxy. `whole`: the guide's own file, with WebSockets and passwords.
    async fn travel(&self, whole: bool) {
        let mut command = process::Command::new("node");
        command.arg(root().join("tests/e2e/browser/proxied.mjs")).arg(format!("https://shop.example:{}", self.port));
        command.arg(if whole { PASSWORD } else { "" }).stdin(Stdio::null()).kill_on_drop(true);
        let status = within("the journey", JOURNEY_PATIENCE, command.status()).await.expect("node runs");
        let log = fs::read_to_string(self.path("log")).unwrap_or_default();
        assert!(status.success(), "the journey failed: {status}; the proxy's log:\n{log}");
        assert_eq!(self.server.client.handler("ledger").await["state"], if whole { "paused" } else { "running" });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nginx_as_the_guide_has_it() {
    if is_missing("nginx") {
        return;
    }
    let world = World::start(true).await;
    let _nginx = world.nginx(&blocks("nginx")[0]).await;
    world.travel(true).await;
}

/// With `proxy_pass` alone, nginx sends its own address as the host.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nginx_as_most_write_it() {
    if is_missing("nginx") {
        return;
    }
    let world = World::start(false).await;
    let _nginx = world.nginx(&blocks("nginx")[1]).await;
    world.travel(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn caddy_as_the_guide_has_it() {
    if is_missing("caddy") {
        return;
    }
    let world = World::start(true).await;
    let _caddy = world.caddy(&blocks("caddy")[0]).await;
    world.travel(true).await;
}

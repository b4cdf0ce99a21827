//! The input of an attack: the server's address, clients, and its end. All attacks begin at once, when the last one has
//! deployed its handlers.

use std::{
    future::Future,
    sync::{Arc, OnceLock},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    sync::{Barrier, OnceCell},
    time::{Instant, sleep, sleep_until, timeout},
};
use weirgate_tests::{Client, event, eventually, manifest};

/// How long an attack waits after a failed try.
const PAUSE: Duration = Duration::from_millis(20);
/// How long one request of an attack may take.
const PATIENCE: Duration = Duration::from_secs(30);

pub struct Field {
    pub client: Client,
    duration: Duration,
    ready: Arc<Barrier>,
    until: Arc<OnceLock<Instant>>,
    begun: OnceCell<Instant>,
}

impl Clone for Field {
    /// For one more attack, which has not begun.
    fn clone(&self) -> Self {
        let (client, ready, until) = (self.client.clone(), Arc::clone(&self.ready), Arc::clone(&self.until));
        Self { client, duration: self.duration, ready, until, begun: OnceCell::new() }
    }
}

impl Field {
    /// For this many attacks, and their observer.
    pub fn new(client: Client, attacks: usize, duration: Duration) -> Self {
        let ready = Arc::new(Barrier::new(attacks + 1));
        Self { client, duration, ready, until: Arc::default(), begun: OnceCell::new() }
    }

    /// Waits until all attacks are prepared. Returns when they end.
    pub async fn begin(&self) -> Instant {
        let begin = async || {
            self.ready.wait().await;
            *self.until.get_or_init(|| Instant::now() + self.duration)
        };
        *self.begun.get_or_init(begin).await
    }

    /// `host:port`.
    pub fn address(&self) -> String {
        self.client.url("").replacen("http://", "", 1)
    }

    pub fn goes_on(&self) -> bool {
        self.until.get().is_none_or(|until| Instant::now() < *until)
    }

    /// Repeats it, in `count` concurrent tasks, until the attack ends.
    pub async fn at_once<F: Future<Output = ()>>(&self, count: usize, attack: impl Fn(usize) -> F) {
        let until = self.begin().await;
        let one = async |index| {
            while self.goes_on() {
                // A try that takes longer than the attack is aborted at its end.
                let _ = timeout(PATIENCE.min(until.saturating_duration_since(Instant::now())), attack(index)).await;
                sleep(PAUSE).await;
            }
        };
        futures_util::future::join_all((0..count).map(one)).await;
    }

    /// Waits until the attack ends.
    pub async fn wait(&self) {
        sleep_until(self.begin().await).await;
    }

    /// A connection on which these bytes were sent.
    pub async fn sent(&self, bytes: &[u8]) -> Option<TcpStream> {
        self.begin().await;
        let mut stream = timeout(PATIENCE, TcpStream::connect(self.address())).await.ok()?.ok()?;
        timeout(PATIENCE, stream.write_all(bytes)).await.ok()?.ok()?;
        Some(stream)
    }

    /// Deploys a guest under a name, with some settings changed. If the server refuses them, the attack has failed.
    pub async fn deploy(&self, name: &str, guest: &str, types: &[&str], settings: Value) {
        let mut manifest = manifest(name, types);
        let settings = settings.as_object().expect("settings");
        settings.iter().for_each(|(name, value)| manifest[name] = value.clone());
        // Beside other attacks it has to try more than once.
        let what = format!("{name} to be deployed");
        eventually(&what, PATIENCE, async || {
            let uploaded = self.client.upload(weirgate_guests::build(guest)).await;
            if uploaded.status == 503 {
                return Err(uploaded.text);
            }
            let deployed = self.client.redeploy(&manifest, &uploaded.ok()["digest"]).await;
            if deployed.status == 503 { Err(deployed.text) } else { Ok(deployed.ok()) }
        })
        .await;
    }

    /// Publishes `count` events in one request; the answer may be a refusal.
    pub async fn publish(&self, r#type: &str, keys: &str, from: u64, count: u64, data: &Value) {
        let numbered =
            |n: u64| event(r#type, &keys.replace('#', &n.to_string()), &[r#type, "-", &n.to_string()].concat(), data);
        let events: Vec<_> = (from..from + count).map(numbered).collect();
        self.begin().await;
        let _ = self.client.try_publish(&events).await;
    }
}

/// The maximum limits of a handler.
pub fn largest_limits() -> Value {
    json!({
        "cpu_ms": 5_000, "wall_ms": 30_000, "effects_bytes": 4 << 20, "emitted_events": 1_024, "host_calls": 65_536,
        "log_lines": 1_024, "log_line_bytes": 1_024,
    })
}

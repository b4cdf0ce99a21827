//! A client that watches the accounts all the time, reconnects after each crash, and resumes from its versions.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{task::JoinSet, time::sleep};
use weirgate_tests::{Client, Document, Live, eventually};

const RECONNECT_PAUSE: Duration = Duration::from_millis(10);

type Documents = Arc<Mutex<BTreeMap<String, Document>>>;

/// Dropping it ends the watch.
pub struct Watcher {
    task: JoinSet<()>,
    documents: Documents,
}

impl Watcher {
    pub fn start(client: &Client, subjects: &[String]) -> Self {
        let documents = subjects.iter().map(|subject| (subject.clone(), Document::default())).collect();
        let documents: Documents = Arc::new(Mutex::new(documents));
        let (url, kept) = (client.url(""), Arc::clone(&documents));
        let mut task = JoinSet::new();
        task.spawn(async move {
            loop {
                if let Ok(live) = Live::try_connect(&url, None).await {
                    follow(live, &kept).await;
                }
                sleep(RECONNECT_PAUSE).await;
            }
        });
        Self { task, documents }
    }

    /// The highest version received.
    pub fn told(&self) -> u64 {
        self.documents.lock().unwrap().values().map(|document| document.version).max().unwrap_or(0)
    }

    /// Number of frames.
    pub fn frames(&self) -> usize {
        self.documents.lock().unwrap().values().map(|document| document.frames).sum()
    }

    /// Checks that the pushed deltas add up to the server's present status. Nothing may be in flight.
    pub async fn verify(&mut self, client: &Client) {
        if let Some(ended) = self.task.try_join_next() {
            ended.expect("a watcher never ends on its own");
        }
        let subjects: Vec<_> = self.documents.lock().unwrap().keys().cloned().collect();
        for subject in subjects {
            let status = client.get(&format!("/v1/status/{subject}")).await.json;
            let version = status["version"].as_u64().unwrap_or(0);
            let document = eventually("the last version to be pushed", Duration::from_secs(20), async || {
                let document = self.documents.lock().unwrap()[&subject].clone();
                if document.version >= version { Ok(document) } else { Err((document.version, version)) }
            })
            .await;
            if version > 0 {
                document.is(&status);
            }
        }
    }
}

/// Receives frames until the connection is gone.
async fn follow(mut live: Live, documents: &Documents) {
    let wanted: Vec<_> = documents.lock().unwrap().iter().map(|(subject, document)| document.wanted(subject)).collect();
    let subscribe = json!({ "type": "subscribe", "subjects": wanted }).to_string();
    if live.try_say(subscribe).await.is_none() {
        return;
    }
    while let Some(frame) = live.frame().await {
        let subject = frame["subject"].as_str().unwrap_or_else(|| panic!("{frame} is of no subject")).to_owned();
        let mut documents = documents.lock().unwrap();
        let document = documents.get_mut(&subject).expect("a subject that was asked for");
        let before = counts(document);
        document.take(&frame);
        let after = counts(document);
        assert!(
            before.iter().zip(&after).all(|(before, after)| before <= after),
            "{subject} went back from {before:?} to {after:?}"
        );
    }
}

fn counts(document: &Document) -> [u64; 2] {
    ["ledger", "audit"]
        .map(|part| document.parts.get(part).and_then(|part: &Value| part["data"]["count"].as_u64()).unwrap_or(0))
}

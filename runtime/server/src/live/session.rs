//! One WebSocket connection. It keeps no queue of messages: only which of its subjects have changed, and the version of each
//! that was sent last.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket};
use futures_util::{SinkExt, StreamExt, stream::SplitSink};
use tokio::time::{Instant, sleep_until, timeout};
use weirgate_engine::{Grant, Watch};

use super::{
    SUBJECTS_MAX, check_subject,
    frames::{self, Request, Wanted},
};
use crate::{admission::hold, app::App, slot::ConnectionSlot};

/// A client that accepts no bytes for this long is disconnected, with a close code that tells it to reconnect.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

pub struct Session {
    app: App,
    watch: Watch,
    /// The budget's bytes for the watched subjects, by subject.
    held: HashMap<String, Grant>,
    _slot: ConnectionSlot,
}

/// Why a connection is closed: a close code, a stable word, and a text for the client.
struct Close {
    code: u16,
    word: &'static str,
    message: String,
}

type Sink = SplitSink<WebSocket, Message>;

impl Session {
    pub fn new(app: App, slot: ConnectionSlot) -> Self {
        let watch = Watch::new(Arc::clone(app.engine.hub()));
        Self { app, watch, held: HashMap::new(), _slot: slot }
    }

    pub async fn run(mut self, socket: WebSocket) {
        let (mut sink, mut stream) = socket.split();
        let heartbeat = self.app.options.heartbeat;
        let hello = frames::hello(self.app.engine.epoch(), heartbeat.as_millis(), SUBJECTS_MAX);
        let mut ended = self.send(&mut sink, vec![hello.into()]).await.err();
        let mut silent_until = Instant::now() + heartbeat;
        let app = self.app.clone();
        while ended.is_none() {
            let step = tokio::select! {
                message = stream.next() => match message {
                    Some(Ok(message)) => self.take(&mut sink, message).await,
                    Some(Err(error)) => Err(Close::bad_message(error.to_string())),
                    None => return,
                },
                changed = self.watch.changed() => self.push(&mut sink, changed).await,
                () = sleep_until(silent_until) => self.send(&mut sink, vec![frames::heartbeat().into()]).await,
                () = app.stopped() => Err(Close::going_away()),
            };
            match step {
                Ok(true) => silent_until = Instant::now() + heartbeat,
                Ok(false) => {}
                Err(close) => ended = Some(close),
            }
        }
        if let Some(close) = ended {
            close.tell(&mut sink).await;
        }
    }

    /// Handles a message of the client. Returns whether anything was sent.
    async fn take(&mut self, sink: &mut Sink, message: Message) -> Result<bool, Close> {
        let text = match message {
            Message::Text(text) => text,
            Message::Binary(_) => return Err(Close::bad_message("messages are text")),
            Message::Close(_) => return Err(Close { code: 1000, word: "", message: String::new() }),
            Message::Ping(_) | Message::Pong(_) => return Ok(false),
        };
        match Request::parse(&text).map_err(Close::bad_message)? {
            Request::Subscribe { subjects } => self.subscribe(sink, subjects).await,
            Request::Unsubscribe { subjects } => {
                for subject in subjects {
                    self.watch.remove(&subject);
                    self.held.remove(&subject);
                }
                Ok(false)
            }
        }
    }

    async fn subscribe(&mut self, sink: &mut Sink, subjects: Vec<Wanted>) -> Result<bool, Close> {
        let epoch = self.app.engine.epoch();
        if subjects.len() > SUBJECTS_MAX {
            return Err(Close::too_many_subjects());
        }
        let mut sent = false;
        for wanted in subjects {
            let known = self.watch.version(&wanted.subject).is_some();
            if !known && self.watch.subjects() >= SUBJECTS_MAX {
                return Err(Close::too_many_subjects());
            }
            if !known {
                check_subject(&wanted.subject).map_err(|problem| Close::bad_subject(problem.detail))?;
                let held = hold(&self.app.engine, &wanted.subject).ok_or_else(Close::over_budget)?;
                self.held.insert(wanted.subject.clone(), held);
            }
            let document = self.watch.add(&wanted.subject).await.map_err(|_| Close::internal())?;
            let answer = frames::answer(&wanted.subject, epoch, &document, wanted.seen(epoch));
            sent |= self.send(sink, vec![answer.into()]).await?;
        }
        Ok(sent)
    }

    async fn push(&mut self, sink: &mut Sink, changed: BTreeSet<Arc<str>>) -> Result<bool, Close> {
        let mut sent = false;
        // One at a time: a message is built when the socket has accepted the previous one.
        for subject in changed {
            let Some(shared) = self.watch.news(&subject) else { continue };
            sent |= self.send(sink, vec![Utf8Bytes::from(&*frames::shared_delta(&subject, &shared))]).await?;
        }
        Ok(sent)
    }

    /// Writes messages and waits until the socket has accepted them. Returns whether there were any.
    async fn send(&self, sink: &mut Sink, messages: Vec<Utf8Bytes>) -> Result<bool, Close> {
        let count = messages.len() as u64;
        for message in messages {
            in_time(sink.feed(Message::Text(message))).await?;
        }
        in_time(sink.flush()).await?;
        self.app.engine.metrics().live_messages.inc_by(count);
        Ok(count > 0)
    }
}

/// A client that accepts nothing for too long is disconnected and told to reconnect.
async fn in_time(write: impl Future<Output = Result<(), axum::Error>>) -> Result<(), Close> {
    match timeout(WRITE_TIMEOUT, write).await {
        Ok(written) => written.map_err(|_| Close::gone()),
        Err(_) => Err(Close { code: 4000, word: "slow", message: "nothing was read for too long".into() }),
    }
}

impl Close {
    fn bad_message(message: impl Into<String>) -> Self {
        Self { code: 4500, word: "bad-message", message: message.into() }
    }

    fn too_many_subjects() -> Self {
        Self { code: 4501, word: "too-many-subjects", message: format!("at most {SUBJECTS_MAX} subjects a connection") }
    }

    fn bad_subject(message: String) -> Self {
        Self { code: 4503, word: "bad-subject", message }
    }

    fn over_budget() -> Self {
        let message = "the server watches as many subjects as it may".to_owned();
        Self { code: 4001, word: "over-budget", message }
    }

    fn going_away() -> Self {
        Self { code: 1001, word: "", message: "the server is stopping".into() }
    }

    fn internal() -> Self {
        Self { code: 1011, word: "internal", message: "internal error; see the server's log".into() }
    }

    /// The client is gone.
    fn gone() -> Self {
        Self { code: 1006, word: "", message: String::new() }
    }

    async fn tell(self, sink: &mut Sink) {
        if self.code == 1006 {
            return;
        }
        let tell = async {
            if !self.word.is_empty() {
                sink.feed(Message::Text(frames::error(self.word, &self.message).into())).await?;
            }
            let reason = self.message.chars().take(100).collect::<String>().into();
            sink.send(Message::Close(Some(CloseFrame { code: self.code, reason }))).await
        };
        // The client may be gone; then the close message is lost.
        let _ = timeout(WRITE_TIMEOUT, tell).await;
    }
}

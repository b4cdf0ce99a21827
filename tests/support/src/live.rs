//! A client of the live endpoint, over WebSocket: raw frames, and documents kept by the protocol's rules.

use std::{collections::BTreeMap, time::Duration};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Error, Message, client::IntoClientRequest, http::HeaderValue},
};

use crate::within;

/// Time limit for a frame.
const FRAME_PATIENCE: Duration = Duration::from_secs(30);

/// A connection.
pub struct Live {
    pub socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    pub hello: Value,
}

impl Live {
    /// Connects, and receives the hello. `url` is that of the server.
    ///
    /// # Errors
    /// The connection fails.
    pub async fn try_connect(url: &str, origin: Option<&str>) -> Result<Self, Error> {
        let mut request = format!("{}/v1/live", url.replacen("http", "ws", 1)).into_client_request()?;
        request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static("weirgate.v1"));
        if let Some(origin) = origin {
            request.headers_mut().insert("origin", origin.parse()?);
        }
        let (socket, _) = connect_async(request).await?;
        let mut live = Self { socket, hello: Value::Null };
        live.hello = live.frame().await.ok_or(Error::ConnectionClosed)?;
        Ok(live)
    }

    pub async fn connect(url: &str) -> Self {
        let live = Self::try_connect(url, None).await.expect("a live connection");
        assert_eq!(live.hello["type"], "hello");
        live
    }

    /// The next frame that is not a heartbeat; `None` when the connection is gone.
    pub async fn frame(&mut self) -> Option<Value> {
        loop {
            match self.socket.next().await?.ok()? {
                Message::Text(text) => {
                    let frame: Value = serde_json::from_str(&text).expect("frames are JSON");
                    if frame["type"] != "heartbeat" {
                        return Some(frame);
                    }
                }
                Message::Close(_) => return None,
                _ => {}
            }
        }
    }

    /// The next frame, which has to come.
    #[track_caller]
    pub fn receive(&mut self) -> impl Future<Output = Value> {
        let frame = within("a frame", FRAME_PATIENCE, self.frame());
        async move { frame.await.expect("the connection is open") }
    }

    /// Frames up to the close, and its code.
    pub async fn close_code(&mut self) -> (Vec<Value>, u16) {
        let mut frames = Vec::new();
        loop {
            let message = within("the close", FRAME_PATIENCE, self.socket.next()).await;
            match message {
                Some(Ok(Message::Text(text))) => frames.push(serde_json::from_str(&text).expect("frames are JSON")),
                Some(Ok(Message::Close(close))) => return (frames, close.map_or(1005, |close| close.code.into())),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return (frames, 1006),
            }
        }
    }

    pub async fn send(&mut self, frame: &Value) {
        self.say(Message::Text(frame.to_string().into())).await;
    }

    pub async fn say(&mut self, message: Message) {
        self.socket.send(message).await.expect("the connection is open");
    }

    /// Sends text; `None` when the connection is gone.
    pub async fn try_say(&mut self, text: String) -> Option<()> {
        self.socket.send(Message::Text(text.into())).await.ok()
    }

    /// Subscribes without a version.
    pub async fn subscribe(&mut self, subjects: &[&str]) {
        let subjects: Vec<_> = subjects.iter().map(|subject| json!({ "subject": subject })).collect();
        self.send(&json!({ "type": "subscribe", "subjects": subjects })).await;
    }
}

/// A subject's document, kept up to date by frames. Panics if a frame violates the protocol.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Document {
    pub epoch: String,
    pub version: u64,
    pub parts: BTreeMap<String, Value>,
    /// Number of frames applied.
    pub frames: usize,
}

impl Document {
    /// Its state in a subscription.
    pub fn wanted(&self, subject: &str) -> Value {
        match self.epoch.as_str() {
            "" => json!({ "subject": subject }),
            epoch => json!({ "subject": subject, "epoch": epoch, "version": self.version }),
        }
    }

    /// Applies a frame. A snapshot may not revert anything that was shown before, within one epoch.
    pub fn take(&mut self, frame: &Value) {
        let number = |name: &str| frame[name].as_u64().unwrap_or_else(|| panic!("no {name} in {frame}"));
        let version = number("version");
        match frame["type"].as_str() {
            Some("snapshot") => {
                let epoch = frame["epoch"].as_str().expect("an epoch");
                assert!(self.epoch.is_empty() || self.epoch == epoch, "the log is another one");
                epoch.clone_into(&mut self.epoch);
            }
            Some("delta") => assert!(number("previous") <= self.version, "a gap: {frame} after {}", self.version),
            other => panic!("{other:?} is no frame of a subject"),
        }
        assert!(version >= self.version, "version {} was taken back: {frame}", self.version);
        self.version = version;
        self.frames += 1;
        for (name, part) in frame["parts"].as_object().expect("parts") {
            let newer = |seen: &Value| part["version"].as_u64() >= seen["version"].as_u64();
            assert!(self.parts.get(name).is_none_or(newer), "the part {name} was taken back: {frame}");
            self.parts.insert(name.clone(), part.clone());
        }
    }

    /// Checks that it equals the server's document.
    #[track_caller]
    pub fn is(&self, status: &Value) {
        let parts = serde_json::from_value::<BTreeMap<String, Value>>(status["parts"].clone()).expect("parts");
        assert_eq!((Some(self.version), &self.parts), (status["version"].as_u64(), &parts), "{}", status["subject"]);
    }
}

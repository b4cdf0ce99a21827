//! Reads and drops what a request's body still has when its reader is done with it: a connection that is closed with unread
//! bytes is reset, and a client that is still sending never sees its answer. Around everything that answers, so that no
//! refusal has to think of it. Bounded in time, and in the number of bodies that are read so at once.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    BoxError,
    body::{Body, Bytes, HttpBody},
    extract::Request,
    http::HeaderMap,
};
use futures_util::StreamExt;
use hyper::body::{Frame, SizeHint};
use tokio::{
    runtime::Handle,
    sync::Semaphore,
    time::{Instant, timeout_at},
};

use crate::{app::App, payload::waits_to_be_asked, tasks::Tasks};

/// How long the rest of a body is read and dropped.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(3);

/// The same request, with a body whose rest is read when its reader drops it.
pub fn discard_the_rest(app: &App, request: Request) -> Request {
    if request.body().is_end_stream() {
        return request;
    }
    let is_coming = is_coming(request.headers());
    let (discards, tasks) = (Arc::clone(&app.discards), Arc::clone(&app.tasks));
    request.map(|body| Body::new(Watched { body, is_coming, discards, tasks }))
}

/// Reads the body of a refused request to its end, for at most `time_max`. One that waits to be asked for is not.
pub async fn discard<B>(request: axum::http::Request<B>, time_max: Duration)
where
    B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    if is_coming(request.headers()) {
        read(Body::new(request.into_body()), time_max).await;
    }
}

/// Whether the client sends its body without being asked for it.
fn is_coming(headers: &HeaderMap) -> bool {
    !waits_to_be_asked(headers)
}

async fn read(body: Body, time_max: Duration) {
    let (mut stream, deadline) = (body.into_data_stream(), Instant::now() + time_max);
    while let Ok(Some(Ok(_))) = timeout_at(deadline, stream.next()).await {}
}

/// A request's body. Its rest is read when its reader drops it.
struct Watched {
    body: Body,
    /// The client sends it: unasked, or because it was read, which asks.
    is_coming: bool,
    discards: Arc<Semaphore>,
    tasks: Arc<Tasks>,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        // After its end, or an error, nothing comes.
        self.is_coming = !matches!(frame, Poll::Ready(None | Some(Err(_))));
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // Connections that end with the runtime have no more answers.
        if !self.is_coming || self.body.is_end_stream() || Handle::try_current().is_err() {
            return;
        }
        let Ok(permit) = Arc::clone(&self.discards).try_acquire_owned() else { return };
        let body = std::mem::take(&mut self.body);
        self.tasks.start(async move {
            let _held = permit;
            read(body, DISCARD_TIMEOUT).await;
        });
    }
}

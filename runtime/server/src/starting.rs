//! What is answered while the log is being recovered and there is no engine yet: 503 with `Retry-After`, and 200 for `/livez`. So
//! clients and proxies know that the server is coming. Knows no route and no engine.

use std::{convert::Infallible, future::Future, time::Duration};

use axum::{
    extract::Request,
    http::{HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::sleep,
};

use crate::{Problem, unread::discard};

/// Maximum number of connections answered at once. Further ones wait in the listener's queue.
const CONNECTIONS_MAX: usize = 64;
/// How long a connection may take to send its request's head, and then its body.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Maximum size of a request's head, in bytes.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Delay before the next accept, after one that failed.
const BACKOFF: Duration = Duration::from_millis(50);
/// When clients should try again, in seconds.
const RETRY_AFTER_SECONDS: u32 = 2;

/// Answers on `listener` until `started` resolves. The listener can be served then; connections that wait in its queue are kept.
pub async fn answer_while<T>(listener: &TcpListener, started: impl Future<Output = T>) -> T {
    let mut connections = JoinSet::new();
    tokio::pin!(started);
    let started = loop {
        tokio::select! {
            biased;
            started = &mut started => break started,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => match accepted {
                Ok((stream, _)) => drop(connections.spawn(refuse(stream))),
                Err(_) => sleep(BACKOFF).await,
            }
        }
    };
    // Requests that have arrived get their answer.
    connections.detach_all();
    started
}

/// Answers one request, and closes the connection.
async fn refuse(stream: TcpStream) {
    let answer = service_fn(async |request: Request<Incoming>| {
        let is_alive = matches!(*request.method(), Method::GET | Method::HEAD) && request.uri().path() == "/livez";
        discard(request, TIMEOUT).await;
        Ok::<_, Infallible>(if is_alive { alive() } else { starting() })
    });
    let refused = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(TIMEOUT)
        .max_header_size(HEAD_BYTES_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), answer);
    if let Err(error) = refused.await {
        tracing::debug!(%error, "a connection ended early while the server was starting");
    }
}

/// As for the route: pages of any origin may read it.
fn alive() -> Response {
    ([(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"))], "ok\n").into_response()
}

fn starting() -> Response {
    let detail =
        "the server is starting: it reads its log, which takes long where the views were deleted; try again later";
    let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "starting", detail);
    problem.retry_after(RETRY_AFTER_SECONDS).into_response()
}

#[cfg(test)]
mod tests {
    use std::{net::SocketAddr, sync::Arc};

    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        sync::oneshot,
    };

    use super::*;

    async fn ask(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer, then the end");
        answer
    }

    #[tokio::test]
    async fn clients_are_asked_to_come_back_until_the_engine_has_started() {
        let listener = Arc::new(TcpListener::bind("127.0.0.1:0").await.expect("a listener"));
        let address = listener.local_addr().expect("an address");
        let (start, started) = oneshot::channel();
        let (mut answering, answered) = (JoinSet::new(), Arc::clone(&listener));
        answering.spawn(async move { answer_while(&answered, started).await });
        for path in ["/v1/status/order/o-1", "/readyz", "/", "/livez/x"] {
            let answer = ask(address, &format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n")).await;
            assert!(answer.starts_with("HTTP/1.1 503 "), "{path}: {answer}");
            assert!(answer.contains("retry-after: 2\r\n") && answer.contains("\"code\":\"starting\""), "{answer}");
        }
        let body = "x".repeat(300_000);
        let length = body.len();
        let post = format!("POST /v1/events HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n{body}");
        assert!(
            ask(address, &post).await.starts_with("HTTP/1.1 503 "),
            "a client that is still sending gets its answer"
        );
        let alive = ask(address, "GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await;
        assert!(alive.starts_with("HTTP/1.1 200 ") && alive.ends_with("\r\n\r\nok\n"), "{alive}");
        // Connections that send nothing keep no other from being answered.
        let mut idle = Vec::new();
        for _ in 0..CONNECTIONS_MAX - 1 {
            idle.push(TcpStream::connect(address).await.expect("a connection"));
        }
        assert!(ask(address, "GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.starts_with("HTTP/1.1 503 "));
        start.send(7).expect("it waits");
        assert_eq!(answering.join_next().await.expect("it ends").expect("no panic"), Ok(7));
        let waiting = TcpStream::connect(address).await.expect("a connection");
        let (_, peer) = listener.accept().await.expect("the listener is free");
        assert_eq!(peer, waiting.local_addr().expect("an address"));
    }
}

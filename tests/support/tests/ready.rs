//! Waiting for a server that is not ready yet, or whose answer is lost.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use weirgate_tests::{Client, within};

/// The first connection is accepted and never answered; the second one is.
#[tokio::test]
async fn a_readiness_request_that_is_lost_is_sent_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let client = Client::new(format!("http://{}", listener.local_addr().expect("its address")));
    #[expect(clippy::disallowed_methods, reason = "it is waited for below")]
    let server = tokio::spawn(async move {
        let (lost, _) = listener.accept().await.expect("a connection");
        let (mut answered, _) = listener.accept().await.expect("another connection");
        let mut request = [0; 1024];
        assert!(answered.read(&mut request).await.expect("a request") > 0);
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        answered.write_all(answer).await.expect("an answer");
        drop(lost);
    });
    let ready = async { while !client.is_ready().await {} };
    within("the server to be ready", Duration::from_secs(30), ready).await;
    server.await.expect("both connections");
}

//! RFC 6455 on the real server: frames, fragments, sizes, UTF-8, close codes and the opening handshake, as tables of cases.
//! The groups are those of the Autobahn test suite; there is no echo, so a valid message is a subscription, or a text that is
//! refused as one (4500).
// JSON that lacks the requested member yields null, and the test reports it.
#![allow(clippy::indexing_slicing)]

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use weirgate_tests::{
    CLOSE, End, HANDSHAKE, PING, PONG, RawFrame, RawSocket, Server, Setup, TEXT, closing, eventually, masked, within,
};

const PATIENCE: Duration = Duration::from_secs(30);
/// The first bytes of fragments.
const BEGIN: u8 = 0x01;
const MIDDLE: u8 = 0x00;
const LAST: u8 = 0x80;

/// What a connection has to do with bytes.
#[derive(Debug, Clone)]
enum Then {
    /// It is closed with this code, in order.
    Closes(u16),
    /// The same after these frames.
    ClosesAfter(Vec<RawFrame>, u16),
    /// It answers with these frames, and stays.
    Answers(Vec<RawFrame>),
}
use Then::{Answers, Closes, ClosesAfter};

struct Case {
    name: String,
    bytes: Vec<u8>,
    then: Then,
}

fn case(name: impl Into<String>, parts: &[Vec<u8>], then: Then) -> Case {
    Case { name: name.into(), bytes: parts.concat(), then }
}

fn pong(payload: &[u8]) -> RawFrame {
    RawFrame { first: PONG, payload: payload.into() }
}

/// Runs the cases, each on a connection of its own, whole and in pieces.
async fn run(cases: Vec<Case>) {
    let server = Setup::new().start().await;
    for Case { name, bytes, then } in cases {
        for size in [bytes.len().max(1), 1_021, 1] {
            if size == 1 && bytes.len() > 512 {
                continue;
            }
            let what = format!("{name}, in pieces of {size}");
            let mut socket = RawSocket::connect(&server).await;
            socket.send_in_pieces(&bytes, size).await;
            let expected = match &then {
                Answers(frames) => {
                    for expected in frames {
                        assert_eq!(socket.frame().await.as_ref(), Some(expected), "{what}");
                    }
                    socket.send(&closing(1000, b"")).await;
                    End { code: 1000, in_order: true, frames: Vec::new() }
                }
                Closes(code) => End { code: *code, in_order: true, frames: Vec::new() },
                ClosesAfter(frames, code) => End { code: *code, in_order: true, frames: frames.clone() },
            };
            let mut end = socket.end(!matches!(then, Answers(_))).await;
            // The explanation before a close code of `weirgate.v1`.
            end.frames.retain(|frame| !(frame.first == TEXT && frame.text().contains(r#""type":"error""#)));
            assert_eq!(end, expected, "{what}");
        }
    }
    let gauge = "weirgate_live_connections 0";
    eventually("all connections to be given back", PATIENCE, async || {
        let metrics = server.client.get("/metrics").await.text;
        if metrics.contains(gauge) { Ok(()) } else { Err(metrics) }
    })
    .await;
}

/// A subscription of exactly `length` bytes, and the snapshot that answers it, but for its epoch.
fn subscription(length: usize) -> Vec<u8> {
    let text = r#"{"type":"subscribe","subjects":[{"subject":"s"}]}"#;
    format!("{text}{}", " ".repeat(length - text.len())).into_bytes()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn texts_of_each_size_up_to_the_limit_are_taken() {
    let server = Setup::new().start().await;
    for length in [60, 125, 126, 127, 128, 16_383, 16_384] {
        let whole = masked(TEXT, &subscription(length));
        let text = subscription(length);
        let (begin, end) = text.split_at(length / 2);
        let fragments = [masked(BEGIN, begin), masked(MIDDLE, b""), masked(PING, b"?"), masked(LAST, end)].concat();
        for (bytes, size) in [(&whole, whole.len()), (&whole, 997), (&fragments, 1_021)] {
            let mut socket = RawSocket::connect(&server).await;
            socket.send_in_pieces(bytes, size).await;
            let mut frame = socket.frame().await.expect("an answer");
            if frame.first == PONG {
                frame = socket.frame().await.expect("an answer");
            }
            assert!(frame.first == TEXT && frame.text().contains(r#""type":"snapshot","subject":"s""#), "{frame:?}");
            socket.send(&closing(1000, b"")).await;
            let End { code, in_order, .. } = socket.end(false).await;
            assert_eq!((code, in_order), (1000, true), "{length} bytes");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn texts_beyond_the_limit_close_with_1009_over_fragments_too() {
    let many = |count: usize, length| -> Vec<u8> {
        let middle = masked(MIDDLE, &vec![b' '; length]);
        [masked(BEGIN, b"{"), middle.repeat(count), masked(LAST, b"}")].concat()
    };
    let mut cases: Vec<_> = [16_385, 65_535, 65_536, 100_000]
        .map(|length| case(format!("{length} bytes"), &[masked(TEXT, &vec![b' '; length])], Closes(1009)))
        .into();
    cases.push(case("fragments of 1,000 bytes", &[many(17, 1_000)], Closes(1009)));
    cases.push(case("one more byte", &[masked(BEGIN, &[b' '; 16_384]), masked(LAST, b" ")], Closes(1009)));
    cases.push(case(
        "one more byte before the end",
        &[masked(BEGIN, &[b' '; 16_384]), masked(MIDDLE, b" ")],
        Closes(1009),
    ));
    cases.push(case(
        "a head that claims 2^62 bytes",
        &[vec![TEXT, 0xff, 0x40, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4]],
        Closes(1009),
    ));
    cases.push(case("endless empty fragments are nothing", &[many(2_000, 0)], Closes(4500)));
    run(cases).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pings_are_answered_with_their_payload() {
    let payloads: [&[u8]; 4] = [b"", b"Hello, world!", b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff", &[0xfe; 125]];
    let mut cases: Vec<_> =
        payloads.map(|payload| case("a ping", &[masked(PING, payload)], Answers(vec![pong(payload)]))).into();
    let ten: Vec<_> = (0..10_u8).map(|n| masked(PING, &[n])).collect();
    cases.push(case("ten pings", &ten, Answers((0..10_u8).map(|n| pong(&[n])).collect())));
    cases.push(case("an unsolicited pong", &[masked(PONG, b"x"), masked(PING, b"y")], Answers(vec![pong(b"y")])));
    let between = [masked(BEGIN, b"{"), masked(PING, b"1"), masked(MIDDLE, b""), masked(PING, b"2"), masked(LAST, b"")];
    cases.push(case("pings within a message", &between, ClosesAfter(vec![pong(b"1"), pong(b"2")], 4500)));
    run(cases).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_rules_of_frames_close_with_1002_and_binary_with_1003() {
    let mut cases = Vec::new();
    for bits in [0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70] {
        for first in [TEXT, PING, CLOSE, LAST, 0x82] {
            cases.push(case(
                format!("{:x} with reserved bits", first | bits),
                &[masked(first | bits, b"")],
                Closes(1002),
            ));
        }
    }
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        let name = format!("opcode {opcode}");
        let after_ping = [masked(PING, b"x"), masked(0x80 | opcode, b"y"), masked(PING, b"z")];
        cases.push(case(format!("{name} after a ping"), &after_ping, ClosesAfter(vec![pong(b"x")], 1002)));
        cases.push(case(name, &[masked(0x80 | opcode, b"")], Closes(1002)));
    }
    for first in [PING, PONG, CLOSE] {
        cases.push(case(format!("{first:x}, fragmented"), &[masked(first & 0x0f, b"")], Closes(1002)));
        for length in [126, 127, 200, 16_385, 65_536] {
            let long = masked(first, &vec![0xfe; length]);
            cases.push(case(format!("{first:x} of {length} bytes"), &[long], Closes(1002)));
        }
    }
    for first in [TEXT, PING, CLOSE] {
        cases.push(case(format!("{first:x}, not masked"), &[vec![first, 2, b'{', b'}']], Closes(1002)));
    }
    let long_forms: [&[u8]; 4] = [
        &[TEXT, 0xfe, 0, 1, 0, 0, 0, 0, b'{'],
        &[TEXT, 0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, b'{'],
        &[PING, 0xfe, 0, 1, 0, 0, 0, 0, b'x'],
        &[TEXT, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0],
    ];
    cases.extend(long_forms.map(|bytes| case("a length in a longer form", &[bytes.to_vec()], Closes(1002))));
    cases.push(case("binary", &[masked(0x82, b"\x01\x02")], Closes(1003)));
    cases.push(case("binary, empty", &[masked(0x82, b"")], Closes(1003)));
    cases.push(case("binary, fragmented", &[masked(0x02, b"\x01"), masked(LAST, b"\x02")], Closes(1003)));
    run(cases).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fragments_in_a_wrong_order_close_with_1002() {
    let (begin, last) = (masked(BEGIN, b"x"), masked(LAST, b"y"));
    let cases = vec![
        case("a continuation without a beginning", std::slice::from_ref(&last), Closes(1002)),
        case("the same, not the last one", &[masked(MIDDLE, b"x")], Closes(1002)),
        case("a text within a text", &[begin.clone(), masked(TEXT, b"y")], Closes(1002)),
        case("a beginning within a text", &[begin.clone(), begin.clone()], Closes(1002)),
        case("binary within a text", &[begin.clone(), masked(0x82, b"y")], Closes(1002)),
        case("a fragmented ping within a text", &[begin.clone(), masked(0x09, b"p"), last.clone()], Closes(1002)),
        case("a close within a text", &[begin, closing(1000, b"bye")], Closes(1000)),
    ];
    run(cases).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn texts_and_reasons_that_are_not_utf_8_close_with_1007() {
    let valid: [&[u8]; 14] = [
        b"",
        b"Hello",
        "κόσμε".as_bytes(),
        "Hello-µ@ßöäüàá-UTF-8!!".as_bytes(),
        b"\x00",
        b"\x7f",
        b"\xc2\x80",
        b"\xdf\xbf",
        b"\xe0\xa0\x80",
        b"\xed\x9f\xbf",
        b"\xee\x80\x80",
        b"\xef\xbf\xbf",
        b"\xf0\x90\x80\x80",
        b"\xf4\x8f\xbf\xbf",
    ];
    let invalid: [&[u8]; 20] = [
        b"\x80",
        b"\xbf",
        b"\xc0\x80",
        b"\xc0\xaf",
        b"\xc1\xbf",
        b"\xc2",
        b"\xce\xba\xe1\xbd",
        b"\xe0\x80\xaf",
        b"\xe0\x9f\xbf",
        b"\xed\xa0\x80",
        b"\xed\xbf\xbf",
        b"\xed\xa0\x80\xed\xb0\x80",
        b"\xf0\x80\x80\xaf",
        b"\xf0\x8f\xbf\xbf",
        b"\xf4\x90\x80\x80",
        b"\xf8\x88\x80\x80\x80",
        b"\xfc\x84\x80\x80\x80\x80",
        b"\xfe",
        b"\xff",
        b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited",
    ];
    let mut cases = Vec::new();
    for (texts, text_code, reason_code) in [(&valid[..], 4500, 1000), (&invalid, 1007, 1007)] {
        for text in texts {
            let name = format!("{text:x?}");
            let (begin, last) = text.split_at(text.len() / 2);
            cases.push(case(&name, &[masked(TEXT, text)], Closes(text_code)));
            cases.push(case(
                format!("{name} in fragments"),
                &[masked(BEGIN, begin), masked(LAST, last)],
                Closes(text_code),
            ));
            let single = text.iter().map(|byte| masked(MIDDLE, &[*byte]));
            let bytewise: Vec<_> = [masked(BEGIN, b"")].into_iter().chain(single).chain([masked(LAST, b"")]).collect();
            cases.push(case(format!("{name} in fragments of a byte"), &bytewise, Closes(text_code)));
            cases.push(case(format!("{name} as a reason"), &[closing(1000, text)], Closes(reason_code)));
        }
    }
    cases.push(case("invalid before the message ends", &[masked(BEGIN, b"\xf4\x90\x80\x80")], Closes(1007)));
    run(cases).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_close_is_answered_with_its_code_and_bad_ones_with_1002() {
    let codes = |codes: &[u16], answer: fn(u16) -> u16| -> Vec<Case> {
        codes
            .iter()
            .map(|code| case(format!("code {code}"), &[closing(*code, b"bye")], Closes(answer(*code))))
            .collect()
    };
    let valid = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4500, 4999];
    let invalid = [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535];
    let mut cases = codes(&valid, |code| code);
    cases.extend(codes(&invalid, |_| 1002));
    cases.push(case("no code", &[masked(CLOSE, b"")], Closes(1005)));
    cases.push(case("half a code", &[masked(CLOSE, b"\x03")], Closes(1002)));
    cases.push(case("a code without a reason", &[closing(1000, b"")], Closes(1000)));
    cases.push(case("the longest reason", &[closing(1000, &[b'*'; 123])], Closes(1000)));
    cases.push(case("a longer reason", &[closing(1000, &[b'*'; 124])], Closes(1002)));
    // What follows a close frame is ignored.
    cases.push(case("two", &[closing(1000, b""), closing(1001, b"")], Closes(1000)));
    cases.push(case("a ping afterwards", &[closing(1000, b""), masked(PING, b"x")], Closes(1000)));
    cases.push(case("a text afterwards", &[closing(1000, b""), masked(TEXT, &subscription(60))], Closes(1000)));
    cases.push(case("a ping before", &[masked(PING, b"x"), closing(1000, b"")], ClosesAfter(vec![pong(b"x")], 1000)));
    run(cases).await;
}

/// The status of the answer to a request, its head in lower case, and the problem's code.
async fn asked(server: &Server, request: &str) -> (u16, String, String) {
    let mut stream = server.connect().await;
    stream.write_all(request.as_bytes()).await.expect("written");
    let mut answer = Vec::new();
    let is_whole = |answer: &[u8]| {
        let text = String::from_utf8_lossy(answer);
        text.split_once("\r\n\r\n").is_some_and(|(head, body)| head.contains("101") || body.ends_with('}'))
    };
    while !is_whole(&answer) {
        let count = within("an answer", PATIENCE, stream.read_buf(&mut answer)).await.expect("an answer");
        assert!(count > 0, "closed after {}", String::from_utf8_lossy(&answer));
    }
    let text = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_default();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    let problem: Value = serde_json::from_str(body).unwrap_or_default();
    (status, head.to_lowercase(), problem["code"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handshakes_are_accepted_or_refused_by_their_fields() {
    let server = Setup::new().start().await;
    let key = "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==";
    // What is replaced in a good request, by what, and the answer.
    let cases = [
        ("", "", 101, ""),
        ("websocket\r\n", "WebSocket\r\n", 101, ""),
        ("connection: Upgrade", "connection: keep-alive, upgrade", 101, ""),
        ("connection: Upgrade", "connection: keep-alive\r\nconnection: upgrade", 101, ""),
        ("protocol: weirgate.v1", "protocol: weirgate.v2, weirgate.v1", 101, ""),
        ("protocol: weirgate.v1", "protocol: weirgate.v2\r\nsec-websocket-protocol: weirgate.v1", 101, ""),
        ("version: 13", "version: 13\r\nsec-websocket-extensions: permessage-deflate", 101, ""),
        ("version: 13", "version: 12", 426, "websocket-version"),
        ("version: 13", "version: 8", 426, "websocket-version"),
        ("version: 13", "version: 013", 426, "websocket-version"),
        ("version: 13", "version: 13, 8", 426, "websocket-version"),
        ("version: 13", "version: x", 426, "websocket-version"),
        ("version: 13", "version:", 426, "websocket-version"),
        ("sec-websocket-version: 13\r\n", "", 426, "websocket-version"),
        ("version: 13", "version: 13\r\nsec-websocket-version: 13", 426, "websocket-version"),
        (key, "sec-websocket-key: x", 400, "bad-websocket-key"),
        (key, "sec-websocket-key:", 400, "bad-websocket-key"),
        (key, "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ", 400, "bad-websocket-key"),
        (key, "sec-websocket-key: dGhlIHNhbXBsZSBub25jZTE=", 400, "bad-websocket-key"),
        (key, "sec-websocket-key: dGhlIHNhbXBsZSBub25j*Q==", 400, "bad-websocket-key"),
        (key, &format!("{key}\r\n{key}"), 400, "bad-websocket-key"),
        (key, "x: y", 400, "bad-websocket-key"),
        ("protocol: weirgate.v1", "protocol: weirgate.v2", 400, "no-subprotocol"),
        ("protocol: weirgate.v1", "protocol: Weirgate.V1", 400, "no-subprotocol"),
        ("sec-websocket-protocol: weirgate.v1\r\n", "", 400, "no-subprotocol"),
        ("upgrade: websocket\r\n", "", 400, "not-a-websocket"),
        ("upgrade: websocket", "upgrade: h2c", 400, "not-a-websocket"),
        ("connection: Upgrade", "connection: keep-alive", 400, "not-a-websocket"),
        ("HTTP/1.1", "HTTP/1.0", 400, "not-a-websocket"),
        ("version: 13", "version: 13\r\ncontent-length: 2", 400, "not-a-websocket"),
        ("GET", "POST", 405, "method-not-allowed"),
    ];
    for (replaced, by, status, code) in cases {
        let request = format!("{}\r\n", HANDSHAKE.replacen(replaced, by, 1));
        let body = if by.contains("content-length") { "{}" } else { "" };
        let (got, head, problem) = asked(&server, &format!("{request}{body}")).await;
        assert_eq!((got, problem.as_str()), (status, code), "{request}");
        assert_eq!(head.contains("\r\nsec-websocket-version: 13"), status == 426, "{head}");
        assert_eq!(head.contains("\r\nsec-websocket-protocol: weirgate.v1"), status == 101, "{head}");
        assert!(!head.contains("sec-websocket-extensions"), "{head}");
    }
}

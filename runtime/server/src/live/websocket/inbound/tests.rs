//! Frames as data: what RFC 6455 allows, and the close code for what it forbids.

use super::*;

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A frame with the first byte `first`, masked, its length in the shortest form.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        length @ 0..=125 => bytes.push(0x80 | u8::try_from(length).expect("small")),
        length @ 126..=0xffff => {
            bytes.push(0x80 | 0x7e);
            bytes.extend(u16::try_from(length).expect("small").to_be_bytes());
        }
        length => {
            bytes.push(0x80 | 0x7f);
            bytes.extend(u64::try_from(length).expect("a length").to_be_bytes());
        }
    }
    bytes.extend(MASK);
    bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// All messages of a stream that arrives in pieces of `size` bytes.
fn taken(bytes: &[u8], size: usize) -> Result<Vec<Received>, Violation> {
    let (mut inbound, mut received) = (Inbound::default(), Vec::new());
    for mut piece in bytes.chunks(size) {
        while let Some(message) = inbound.take(&mut piece)? {
            received.push(message);
        }
    }
    Ok(received)
}

/// The same result, however the bytes are cut.
fn all_ways(bytes: &[u8]) -> Result<Vec<Received>, Violation> {
    let whole = taken(bytes, bytes.len().max(1));
    for size in [1, 2, 3, 7, 4096] {
        assert_eq!(taken(bytes, size), whole, "in pieces of {size}");
    }
    whole
}

fn text(text: &str) -> Received {
    Received::Text(text.into())
}

#[test]
fn the_example_of_the_rfc_is_a_text() {
    let hello = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
    assert_eq!(all_ways(&hello), Ok(vec![text("Hello")]));
}

#[test]
fn fragments_are_joined_and_control_frames_may_come_between() {
    // Within a character of three bytes.
    let (begin, end) = "\u{3ba}\u{1f79}".as_bytes().split_at(3);
    let parts = [frame(0x01, begin), frame(0x89, b"ping"), frame(0x00, end), frame(0x8a, b""), frame(0x80, b"")];
    let received = all_ways(&parts.concat());
    let expected = vec![Received::Ping(b"ping".into()), Received::Pong(Vec::new()), text("\u{3ba}\u{1f79}")];
    assert_eq!(received, Ok(expected));
}

#[test]
fn a_text_is_cut_at_its_largest_size_over_fragments_too() {
    let largest = "x".repeat(MESSAGE_BYTES_MAX);
    assert_eq!(all_ways(&frame(0x81, largest.as_bytes())), Ok(vec![text(&largest)]));
    let (first, rest) = largest.split_at(126);
    let fragments = [frame(0x01, first.as_bytes()), frame(0x80, rest.as_bytes())].concat();
    assert_eq!(all_ways(&fragments), Ok(vec![text(&largest)]));
    let one_more = [frame(0x01, largest.as_bytes()), frame(0x80, b"x")].concat();
    assert_eq!(all_ways(&one_more), Err(Violation::TooLarge));
    assert_eq!(all_ways(&frame(0x81, format!("{largest}x").as_bytes())), Err(Violation::TooLarge));
    // By its head alone.
    let head = [0x81, 0xff, 0, 0, 0, 1, 0, 0, 0, 0, 1, 2, 3, 4];
    assert_eq!(all_ways(&head), Err(Violation::TooLarge));
}

#[test]
fn what_is_not_utf_8_is_found_at_its_first_wrong_byte() {
    let wrong: [&[u8]; 7] =
        [b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xf8\x88\x80\x80\x80", b"ok\x80", b"\xce\xce"];
    for bytes in wrong {
        assert_eq!(all_ways(&frame(0x81, bytes)), Err(Violation::NotUtf8), "{bytes:?}");
        assert_eq!(all_ways(&frame(0x01, bytes)), Err(Violation::NotUtf8), "{bytes:?} before the message ends");
        let close = [b"\x03\xe8", bytes].concat();
        assert_eq!(all_ways(&frame(0x88, &close)), Err(Violation::NotUtf8), "{bytes:?} as a reason");
    }
    // A character that does not end is wrong only at the message's end.
    assert_eq!(all_ways(&frame(0x01, b"\xf0\x9f")), Ok(Vec::new()));
    assert_eq!(all_ways(&[frame(0x01, b"\xf0\x9f"), frame(0x80, b"")].concat()), Err(Violation::NotUtf8));
    assert_eq!(all_ways(&frame(0x88, b"\x03\xe8\xf0\x9f")), Err(Violation::NotUtf8));
}

#[test]
fn each_broken_rule_is_a_protocol_error() {
    let unmasked = vec![0x81, 0x01, b'x'];
    let long_forms = [
        vec![0x81, 0x80 | 0x7e, 0, 1, 0, 0, 0, 0, b'x'],
        vec![0x81, 0x80 | 0x7f, 0, 0, 0, 0, 0, 0, 0, 200, 0, 0, 0, 0],
        vec![0x81, 0x80 | 0x7f, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    ];
    let reserved_bits = [0xc1, 0xa1, 0x91, 0xf1, 0xc9, 0xc8].map(|first| frame(first, b""));
    let reserved_opcodes = [3, 4, 5, 6, 7, 11, 12, 13, 14, 15].map(|opcode| frame(0x80 | opcode, b""));
    let fragmented_control = [0x08, 0x09, 0x0a].map(|first| frame(first, b""));
    let long_control = [0x88, 0x89, 0x8a]
        .iter()
        .flat_map(|first| [126, 20_000, 70_000].map(|length| frame(*first, &vec![b'x'; length])));
    let out_of_place = [
        frame(0x80, b"x"),
        frame(0x00, b"x"),
        [frame(0x01, b"x"), frame(0x81, b"x")].concat(),
        [frame(0x01, b"x"), frame(0x82, b"x")].concat(),
        [frame(0x01, b"x"), frame(0x80, b"x"), frame(0x80, b"x")].concat(),
    ];
    let mut cases = vec![unmasked, frame(0x88, b"\x03")];
    cases.extend(long_forms.into_iter().chain(reserved_bits).chain(reserved_opcodes).chain(fragmented_control));
    cases.extend(long_control.chain(out_of_place));
    for bytes in cases {
        let head = bytes.get(..bytes.len().min(14)).unwrap_or_default();
        assert!(matches!(all_ways(&bytes), Err(Violation::Protocol(_))), "{head:x?}");
    }
}

#[test]
fn binary_is_refused_at_its_head() {
    for first in [0x82, 0x02] {
        let head = frame(first, b"abc");
        assert_eq!(all_ways(head.get(..6).unwrap_or_default()), Err(Violation::Binary));
    }
}

#[test]
fn close_codes_are_those_that_may_be_sent() {
    assert_eq!(all_ways(&frame(0x88, b"")), Ok(vec![Received::Close(None)]));
    let valid = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999];
    let invalid = [0_u16, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535];
    for code in valid.into_iter().chain(invalid) {
        let payload = [&code.to_be_bytes()[..], b"bye"].concat();
        let received = all_ways(&frame(0x88, &payload));
        if valid.contains(&code) {
            assert_eq!(received, Ok(vec![Received::Close(Some(code))]));
        } else {
            assert!(matches!(received, Err(Violation::Protocol(_))), "{code}");
        }
    }
    let longest = [&1000_u16.to_be_bytes()[..], &[b'x'; 123]].concat();
    assert_eq!(all_ways(&frame(0x88, &longest)), Ok(vec![Received::Close(Some(1000))]));
}

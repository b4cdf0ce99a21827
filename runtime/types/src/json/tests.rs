//! The table of valid and invalid JSON, and what merging and comparing keep.

use super::*;

const DEPTH_MAX: usize = 64;

fn kind(json: impl AsRef<[u8]>) -> Result<(), JsonErrorKind> {
    check(json.as_ref(), DEPTH_MAX).map(drop).map_err(|error| error.kind)
}

fn merged(target: &str, patch: &str) -> String {
    merge(&Node::parse(target, DEPTH_MAX).expect(target), &Node::parse(patch, DEPTH_MAX).expect(patch))
}

fn changed(before: &str, after: &str) -> String {
    difference(&Node::parse(before, DEPTH_MAX).expect(before), &Node::parse(after, DEPTH_MAX).expect(after))
}

#[test]
fn numbers_of_any_length_and_exponent_are_json() {
    for number in
        ["0", "-0", "1.0", "1E400", "1e-400", "-1.5E+0007", "12345678901234567890123", "0.10000000000000000000000001"]
    {
        assert_eq!(kind(number), Ok(()), "{number}");
        assert_eq!(Node::parse(number, 0).expect(number).text(), number);
    }
    for number in
        ["01", "-", "+1", "1.", ".5", "1e", "1e+", "0x10", "NaN", "Infinity", "-Infinity", "1_000", "--1", "00"]
    {
        assert!(kind(number).is_err(), "{number}");
    }
}

#[test]
fn each_edge_has_one_rule() {
    for json in [
        r#"{"a":1,"a":2}"#,
        r#""\u0000""#,
        r#""\ud83d\ude00""#,
        "\"\u{7f}\u{fffe}\"",
        " [ ] ",
        "null",
        r#"{"":{"":[]}}"#,
        r#""\/""#,
    ] {
        assert_eq!(kind(json), Ok(()), "{json}");
    }
    let deep = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert_eq!(kind(deep(DEPTH_MAX)), Ok(()));
    assert_eq!(kind(deep(DEPTH_MAX + 1)), Err(JsonErrorKind::TooDeep { max: DEPTH_MAX }));
    assert_eq!(kind("[".repeat(1_000_000)), Err(JsonErrorKind::TooDeep { max: DEPTH_MAX }));
    for (json, expected) in [
        (b"\"\xff\"".as_slice(), JsonErrorKind::NotUtf8),
        (b"\"\xed\xa0\x80\"", JsonErrorKind::NotUtf8),
        (b"\xef\xbb\xbf{}", JsonErrorKind::ByteOrderMark),
        (b"\"\x00\"", JsonErrorKind::ControlCharacter),
        (b"\"\n\"", JsonErrorKind::ControlCharacter),
        (br#""\ud800""#, JsonErrorKind::UnpairedSurrogate),
        (br#""\ud800\n""#, JsonErrorKind::UnpairedSurrogate),
        (br#""\ud800\u0041""#, JsonErrorKind::UnpairedSurrogate),
        (br#""\ud800\ud800""#, JsonErrorKind::UnpairedSurrogate),
        (br#""\udc00""#, JsonErrorKind::UnpairedSurrogate),
        (br#"{"\udc00":1}"#, JsonErrorKind::UnpairedSurrogate),
        (br#""\x41""#, JsonErrorKind::Escape),
        (br#""\u12g4""#, JsonErrorKind::Escape),
        (br#""\u+123""#, JsonErrorKind::Escape),
        (b"", JsonErrorKind::Truncated),
        (b"[1", JsonErrorKind::Truncated),
        (b"\"a", JsonErrorKind::Truncated),
        (b"\"\\", JsonErrorKind::Truncated),
        (b"1 2", JsonErrorKind::Trailing),
        (b"{} \x00", JsonErrorKind::Trailing),
        (b"[1,]", JsonErrorKind::Expected("a value")),
        (b"[,1]", JsonErrorKind::Expected("a value")),
        (b"[1 2]", JsonErrorKind::Expected("`,` or `]`")),
        (b"{1:2}", JsonErrorKind::Expected("a name in quotes")),
        (br#"{"a":1,}"#, JsonErrorKind::Expected("a name in quotes")),
        (br#"{"a" 1}"#, JsonErrorKind::Expected("`:`")),
        (b"[1}", JsonErrorKind::Expected("`,` or `]`")),
        (b"truth", JsonErrorKind::Expected("a value")),
        (b"nulla", JsonErrorKind::Trailing),
        (b"\x0b1", JsonErrorKind::Expected("a value")),
        (b"'a'", JsonErrorKind::Expected("a value")),
        (b"[1] // a comment", JsonErrorKind::Trailing),
    ] {
        assert_eq!(kind(json), Err(expected), "{}", String::from_utf8_lossy(json));
    }
}

/// Everything accepted here is accepted by serde too, so that a raw value can always be made of it.
#[test]
fn the_scanner_is_stricter_than_serde() {
    for json in ["{\"a\":[1E400,-0,\"\\ud83d\\ude00\"],\"a\":{}}", " [true , false,null]", "\"\u{10ffff}\""] {
        assert_eq!(raw(json.as_bytes(), DEPTH_MAX).expect(json).get(), json.trim());
    }
    assert!(raw(b"1 2", DEPTH_MAX).is_err());
}

#[test]
fn escapes_stand_for_their_text() {
    for (string, text) in [
        (r#""a""#, "a"),
        (r#""\"\\\/\b\f\n\r\t""#, "\"\\/\u{8}\u{c}\n\r\t"),
        (r#""\u00e9x\u0000""#, "\u{e9}x\u{0}"),
        (r#""\ud83d\ude00!""#, "\u{1f600}!"),
        (r#""\u0041\u0042""#, "AB"),
        (r#""\\u0041""#, "\\u0041"),
    ] {
        assert_eq!(unquoted(string), text);
        let serde: String = serde_json::from_str(string).expect(string);
        assert_eq!(serde, text);
    }
}

#[test]
fn a_merge_keeps_the_bytes_that_the_patch_does_not_name() {
    let data = r#"{"n":12345678901234567890123,"small":1e-400,"large":1E400,"zero":-0,"one":1.0,"e":"\u00e9","list":[ 1.10 ],"note":"a"}"#;
    let expected = data.replace(r#""note":"a""#, r#""note":"b""#);
    assert_eq!(merged(data, r#"{"note":"b"}"#), expected);
    assert_eq!(merged(data, r#"{"added":1E400}"#), data.replace(r#""a"}"#, r#""a","added":1E400}"#));
    assert_eq!(merged(data, "{}"), data);
}

/// The table of RFC 7396, appendix A, and the cases that it leaves open.
#[test]
fn a_merge_is_that_of_rfc_7396() {
    for (target, patch, expected) in [
        (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
        (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
        (r#"{"a":"b"}"#, r#"{"a":null}"#, "{}"),
        (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
        (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
        (r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#),
        (r#"{"a":{"b":"c"}}"#, r#"{"a":{"b":"d","c":null}}"#, r#"{"a":{"b":"d"}}"#),
        (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
        (r#"["a","b"]"#, r#"["c","d"]"#, r#"["c","d"]"#),
        (r#"{"a":"b"}"#, r#"["c"]"#, r#"["c"]"#),
        (r#"{"a":"foo"}"#, "null", "null"),
        (r#"{"a":"foo"}"#, r#""bar""#, r#""bar""#),
        (r#"{"e":null}"#, r#"{"a":1}"#, r#"{"e":null,"a":1}"#),
        ("[1,2]", r#"{"a":"b","c":null}"#, r#"{"a":"b"}"#),
        ("{}", r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#),
        (r#"{"\u0061":1}"#, r#"{"a":2}"#, r#"{"\u0061":2}"#),
        (r#"{"a":1,"b":0,"a":{"x":1}}"#, r#"{"a":{"y":2}}"#, r#"{"b":0,"a":{"x":1,"y":2}}"#),
        (r#"{"a":1,"a":2,"b":0}"#, r#"{"b":1}"#, r#"{"a":1,"a":2,"b":1}"#),
        (r#"{"a":1}"#, r#"{"a":2,"a":null}"#, "{}"),
        ("{}", r#"{"a":2,"a":3}"#, r#"{"a":3}"#),
    ] {
        assert_eq!(merged(target, patch), expected, "{target} {patch}");
    }
}

#[test]
fn a_difference_keeps_the_spelling_of_each_change() {
    for (before, after, expected) in [
        (r#"{"a":1,"b":2}"#, r#"{"a":1,"b":3}"#, r#"[{"op":"replace","path":"/b","value":3}]"#),
        (r#"{"n":1e-400}"#, r#"{"n":0.0}"#, r#"[{"op":"replace","path":"/n","value":0.0}]"#),
        ("1", "1.0", r#"[{"op":"replace","path":"","value":1.0}]"#),
        (
            r#"{"n":12345678901234567890123}"#,
            r#"{"n":12345678901234567890124}"#,
            r#"[{"op":"replace","path":"/n","value":12345678901234567890124}]"#,
        ),
        (
            r#"{"a":1}"#,
            r#"{"a/~":"\u00e9"}"#,
            r#"[{"op":"remove","path":"/a"},{"op":"add","path":"/a~1~0","value":"\u00e9"}]"#,
        ),
        (r#"["\u0041",1,2,3]"#, r#"["A",1]"#, r#"[{"op":"remove","path":"/3"},{"op":"remove","path":"/2"}]"#),
        ("[1]", "[2,[3]]", r#"[{"op":"replace","path":"/0","value":2},{"op":"add","path":"/1","value":[3]}]"#),
        (r#"{"a":{}}"#, r#"{"a":[]}"#, r#"[{"op":"replace","path":"/a","value":[]}]"#),
        (r#"{"a":1}"#, r#"{ "a" : 1 }"#, "[]"),
        (r#"{"a":1,"a":2}"#, r#"{"a":2}"#, "[]"),
    ] {
        assert_eq!(changed(before, after), expected, "{before} {after}");
    }
}

#[test]
fn a_difference_is_not_much_longer_than_what_it_compares() {
    let (name, one, two) = ("n".repeat(10_000), vec!["1"; 10_000].join(","), vec!["2"; 10_000].join(","));
    let [before, after] = [one, two].map(|items| format!(r#"{{"{name}":[{items}]}}"#));
    assert_eq!(changed(&before, &after), format!(r#"[{{"op":"replace","path":"","value":{after}}}]"#));
}

#[test]
fn the_layout_for_people_keeps_every_value() {
    let laid_out = pretty(r#"{"a":[1E400,{}],"b":[],"\u0063":-0}"#, DEPTH_MAX).expect("JSON");
    assert_eq!(laid_out, "{\n  \"a\": [\n    1E400,\n    {}\n  ],\n  \"b\": [],\n  \"\\u0063\": -0\n}");
    assert_eq!(canonical(&laid_out, DEPTH_MAX).expect("JSON"), r#"{"a":[1E400,{}],"b":[],"c":-0}"#);
    assert_eq!(compact(&laid_out, DEPTH_MAX).expect("JSON"), r#"{"a":[1E400,{}],"b":[],"\u0063":-0}"#);
    let serde = serde_json::json!({ "a": [1, { "b": [[], "x"] }], "c": null });
    assert_eq!(
        pretty(&serde.to_string(), DEPTH_MAX).expect("JSON"),
        serde_json::to_string_pretty(&serde).expect("JSON")
    );
}

#[test]
fn what_ends_or_breaks_a_string_is_found_at_every_place() {
    for length in 1..24 {
        for at in 0..length {
            let with = |piece: &str| format!("\"{}{piece}{}\"", "x".repeat(at), "é".repeat(length - at));
            for plain in ["", " ", "!", "#", "[", "]", "\u{7f}", "\u{80}", "\\n", "\\\"", "\\\\", "é😀"] {
                let text = with(plain);
                assert_eq!(check(text.as_bytes(), 9), Ok(text.as_str()));
            }
            for control in ["\u{0}", "\u{1f}", "\n"] {
                let text = with(control);
                let error = JsonError { kind: JsonErrorKind::ControlCharacter, at: at + 1 };
                assert_eq!(check(text.as_bytes(), 9), Err(error), "{text:?}");
            }
            let (two, cut) = (with("\""), with(""));
            let error = JsonError { kind: JsonErrorKind::Trailing, at: at + 2 };
            assert_eq!(check(two.as_bytes(), 9), Err(error), "{two:?}");
            let cut = cut.as_bytes().get(..=at).expect("its beginning");
            let error = JsonError { kind: JsonErrorKind::Truncated, at: at + 1 };
            assert_eq!(check(cut, 9), Err(error), "{cut:?}");
        }
    }
}

#[test]
fn each_pair_of_bytes_is_scanned_as_one_by_one() {
    let one_by_one = |bytes: &[u8]| bytes.iter().take_while(|byte| !matches!(byte, b'"' | b'\\' | 0..=0x1f)).count();
    for pair in 0..=u16::MAX {
        // Across the words' borders, and in the bytes behind the last word.
        for at in 0..17 {
            let mut bytes = [0x80; 18];
            bytes[at..at + 2].copy_from_slice(&pair.to_be_bytes());
            assert_eq!(scan::plain_bytes(&bytes), one_by_one(&bytes), "{bytes:?}");
        }
    }
}

//! Masks: members of JSON values that are not to leave the server. Each value in them is replaced by one of the same kind.

use std::str::FromStr;

use serde_json::Value;

/// Names members of JSON values: a JSON pointer (RFC 6901), in which `*` stands for any member or element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mask(Vec<String>);

/// The text is no mask.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a mask is a JSON pointer such as `/customer/name` or `/items/*/price`, not {0:?}")]
pub struct BadMask(String);

impl FromStr for Mask {
    type Err = BadMask;

    fn from_str(text: &str) -> Result<Self, BadMask> {
        let members = text.strip_prefix('/').filter(|rest| !rest.is_empty()).ok_or_else(|| BadMask(text.to_owned()))?;
        Ok(Self(members.split('/').map(|name| name.replace("~1", "/").replace("~0", "~")).collect()))
    }
}

/// The bytes without what the masks name. Bytes that are not JSON stay: they have no members.
pub fn masked(masks: &[Mask], bytes: &[u8]) -> Vec<u8> {
    let Ok(mut value) = serde_json::from_slice::<Value>(bytes) else { return bytes.to_vec() };
    let before = value.clone();
    for Mask(members) in masks {
        hide_members(&mut value, members);
    }
    // Numbers keep their spelling where nothing is masked.
    if value == before { bytes.to_vec() } else { value.to_string().into_bytes() }
}

fn hide_members(value: &mut Value, members: &[String]) {
    let Some((name, rest)) = members.split_first() else { return hide(value) };
    match value {
        Value::Object(object) => {
            let named = object.iter_mut().filter(|(member, _)| name == "*" || *member == name);
            named.for_each(|(_, member)| hide_members(member, rest));
        }
        Value::Array(elements) => {
            let named = elements.iter_mut().enumerate().filter(|(index, _)| name == "*" || *name == index.to_string());
            named.for_each(|(_, element)| hide_members(element, rest));
        }
        _ => {}
    }
}

fn hide(value: &mut Value) {
    match value {
        Value::Null => {}
        Value::Bool(known) => *known = false,
        Value::Number(_) => *value = 0.into(),
        Value::String(text) => "***".clone_into(text),
        Value::Array(elements) => elements.iter_mut().for_each(hide),
        Value::Object(object) => object.values_mut().for_each(hide),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(masks: &[&str], json: &str) -> String {
        let masks: Vec<Mask> = masks.iter().map(|mask| mask.parse().expect("a mask")).collect();
        String::from_utf8(masked(&masks, json.as_bytes())).expect("text")
    }

    #[test]
    fn what_a_mask_names_is_replaced_by_a_value_of_its_kind() {
        for (mask, json, expected) in [
            ("/a", r#"{"a":"secret","b":1}"#, r#"{"a":"***","b":1}"#),
            ("/a/b", r#"{"a":{"b":12.5}}"#, r#"{"a":{"b":0}}"#),
            ("/a", r#"{"a":{"b":[true,null,"x"]}}"#, r#"{"a":{"b":[false,null,"***"]}}"#),
            (
                "/items/*/name",
                r#"{"items":[{"name":"x"},{"name":"y"}]}"#,
                r#"{"items":[{"name":"***"},{"name":"***"}]}"#,
            ),
            ("/items/1", r#"{"items":["x","y"]}"#, r#"{"items":["x","***"]}"#),
            ("/a~1b", r#"{"a/b":"x"}"#, r#"{"a/b":"***"}"#),
            ("/absent", r#"{"n": 12345678901234567890123}"#, r#"{"n": 12345678901234567890123}"#),
            ("/a", "not JSON", "not JSON"),
        ] {
            assert_eq!(after(&[mask], json), expected, "{mask}");
        }
    }

    #[test]
    fn other_texts_are_no_masks() {
        for text in ["", "/", "a", "a/b"] {
            assert_eq!(text.parse::<Mask>(), Err(BadMask(text.to_owned())));
        }
    }
}

//! The canonical form of a JSON text, so that equal values have equal texts.

use std::collections::BTreeMap;

use super::{node::Node, quoted, scan::JsonError};

/// The same value without whitespace, with the members of each object sorted by name and escapes only where they are needed. Of several
/// members with one name the last counts. Numbers stay as written: `1` and `1.0` may be of different types where they are read.
///
/// # Errors
/// The text is not JSON, or nests deeper than `depth_max`.
pub fn canonical(text: &str, depth_max: usize) -> Result<String, JsonError> {
    let mut out = String::with_capacity(text.len());
    write(&mut out, &Node::parse(text, depth_max)?);
    Ok(out)
}

fn write(out: &mut String, node: &Node) {
    if let Some(members) = node.members() {
        let by_name: BTreeMap<&str, &Node> = members.iter().map(|member| (&*member.name, &member.value)).collect();
        out.push('{');
        for (index, (name, value)) in by_name.into_iter().enumerate() {
            out.push_str(if index == 0 { "" } else { "," });
            out.push_str(&quoted(name));
            out.push(':');
            write(out, value);
        }
        out.push('}');
    } else if node.is_array() {
        out.push('[');
        for (index, item) in node.items().iter().enumerate() {
            out.push_str(if index == 0 { "" } else { "," });
            write(out, item);
        }
        out.push(']');
    } else if let Some(text) = node.as_str() {
        out.push_str(&quoted(&text));
    } else {
        out.push_str(node.text());
    }
}

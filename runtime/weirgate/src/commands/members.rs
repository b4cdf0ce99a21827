//! Members of the objects in answers, as the commands read them: one that is absent or of another kind is empty.

use weirgate_types::json::Node;

pub fn word(node: &Node, name: &str) -> String {
    node.get(name).and_then(Node::as_str).unwrap_or_default().into_owned()
}

pub fn number(node: &Node, name: &str) -> u64 {
    node.get(name).and_then(Node::as_u64).unwrap_or(0)
}

pub fn is_true(node: &Node, name: &str) -> bool {
    node.get(name).is_some_and(|value| value.text() == "true")
}

pub fn items<'a, 'b>(node: &'b Node<'a>, name: &str) -> &'b [Node<'a>] {
    node.get(name).map(Node::items).unwrap_or_default()
}

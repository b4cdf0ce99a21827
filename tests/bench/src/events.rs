//! The events of the orders workload, as a producer writes them: CloudEvents in structured mode, about 300 bytes of data.

use std::fmt::Write;

pub const ONE: &str = "application/cloudevents+json";
pub const BATCH: &str = "application/cloudevents-batch+json";

/// The subject of the key with this number.
#[must_use]
pub fn subject(key: usize) -> String {
    format!("order/o-{key}")
}

/// The number of the key that `subject` names.
#[must_use]
pub fn key(subject: &str) -> Option<usize> {
    subject.strip_prefix("order/o-")?.parse().ok()
}

/// The event `seq`, about the key with the number `key`.
#[must_use]
pub fn event(seq: u64, key: usize) -> String {
    let mut json = String::with_capacity(512);
    let status = seq % 5;
    // Writing to a string does not fail.
    let _ = write!(
        json,
        r#"{{"specversion":"1.0","id":"{seq}","source":"/bench","type":"order.moved","subject":"order/o-{key}","data":{{"seq":{seq},"status":"s{status}","customer":"c-{key}","lines":[{{"sku":"bread-750g","quantity":1,"price_cents":320}},{{"sku":"milk-1l-organic","quantity":2,"price_cents":149}},{{"sku":"tomatoes-vine-500g","quantity":1,"price_cents":279}},{{"sku":"coffee-beans-1kg","quantity":1,"price_cents":1599}}]}}}}"#
    );
    json
}

/// An event that fails, with a key that is not watched.
#[must_use]
pub fn stuck(kind: &str, id: usize, key: usize) -> String {
    format!(
        r#"{{"specversion":"1.0","id":"{kind}-{id}","source":"/bench","type":"order.moved","subject":"{kind}/{key}","data":{{"seq":{id},"status":"{kind}","customer":"c-{key}","lines":[]}}}}"#
    )
}

/// Several events as one batch.
#[must_use]
pub fn batch(events: &[String]) -> String {
    format!("[{}]", events.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_json_of_the_requested_size() {
        let value: serde_json::Value = serde_json::from_str(&batch(&[event(7, 3), event(8, 4)])).expect("JSON");
        assert_eq!((&value[0]["data"]["seq"], &value[1]["subject"]), (&7.into(), &"order/o-4".into()));
        let data = value[0]["data"].to_string().len();
        assert!((250..=350).contains(&data), "{data} bytes");
    }

    #[test]
    fn a_subject_names_its_key() {
        assert_eq!(key(&subject(17)), Some(17));
        assert_eq!(key("order/x"), None);
    }
}

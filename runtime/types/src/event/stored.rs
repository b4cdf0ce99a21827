//! The event as in a record (`docs/formats/log.md`): its attributes in order, then the extensions as a map of text, then the
//! data.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use super::{Event, ExtensionValue, ImpliedKey};

/// The entry of the map that says which attribute an event's key is if it has neither `partitionkey` nor `subject`. No
/// extension attribute has an empty name.
const IMPLIED_KEY: &str = "";

impl ImpliedKey {
    fn stored(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Id => "id",
        }
    }

    fn from_stored(stored: &str) -> Option<Self> {
        [Self::Source, Self::Id].into_iter().find(|implied| implied.stored() == stored)
    }
}

#[derive(Serialize)]
struct Borrowed<'a> {
    id: &'a str,
    source: &'a str,
    r#type: &'a str,
    subject: Option<&'a str>,
    time: Option<&'a str>,
    data_content_type: Option<&'a str>,
    data_schema: Option<&'a str>,
    extensions: BTreeMap<&'a str, String>,
    #[serde(with = "data_bytes")]
    data: &'a [u8],
}

#[derive(Deserialize)]
struct Owned {
    id: String,
    source: String,
    r#type: String,
    subject: Option<String>,
    time: Option<String>,
    data_content_type: Option<String>,
    data_schema: Option<String>,
    extensions: BTreeMap<String, String>,
    #[serde(with = "data_bytes")]
    data: Vec<u8>,
}

impl Serialize for Event {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let values = self.extensions.iter().map(|(name, value)| (name.as_str(), value.stored()));
        let implied = self.implied_key.map(|implied| (IMPLIED_KEY, implied.stored().to_owned()));
        let event = Borrowed {
            id: &self.id,
            source: &self.source,
            r#type: &self.r#type,
            subject: self.subject.as_deref(),
            time: self.time.as_deref(),
            data_content_type: self.data_content_type.as_deref(),
            data_schema: self.data_schema.as_deref(),
            extensions: values.chain(implied).collect(),
            data: &self.data,
        };
        event.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Event {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Owned { id, source, r#type, subject, time, data_content_type, data_schema, mut extensions, data } =
            Owned::deserialize(deserializer)?;
        let unknown = || D::Error::custom("an extension attribute of an unknown type");
        let implied_key = extensions.remove(IMPLIED_KEY);
        let implied_key = implied_key.map(|stored| ImpliedKey::from_stored(&stored).ok_or_else(unknown)).transpose()?;
        let values = extensions.into_iter();
        let values = values.map(|(name, stored)| Some((name, ExtensionValue::from_stored(stored)?)));
        let extensions = values.collect::<Option<_>>().ok_or_else(unknown)?;
        Ok(Self { id, source, r#type, subject, time, data_content_type, data_schema, extensions, implied_key, data })
    }
}

/// Data as one byte string, not as a sequence of numbers.
mod data_bytes {
    use serde::{Deserializer, Serializer, de::Visitor};

    pub fn serialize<S: Serializer>(data: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(data)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Vec<u8>;
            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
                Ok(bytes.to_vec())
            }
            fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
                Ok(bytes)
            }
        }
        deserializer.deserialize_byte_buf(Bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> Event {
        Event {
            id: "1".into(),
            source: "/shop".into(),
            r#type: "t".into(),
            subject: None,
            time: None,
            data_content_type: None,
            data_schema: None,
            extensions: BTreeMap::new(),
            implied_key: None,
            data: b"{}".to_vec(),
        }
    }

    #[test]
    fn types_of_extensions_and_the_implied_key_are_in_the_record() {
        for implied_key in [None, Some(ImpliedKey::Source), Some(ImpliedKey::Id)] {
            let extensions = [("b", true.into()), ("i", (-5).into()), ("t", ExtensionValue::from("5"))];
            let extensions = extensions.map(|(name, value)| (name.to_owned(), value)).into();
            let event = Event { extensions, implied_key, ..event() };
            let bytes = postcard::to_stdvec(&event).expect("bytes");
            assert_eq!(postcard::from_bytes::<Event>(&bytes), Ok(event));
        }
    }

    #[test]
    fn texts_are_stored_as_before_and_unknown_types_are_refused() {
        let event = Event { extensions: [("a".to_owned(), "x".into())].into(), ..event() };
        let bytes = postcard::to_stdvec(&event).expect("bytes");
        let map = b"\x01\x01a\x01x\x02{}";
        assert!(bytes.ends_with(map), "{bytes:?}");
        let other = [&bytes[..bytes.len() - map.len()], b"\x01\x01a\x02\x01x\x02{}"].concat();
        assert!(postcard::from_bytes::<Event>(&other).is_err());
    }
}

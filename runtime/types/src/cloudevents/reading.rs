//! Parses an unchecked event from JSON. Hand-written because serde's support for unknown names loses the spelling of
//! numbers.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error as _, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{Extension, RawEvent};

impl<'de> Deserialize<'de> for RawEvent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Attributes)
    }
}

/// Maximum number of attributes parsed; the lower limit of extensions is checked later.
const ATTRIBUTES_MAX: usize = 256;
/// Hardly an event has more names than this.
const NAMES: usize = 16;

struct Attributes;

impl<'de> Visitor<'de> for Attributes {
    type Value = RawEvent;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a CloudEvent, which is an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawEvent, A::Error> {
        let (mut event, mut names) = (RawEvent::default(), Vec::with_capacity(NAMES));
        while let Some(name) = map.next_key_seed(Name)? {
            read(&mut event, &name, &mut map)?;
            match names.binary_search(&name) {
                Ok(_) => return Err(A::Error::custom(format!("`{name}` is there twice"))),
                Err(place) => names.insert(place, name),
            }
            if names.len() > ATTRIBUTES_MAX {
                return Err(A::Error::custom(format!("it has over {ATTRIBUTES_MAX} attributes")));
            }
        }
        Ok(event)
    }
}

/// The name of an attribute, copied only if it has escapes.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("the name of an attribute")
    }

    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(name.to_owned()))
    }
}

/// Reads the value of an attribute, or the data. `null` means absent, except as data.
fn read<'de, A: MapAccess<'de>>(event: &mut RawEvent, name: &str, map: &mut A) -> Result<(), A::Error> {
    let text = match name {
        "specversion" => &mut event.specversion,
        "id" => &mut event.id,
        "source" => &mut event.source,
        "type" => &mut event.r#type,
        "subject" => &mut event.subject,
        "time" => &mut event.time,
        "datacontenttype" => &mut event.datacontenttype,
        "dataschema" => &mut event.dataschema,
        "data_base64" => &mut event.data_base64,
        "data" => {
            event.data = Some(map.next_value::<Box<RawValue>>()?);
            return Ok(());
        }
        _ => {
            let json = map.next_value::<Box<RawValue>>()?;
            let extension = match json.get().starts_with('"') {
                true => Extension::Text(serde_json::from_str(json.get()).map_err(A::Error::custom)?),
                false => Extension::Other(json),
            };
            event.extensions.insert(name.to_owned(), extension);
            return Ok(());
        }
    };
    *text = map.next_value_seed(TextOf(name))?;
    Ok(())
}

/// The text of the attribute of this name, or `null`.
struct TextOf<'a>(&'a str);

impl<'de> DeserializeSeed<'de> for TextOf<'_> {
    type Value = Option<String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for TextOf<'_> {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "a string as `{}`", self.0)
    }

    fn visit_none<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_string(self)
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Some(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Self::Value, E> {
        Ok(Some(text))
    }
}

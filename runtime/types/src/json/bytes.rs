//! Bytes as a member of a JSON document: `{"text": …}` where they are UTF-8, else `{"hex": …}`.

use serde::{Deserialize, Serialize};

/// Bytes that are legible in JSON where they are text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Form", into = "Form")]
pub struct JsonBytes(pub Vec<u8>);

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Form {
    Text(String),
    Hex(String),
}

impl From<JsonBytes> for Form {
    fn from(JsonBytes(bytes): JsonBytes) -> Self {
        String::from_utf8(bytes).map_or_else(|error| Self::Hex(hex::encode(error.as_bytes())), Self::Text)
    }
}

impl TryFrom<Form> for JsonBytes {
    type Error = hex::FromHexError;

    fn try_from(form: Form) -> Result<Self, Self::Error> {
        Ok(Self(match form {
            Form::Text(text) => text.into_bytes(),
            Form::Hex(hex) => hex::decode(hex)?,
        }))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn text_stays_legible_and_every_byte_comes_back() {
        for (bytes, shown) in [
            (b"{\"a\":1}".as_slice(), json!({"text": "{\"a\":1}"})),
            (b"", json!({"text": ""})),
            (b"\xff\x00", json!({"hex": "ff00"})),
        ] {
            let bytes = JsonBytes(bytes.to_vec());
            assert_eq!(json!(bytes), shown);
            assert_eq!(serde_json::from_value::<JsonBytes>(shown).expect("bytes"), bytes);
        }
        assert!(serde_json::from_value::<JsonBytes>(json!({"hex": "0"})).is_err());
    }
}

//! Secrets in requests and answers: inserted for their names on the way out, where the operator has bound them to, and
//! removed on the way back. Knows no HTTP except headers.
//!
//! What holds a secret back is its binding. That answers are searched for it is a convenience: a host that repeats it in
//! another form (compressed, reversed, encoded) shows it to the handler.

use ureq::http::HeaderName;
use url::form_urlencoded::byte_serialize;
use weirgate_types::StepAnswer;

use super::{
    BoundSecret, Outbound, SECRET_BYTES_MIN,
    error::{FetchError, denied},
    target::Target,
};

/// The prefix of a secret's name in a value: `{{secret:NAME}}`.
const OPEN: &str = "{{secret:";
const CLOSE: &str = "}}";
/// The replacement of a secret in answers.
const HIDDEN: &str = "[secret]";

/// The secrets of one handler. Has no `Debug`, so that they cannot be printed.
pub(super) struct Secrets {
    /// By name; `None` if it is not bound to the handler.
    secrets: Vec<(String, Option<BoundSecret>)>,
    /// The strings to remove from answers, the longest first, so that one that contains another is removed as a whole.
    spellings: Vec<String>,
}

impl Secrets {
    /// All secrets that the manifest names, even those that no request of this call uses: an answer may repeat what an
    /// earlier attempt has sent.
    pub(super) fn load(names: &[String], engine: &dyn Outbound) -> Self {
        let secrets: Vec<_> = names.iter().map(|name| (name.clone(), engine.secret(name))).collect();
        let values = secrets.iter().filter_map(|(_, secret)| secret.as_ref()?.value.as_deref());
        let mut spellings: Vec<_> = values.flat_map(spellings).collect();
        spellings.sort_by_key(|spelling| std::cmp::Reverse(spelling.len()));
        spellings.dedup();
        Self { secrets, spellings }
    }

    /// The value of a header of a request to `target`, with its secrets inserted, if it names any.
    pub(super) fn fill(
        &self,
        template: &str,
        header: &HeaderName,
        target: &Target,
    ) -> Result<Option<String>, FetchError> {
        let Some((before, mut rest)) = template.split_once(OPEN) else { return Ok(None) };
        let mut filled = before.to_owned();
        loop {
            let Some((name, after)) = rest.split_once(CLOSE) else {
                return Err(denied(format!("a header's {OPEN} is not closed with {CLOSE}")));
            };
            filled.push_str(self.value(name, header, target)?);
            match after.split_once(OPEN) {
                Some((between, next)) => {
                    filled.push_str(between);
                    rest = next;
                }
                None => {
                    filled.push_str(after);
                    return Ok(Some(filled));
                }
            }
        }
    }

    fn value(&self, name: &str, header: &HeaderName, target: &Target) -> Result<&str, FetchError> {
        let Some((_, bound)) = self.secrets.iter().find(|(known, _)| known == name) else {
            return Err(denied(format!(
                "the handler may not use the secret `{}`: add it to capabilities.secrets in its manifest",
                name.chars().take(64).collect::<String>()
            )));
        };
        let Some(secret) = bound else {
            return Err(denied(format!("the secret `{name}` is not bound to this handler; the operator can bind it")));
        };
        if secret.header != header.as_str() {
            let bound = &secret.header;
            return Err(denied(format!("the secret `{name}` is bound to the header `{bound}`, and not to `{header}`")));
        }
        if !secret.goes_to(target) {
            let origin = target.origin();
            return Err(denied(format!("the secret `{name}` is not bound to {origin}; the operator can bind it")));
        }
        let value = secret.value.as_deref().filter(|value| value.len() >= SECRET_BYTES_MIN);
        value.ok_or_else(|| denied(format!("the secret `{name}` has no value here; the operator can set it")))
    }

    /// An answer as shown to the guest.
    pub(super) fn hide(&self, answer: StepAnswer) -> StepAnswer {
        if self.spellings.is_empty() {
            return answer;
        }
        let StepAnswer { status, headers, body } = answer;
        let headers = headers.into_iter().map(|(name, value)| (self.hide_in_name(name), self.hide_in_text(value)));
        StepAnswer { status, headers: headers.collect(), body: self.hide_in(body) }
    }

    pub(super) fn hide_in_error(&self, error: FetchError) -> FetchError {
        match error {
            FetchError::Denied(message) => FetchError::Denied(self.hide_in_text(message)),
            FetchError::Unreachable(message) => FetchError::Unreachable(self.hide_in_text(message)),
            other => other,
        }
    }

    fn hide_in(&self, bytes: Vec<u8>) -> Vec<u8> {
        self.spellings.iter().fold(bytes, |bytes, spelling| replace(bytes, spelling.as_bytes()))
    }

    fn hide_in_text(&self, text: String) -> String {
        self.spellings.iter().fold(text, |text, spelling| text.replace(spelling.as_str(), HIDDEN))
    }

    /// Header names are in lower case.
    fn hide_in_name(&self, name: String) -> String {
        let held = self.spellings.iter().any(|spelling| name.contains(&spelling.to_ascii_lowercase()));
        if held { HIDDEN.to_owned() } else { name }
    }
}

/// A value in its plain, JSON and URL- or form-encoded spellings.
fn spellings(value: &str) -> Vec<String> {
    let json = serde_json::Value::from(value).to_string();
    let json = json.get(1..json.len() - 1).unwrap_or(value);
    let form: String = byte_serialize(value.as_bytes()).collect();
    vec![value.to_owned(), json.to_owned(), form.replace('+', "%20"), form]
}

fn replace(bytes: Vec<u8>, spelling: &[u8]) -> Vec<u8> {
    let mut clean = Vec::new();
    let mut rest = bytes.as_slice();
    while let Some(found) = rest.windows(spelling.len()).position(|window| window == spelling) {
        let (before, from) = rest.split_at(found);
        clean.extend_from_slice(before);
        clean.extend_from_slice(HIDDEN.as_bytes());
        rest = from.get(spelling.len()..).unwrap_or_default();
    }
    if clean.is_empty() && rest.len() == bytes.len() {
        return bytes;
    }
    clean.extend_from_slice(rest);
    clean
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{OutboundCall, RecordedStep, StateError};
    use weirgate_types::StepRequest;

    struct Vault;

    impl Outbound for Vault {
        fn recorded(&self, _: &str, _: &StepRequest) -> Result<Option<RecordedStep>, StateError> {
            Ok(None)
        }

        fn recorded_size(&self) -> (usize, usize) {
            (0, 0)
        }

        fn permit(&self, _: &str) -> Result<(), u64> {
            Ok(())
        }

        fn record(&self, _: &str, _: OutboundCall) -> Result<(), StateError> {
            Ok(())
        }

        fn secret(&self, name: &str) -> Option<BoundSecret> {
            let values = [
                ("psp", Some("Sk-\"42\"/x y")),
                ("psp-2", Some("Sk-\"42\"/x y+z")),
                ("short", Some("1234567")),
                ("unset", None),
            ];
            let (_, value) = values.into_iter().find(|(known, _)| *known == name)?;
            Some(BoundSecret {
                value: value.map(str::to_owned),
                handlers: Vec::new(),
                hosts: vec!["https://a.example".into(), "http://b.example:81".into()],
                header: "authorization".into(),
            })
        }

        fn idempotency_key(&self, step: &str) -> String {
            step.to_owned()
        }
    }

    fn secrets() -> Secrets {
        Secrets::load(&["psp", "psp-2", "short", "unset", "unbound"].map(str::to_owned), &Vault)
    }

    fn fill(template: &str, header: &str, url: &str) -> Result<Option<String>, FetchError> {
        let header = HeaderName::from_bytes(header.as_bytes()).expect("a name");
        secrets().fill(template, &header, &Target::parse(url).expect("a URL"))
    }

    #[test]
    fn only_named_secrets_with_a_value_are_inserted() {
        for (template, filled) in [
            ("plain {{other}}", None),
            ("Bearer {{secret:psp}}", Some("Bearer Sk-\"42\"/x y")),
            ("{{secret:psp}}:{{secret:psp}}}}", Some("Sk-\"42\"/x y:Sk-\"42\"/x y}}")),
        ] {
            let got = fill(template, "Authorization", "https://a.example/x");
            assert_eq!(got, Ok(filled.map(ToOwned::to_owned)), "{template}");
        }
        for (template, says) in [
            ("{{secret:other}}", "`other`: add it to capabilities.secrets"),
            ("{{secret:}}", "capabilities.secrets"),
            ("{{secret:unset}}", "`unset` has no value"),
            ("{{secret:short}}", "`short` has no value"),
            ("{{secret:unbound}}", "`unbound` is not bound to this handler"),
            ("a {{secret:psp", "is not closed"),
        ] {
            let error = fill(template, "authorization", "https://a.example/").expect_err(template);
            assert!(matches!(&error, FetchError::Denied(message) if message.contains(says)), "{error:?}");
        }
    }

    #[test]
    fn a_secret_goes_where_it_is_bound_only() {
        let template = "Bearer {{secret:psp}}";
        for (header, url) in
            [("AUTHORIZATION", "https://A.example:443/path?query"), ("authorization", "http://b.example:81")]
        {
            assert!(fill(template, header, url).is_ok_and(|filled| filled.is_some()), "{header} {url}");
        }
        for (header, url, says) in [
            ("x-authorization", "https://a.example/", "is bound to the header `authorization`"),
            ("cookie", "https://a.example/", "is bound to the header `authorization`"),
            ("authorization", "http://a.example/", "is not bound to http://a.example;"),
            ("authorization", "https://a.example:444/", "is not bound to https://a.example:444;"),
            ("authorization", "https://a.example./", "is not bound to https://a.example.;"),
            ("authorization", "https://x.a.example/", "is not bound to"),
            ("authorization", "https://b.example/", "is not bound to"),
        ] {
            let error = fill(template, header, url).expect_err(url);
            assert!(matches!(&error, FetchError::Denied(message) if message.contains(says)), "{url}: {error:?}");
        }
        assert_eq!(fill("plain", "x-any", "https://other.example/"), Ok(None));
    }

    #[test]
    fn all_spellings_of_a_secret_are_removed() {
        let body = "1 Sk-\"42\"/x y+z 2 Sk-\\\"42\\\"/x y 3 Sk-%2242%22%2Fx%20y 4 Sk-%2242%22%2Fx+y%2Bz 5 Sk-";
        let headers = vec![("x-echo".into(), "<Sk-\"42\"/x y>".into()), ("x-sk-\"42\"/x y".into(), "1".into())];
        let answer = secrets().hide(StepAnswer { status: 200, headers, body: body.into() });
        let body = String::from_utf8(answer.body).expect("text");
        assert_eq!(body, "1 [secret] 2 [secret] 3 [secret] 4 [secret] 5 Sk-");
        let headers: Vec<_> = answer.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(headers, [("x-echo", "<[secret]>"), ("[secret]", "1")]);
        let error = secrets().hide_in_error(FetchError::Unreachable("at Sk-\"42\"/x y".into()));
        assert_eq!(error, FetchError::Unreachable("at [secret]".into()));
    }
}

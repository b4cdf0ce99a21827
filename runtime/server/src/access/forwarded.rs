//! What trusted proxies say about the request that they got: `Forwarded` (RFC 7239), or `X-Forwarded-For`, `-Host` and
//! `-Proto`. Believed only as far as trusted proxies wrote it: clients may send these headers too.

use std::net::{IpAddr, SocketAddr};

use axum::http::HeaderMap;
use ipnet::IpNet;

use super::{authority::Authority, origin::Scheme};

const FORWARDED: &str = "forwarded";
const FOR: &str = "x-forwarded-for";
const HOST: &str = "x-forwarded-host";
const PROTO: &str = "x-forwarded-proto";

/// The host and the scheme of the request as the outermost trusted proxy got it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Forwarded {
    pub host: Option<Authority>,
    pub scheme: Option<Scheme>,
}

/// A trusted proxy sent this header in a form that cannot be read, or it contradicts another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

/// Reads the headers of a request that came from `peer`.
pub fn read(headers: &HeaderMap, peer: IpAddr, trusted: &[IpNet]) -> Result<Forwarded, Malformed> {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(&address.to_canonical()));
    if !is_trusted(peer) {
        return Ok(Forwarded::default());
    }
    let standard = standard(headers, &is_trusted)?;
    let usual = usual(headers, &is_trusted)?;
    // A proxy that sets one kind passes on the other kind as the client wrote it.
    Ok(Forwarded {
        host: agreed(HOST, standard.host, usual.host)?,
        scheme: agreed(PROTO, standard.scheme, usual.scheme)?,
    })
}

/// Either, or both if they are equal.
fn agreed<T: PartialEq>(name: &'static str, one: Option<T>, other: Option<T>) -> Result<Option<T>, Malformed> {
    match (one, other) {
        (Some(one), Some(other)) if one != other => Err(Malformed(name)),
        (one, other) => Ok(one.or(other)),
    }
}

fn standard(headers: &HeaderMap, is_trusted: &impl Fn(IpAddr) -> bool) -> Result<Forwarded, Malformed> {
    let malformed = Malformed(FORWARDED);
    let Some(text) = joined(headers, FORWARDED).map_err(|()| malformed)? else { return Ok(Forwarded::default()) };
    let elements = elements(&text).ok_or(malformed)?;
    let hops = 1 + trusted_at_end(elements.iter().map(|element| element.by_client), is_trusted);
    let seen = elements.get(elements.len().saturating_sub(hops)..).unwrap_or_default();
    let mut forwarded = Forwarded::default();
    for element in seen {
        forwarded.host = forwarded.host.or_else(|| element.host.clone());
        forwarded.scheme = forwarded.scheme.or(element.scheme);
    }
    Ok(forwarded)
}

fn usual(headers: &HeaderMap, is_trusted: &impl Fn(IpAddr) -> bool) -> Result<Forwarded, Malformed> {
    let list = |name| Ok(joined(headers, name).map_err(|()| Malformed(name))?.unwrap_or_default());
    let (clients, hosts, schemes) = (list(FOR)?, list(HOST)?, list(PROTO)?);
    let hops = 1 + trusted_at_end(clients.split(',').map(|client| address(client.trim())), is_trusted);
    let host = outermost(&hosts, hops).map(|host| Authority::parse(host).ok_or(Malformed(HOST))).transpose()?;
    let scheme = outermost(&schemes, hops).map(|scheme| Scheme::parse(scheme).ok_or(Malformed(PROTO))).transpose()?;
    Ok(Forwarded { host, scheme })
}

/// How many addresses at the end of the list are trusted proxies. Each proxy appends the address that it was called from.
fn trusted_at_end(
    clients: impl DoubleEndedIterator<Item = Option<IpAddr>>,
    is_trusted: &impl Fn(IpAddr) -> bool,
) -> usize {
    clients.rev().take_while(|client| client.is_some_and(is_trusted)).count()
}

/// The value of the outermost trusted proxy: some append theirs, others replace the list.
fn outermost(list: &str, hops: usize) -> Option<&str> {
    let values: Vec<&str> = list.split(',').map(str::trim).filter(|value| !value.is_empty()).collect();
    values.get(values.len().saturating_sub(hops)).copied()
}

/// The lines of a header as one list.
fn joined(headers: &HeaderMap, name: &str) -> Result<Option<String>, ()> {
    let lines: Result<Vec<&str>, _> = headers.get_all(name).iter().map(|line| line.to_str()).collect();
    let lines = lines.map_err(|_| ())?;
    Ok((!lines.is_empty()).then(|| lines.join(",")))
}

/// An address with or without a port; `None` for `unknown` and for hidden ones.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

/// One proxy's element of `Forwarded`.
#[derive(Debug, Default)]
struct Element {
    by_client: Option<IpAddr>,
    host: Option<Authority>,
    scheme: Option<Scheme>,
}

fn elements(text: &str) -> Option<Vec<Element>> {
    let parts = split(text, b',')?.into_iter().filter(|part| !part.trim().is_empty());
    parts.map(element).collect()
}

fn element(text: &str) -> Option<Element> {
    let (mut element, mut names) = (Element::default(), Vec::new());
    for pair in split(text, b';')? {
        let (name, value) = pair.trim().split_once('=')?;
        let (name, value) = (name.to_ascii_lowercase(), value_of(value)?);
        match name.as_str() {
            "for" => element.by_client = address(&value),
            "host" => element.host = Some(Authority::parse(&value)?),
            "proto" => element.scheme = Some(Scheme::parse(&value)?),
            _ => {}
        }
        if names.contains(&name) {
            return None;
        }
        names.push(name);
    }
    Some(element)
}

/// A token, or a quoted string without its quotes.
fn value_of(text: &str) -> Option<String> {
    let Some(quoted) = text.strip_prefix('"') else { return (!text.is_empty()).then(|| text.to_owned()) };
    let (mut value, mut letters) = (String::new(), quoted.strip_suffix('"')?.chars());
    while let Some(letter) = letters.next() {
        value.push(if letter == '\\' { letters.next()? } else { letter });
    }
    Some(value)
}

/// The parts between separators that are not quoted; `None` if a quote is not closed.
fn split(text: &str, separator: u8) -> Option<Vec<&str>> {
    let (mut parts, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            // The separators are ASCII, so the cut is between characters.
            byte if byte == separator && !quoted => {
                parts.push(text.get(start..at)?);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text.get(start..)?);
    (!quoted).then_some(parts)
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn read_from(peer: &str, lines: &[(&str, &str)]) -> Result<Forwarded, Malformed> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            let name: HeaderName = name.parse().expect("a name");
            headers.append(name, HeaderValue::from_str(value).expect("a value"));
        }
        let trusted = ["127.0.0.1/32", "10.0.0.0/8", "fd00::/8"].map(|network| network.parse().expect("a network"));
        read(&headers, peer.parse().expect("an address"), &trusted)
    }

    fn of(host: &str, scheme: &str) -> Forwarded {
        Forwarded { host: Authority::parse(host), scheme: Scheme::parse(scheme) }
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        let lines = [(HOST, "shop.example"), (PROTO, "https"), (FORWARDED, "host=shop.example;proto=https")];
        for (peer, believed) in [
            ("127.0.0.1", true),
            ("::ffff:127.0.0.1", true),
            ("10.255.0.1", true),
            ("fd00::1", true),
            ("127.0.0.2", false),
            ("11.0.0.1", false),
            ("::1", false),
        ] {
            let expected = if believed { of("shop.example", "https") } else { Forwarded::default() };
            assert_eq!(read_from(peer, &lines), Ok(expected), "{peer}");
        }
    }

    #[test]
    fn the_outermost_trusted_proxy_is_believed() {
        for (lines, expected) in [
            (vec![], Forwarded::default()),
            (vec![(PROTO, "wss")], of("", "https")),
            (vec![(HOST, "shop.example:8443"), (PROTO, "HTTPS")], of("shop.example:8443", "https")),
            // A client's own header, to which the proxy appends.
            (vec![(HOST, "forged.example, shop.example"), (FOR, "10.0.0.1, 203.0.113.9")], of("shop.example", "")),
            (vec![(HOST, "forged.example"), (HOST, "shop.example"), (FOR, "203.0.113.9")], of("shop.example", "")),
            // Two trusted proxies, one behind the other.
            (
                vec![(HOST, "forged.example, shop.example, inner"), (FOR, "1.2.3.4, 203.0.113.9, 10.0.0.2")],
                of("shop.example", ""),
            ),
            (
                vec![(HOST, "shop.example"), (FOR, "203.0.113.9, 10.0.0.2, [fd00::7]:81, 10.0.0.3:80")],
                of("shop.example", ""),
            ),
            (vec![(FORWARDED, "for=203.0.113.9;host=shop.example;proto=https")], of("shop.example", "https")),
            (
                vec![(FORWARDED, "Host=\"shop.example:8443\" ;PROTO=http;by=_x;ext=\"a,b;c\\\"\"")],
                of("shop.example:8443", "http"),
            ),
            (vec![(FORWARDED, "host=forged.example, for=unknown;host=shop.example")], of("shop.example", "")),
            (
                vec![
                    (FORWARDED, "for=1.2.3.4;host=forged.example;proto=http"),
                    (FORWARDED, "for=203.0.113.9;host=shop.example;proto=https, for=\"[fd00::1]:80\""),
                ],
                of("shop.example", "https"),
            ),
            (vec![(FORWARDED, "for=203.0.113.9;host=shop.example"), (HOST, "shop.example")], of("shop.example", "")),
        ] {
            assert_eq!(read_from("127.0.0.1", &lines), Ok(expected), "{lines:?}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for (lines, name) in [
            (vec![(HOST, "a b")], HOST),
            (vec![(PROTO, "gopher")], PROTO),
            (vec![(FORWARDED, "host=")], FORWARDED),
            (vec![(FORWARDED, "host")], FORWARDED),
            (vec![(FORWARDED, "host=\"shop.example")], FORWARDED),
            (vec![(FORWARDED, "host=\"shop.example\\\"")], FORWARDED),
            (vec![(FORWARDED, "host=a;HOST=b")], FORWARDED),
            (vec![(FORWARDED, "proto=gopher")], FORWARDED),
            (vec![(FORWARDED, "host=\"a/b\"")], FORWARDED),
            (vec![(FORWARDED, "host=forged.example"), (HOST, "shop.example")], HOST),
            (vec![(FORWARDED, "proto=https"), (PROTO, "http")], PROTO),
        ] {
            assert_eq!(read_from("127.0.0.1", &lines), Err(Malformed(name)), "{lines:?}");
        }
    }
}

//! Which requests are answered at all: those for a host of this server, from its own pages, from allowed ones, or from no
//! page. Around every route.
//!
//! A page of another site reaches this server through its visitor's browser in two ways. By DNS rebinding its own name leads
//! here: then the `Host` is foreign. Or it sends requests to one of this server's names: then the `Origin` is foreign. Knows
//! nothing of what the routes do.

mod authority;
mod cors;
mod forwarded;
mod origin;
mod settings;

use std::net::IpAddr;

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use ipnet::IpNet;

use crate::{Problem, app::App};
use authority::Authority;
use cors::Public;
use forwarded::{Forwarded, Malformed};
use origin::{Origin, OwnHost, Scheme};
pub use settings::SettingError;

/// It says only that the process answers. Pages of any origin may read it, so that a client can tell a refusal, which browsers
/// hide from pages, from a server that is away.
const LIVENESS: &str = "/livez";

/// The address of a connection's other end.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub IpAddr);

/// Marks a request of a program, or of a page of this server: it may do what operators may.
#[derive(Debug, Clone, Copy)]
pub struct OwnPage;

/// The rules, as configured.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// Names of this server, besides loopback ones and addresses.
    hosts: Vec<OwnHost>,
    /// Proxies whose forwarding headers are believed.
    proxies: Vec<IpNet>,
    /// Origins elsewhere whose pages may publish and follow statuses.
    origins: Vec<Origin>,
}

/// What the rules say about a request.
#[derive(Debug)]
enum Verdict {
    Serve,
    /// For any page that asks by a host of this server.
    ServeAnyone,
    /// For an allowed page of another origin.
    ServeAllowed(HeaderValue),
    Preflight(Public, HeaderValue),
    Refuse(Problem),
}

/// Where the request's page came from.
#[derive(Debug, PartialEq, Eq)]
enum Site {
    /// A program, or a page of this server, or a link that was followed.
    Own,
    Allowed(HeaderValue),
    /// The origin, or what takes its place, for the error.
    Foreign(String),
}

/// Answers a request as the rules say.
pub async fn admit<A>(app: &App, peer: Peer, request: Request, answer: impl FnOnce(Request) -> A) -> Response
where
    A: Future<Output = Response>,
{
    let public = Public::of(request.uri().path());
    let is_preflight = cors::is_preflight(request.method(), request.headers());
    let mut response = match app.options.access.judge(&request, peer, public) {
        Verdict::Serve => {
            let mut request = request;
            // The live stream alone asks for it.
            if public == Some(Public::Status) {
                request.extensions_mut().insert(OwnPage);
            }
            answer(request).await
        }
        Verdict::ServeAnyone => {
            let mut response = answer(request).await;
            cors::allow_anyone(&mut response);
            response
        }
        Verdict::ServeAllowed(origin) => {
            let mut response = answer(request).await;
            cors::allow(&mut response, origin);
            response
        }
        Verdict::Preflight(public, origin) => cors::preflight(public, origin, request.headers()),
        Verdict::Refuse(problem) => {
            tracing::debug!(code = problem.code, detail = problem.detail, path = request.uri().path(), "refused");
            problem.into_response()
        }
    };
    if public.is_some() {
        cors::vary(&mut response, is_preflight);
    }
    response
}

impl Access {
    fn judge<B>(&self, request: &axum::http::Request<B>, peer: Peer, public: Option<Public>) -> Verdict {
        let (method, headers) = (request.method(), request.headers());
        let seen = match self.seen_by_browser(request, peer) {
            Ok(seen) => seen,
            Err(problem) => return Verdict::Refuse(problem),
        };
        if request.uri().path() == LIVENESS && (method == Method::GET || method == Method::HEAD) {
            return Verdict::ServeAnyone;
        }
        match (self.site(&seen, method, headers), public) {
            (Site::Own, _) => Verdict::Serve,
            (Site::Allowed(origin), Some(public)) if cors::is_preflight(method, headers) => {
                Verdict::Preflight(public, origin)
            }
            (Site::Allowed(origin), Some(public)) if public.allows(method) => Verdict::ServeAllowed(origin),
            (Site::Allowed(origin), _) => {
                let origin = String::from_utf8_lossy(origin.as_bytes());
                let detail = format!("pages of {origin} may publish events and follow statuses, nothing else");
                Verdict::Refuse(Problem::new(StatusCode::FORBIDDEN, "origin-not-allowed", detail))
            }
            (Site::Foreign(origin), public) => Verdict::Refuse(foreign(&origin, public)),
        }
    }

    /// The host and the scheme of the request as the browser sent it, if they are this server's.
    fn seen_by_browser<B>(
        &self,
        request: &axum::http::Request<B>,
        Peer(peer): Peer,
    ) -> Result<(Authority, Option<Scheme>), Problem> {
        // The connection's own host is checked even where a proxy names another one: a page whose own name leads here can
        // send the proxy's headers too.
        let direct = self.known(host_of(request.uri(), request.headers())?)?;
        let forwarded = forwarded::read(request.headers(), peer, &self.proxies).map_err(malformed)?;
        let Forwarded { host, scheme } = forwarded;
        Ok((host.map(|host| self.known(host)).transpose()?.unwrap_or(direct), scheme))
    }

    fn known(&self, authority: Authority) -> Result<Authority, Problem> {
        let host = &authority.host;
        if host.cannot_be_rebound() || self.is_listed(&authority) {
            return Ok(authority);
        }
        let authority::Host::Name(name) = host else { return Ok(authority) };
        let detail = format!(
            "this server does not answer for the host {name}; if that is one of its names, add it to `server.hosts`"
        );
        Err(Problem::new(StatusCode::MISDIRECTED_REQUEST, "unknown-host", detail))
    }

    fn is_listed(&self, authority: &Authority) -> bool {
        self.hosts.iter().any(|own| own.is_at(&authority.host))
    }

    fn site(&self, seen: &(Authority, Option<Scheme>), method: &Method, headers: &HeaderMap) -> Site {
        let mut origins = headers.get_all(header::ORIGIN).iter();
        let (sent, origin) = match (origins.next(), origins.next()) {
            (None, _) if is_cross_site(method, headers) => return Site::Foreign("another site".to_owned()),
            (None, _) => return Site::Own,
            (Some(sent), None) => (sent, sent.to_str().ok().and_then(Origin::parse)),
            (Some(sent), Some(_)) => (sent, None),
        };
        match origin {
            Some(origin) if self.is_own(&origin, seen) => Site::Own,
            Some(origin) if self.origins.contains(&origin) => Site::Allowed(sent.clone()),
            _ => Site::Foreign(String::from_utf8_lossy(sent.as_bytes()).into_owned()),
        }
    }

    /// The origin of the request's URL as the browser saw it, or one of a configured host: behind a proxy that neither
    /// passes on the host nor is trusted, the request does not say what the browser saw.
    fn is_own(&self, origin: &Origin, (authority, scheme): &(Authority, Option<Scheme>)) -> bool {
        let is_scheme = match scheme {
            Some(scheme) => *scheme == origin.scheme,
            // This server has no TLS; a proxy with TLS has a name, which is configured.
            None => origin.scheme == Scheme::Http,
        };
        let port = authority.port.unwrap_or(origin.scheme.port());
        let is_same = is_scheme && authority.host == origin.host && port == origin.port;
        is_same || self.hosts.iter().any(|own| own.serves(origin))
    }
}

/// The request's host: that of its target if it has one, and otherwise its `Host`. If it has both, they have to be equal.
fn host_of(uri: &Uri, headers: &HeaderMap) -> Result<Authority, Problem> {
    let bad = |detail: &str| Problem::bad_request("bad-host", detail);
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().ok().and_then(Authority::parse),
        (None, _) => return Err(bad("the request has no `Host`; send the one of its URL")),
        (Some(_), Some(_)) => return Err(bad("the request has several `Host` headers; send one")),
    };
    let host =
        host.ok_or_else(|| bad("the `Host` is neither name nor name:port; send the one of the request's URL"))?;
    match uri.authority().map(|target| Authority::parse(target.as_str())) {
        None => Ok(host),
        Some(Some(target)) if target == host => Ok(host),
        Some(_) => Err(bad("the request's target and its `Host` name different hosts; send the same one twice")),
    }
}

/// Whether a browser says that another site's page caused the request. It need not send an `Origin` with each.
/// Following a link is no reason to refuse: it changes nothing, and shows the answer to the visitor only.
fn is_cross_site(method: &Method, headers: &HeaderMap) -> bool {
    let says = |name: &str, values: &[&str]| {
        headers.get(name).is_some_and(|value| values.iter().any(|expected| value.as_bytes() == expected.as_bytes()))
    };
    let is_link = method.is_safe()
        && says("sec-fetch-mode", &["navigate"])
        && (!headers.contains_key("sec-fetch-dest") || says("sec-fetch-dest", &["document"]));
    says("sec-fetch-site", &["cross-site", "same-site"]) && !is_link
}

fn malformed(Malformed(name): Malformed) -> Problem {
    let detail = format!(
        "the trusted proxy's header `{name}` cannot be read, or contradicts another one; see its configuration"
    );
    Problem::bad_request("bad-forwarded", detail)
}

fn foreign(origin: &str, public: Option<Public>) -> Problem {
    let how = match public {
        Some(_) => {
            "add the origin to `live.origins`, or, if it is this server's behind a proxy, its host to `server.hosts`"
        }
        None => "only this server's own pages may; if they are served by a proxy, add its host to `server.hosts`",
    };
    Problem::new(StatusCode::FORBIDDEN, "origin-not-allowed", format!("pages of {origin} may not do this: {how}"))
}

#[cfg(test)]
mod tests;

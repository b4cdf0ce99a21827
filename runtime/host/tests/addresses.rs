//! Every known spelling of an address that is not public: none connects. A listener waits on all addresses of this machine,
//! so that a form that slips through arrives; the same listener is reached once the operator allows it.

mod support;

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::{Value, json};
use support::{Memory, TestHost, attempt, host_with, web::Web};
use weirgate_host::{Module, NoOutbound, Resolve, ResolveError};

/// A hostile name server: the names it knows get their answers in sequence, the last one permanently; all other names are
/// this machine.
#[derive(Debug, Default)]
struct Names {
    answers: HashMap<&'static str, Vec<Vec<IpAddr>>>,
    asked: Mutex<Vec<String>>,
}

impl Resolve for Names {
    fn resolve(&self, name: &str, _: Duration) -> Result<Vec<IpAddr>, ResolveError> {
        let mut asked = self.asked.lock().expect("no panic");
        let before = asked.iter().filter(|asked| *asked == name).count();
        asked.push(name.to_owned());
        let answers = self.answers.get(name);
        let answer = answers.and_then(|answers| answers.get(before).or(answers.last())).cloned();
        Ok(answer.unwrap_or_else(|| ips(&["127.0.0.1"])))
    }
}

fn ips(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().expect("an address")).collect()
}

/// An address that counts as public and is not assigned, so that no packet of these tests arrives anywhere.
const PUBLIC: &str = "2d00::1";

/// Forms of this machine that a URL parser normalises to 127.0.0.1, without their port.
const LOOPBACK: [&str; 26] = [
    "127.0.0.1",
    "127.1",
    "127.0.1",
    "127.0.0.01",
    "0177.0.0.1",
    "0177.0000.0000.0001",
    "017700000001",
    "0x7f.0.0.1",
    "0x7f.1",
    "0X7F.0x0.0X0.0x1",
    "0x7f000001",
    "0x000000007f000001",
    "2130706433",
    "0177.0x0.0.1",
    "127.0.0.1.",
    "0x7f000001.",
    "%31%32%37.0.0.1",
    "127%2E0%2E0%2E1",
    "127。0。0。1",
    "127．0．0．1",
    "127｡0｡0｡1",
    "１２７.0.0.1",
    "①②⑦.⓪.⓪.①",
    "𝟙𝟚𝟟.𝟘.𝟘.𝟙",
    "127.0.\t0.1",
    "127.0.0.1\n",
];

/// Other forms of addresses that are not public, without their port.
const OTHERS: [&str; 61] = [
    // More forms of this machine.
    "0",
    "0.0.0.0",
    "0x0",
    "00000000",
    "127.0.0.2",
    "127.255.255.254",
    "127.65535",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[0000:0000:0000:0000:0000:0000:0000:0001]",
    "[::]",
    "[::127.0.0.1]",
    "[::7f00:1]",
    "[::ffff:127.0.0.1]",
    "[::FFFF:7F00:1]",
    "[0:0:0:0:0:ffff:127.0.0.1]",
    "[::ffff:0:127.0.0.1]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b:1::127.0.0.1]",
    "[2002:7f00:1::]",
    "[2002:7f00:1::1]",
    "[2001:0:7f00:1::]",
    "[2001::80ff:fffe]",
    "localhost",
    "LOCALHOST",
    "LocalHost.",
    "localhost.localdomain",
    "app.localhost",
    "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ",
    "looks.public.test",
    // Cloud metadata services.
    "169.254.169.254",
    "0xa9fea9fe",
    "2852039166",
    "0251.0376.0251.0376",
    "169.254.43518",
    "[::ffff:169.254.169.254]",
    "[::ffff:a9fe:a9fe]",
    "[fd00:ec2::254]",
    "168.63.129.16",
    "100.100.100.200",
    "metadata.test",
    // Private networks and other addresses that are not public.
    "10.0.0.1",
    "10.1",
    "012.0.0.1",
    "0xa000001",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "0300.0250.1",
    "100.64.0.1",
    "192.0.0.170",
    "198.18.0.1",
    "203.0.113.7",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "[fc00::1]",
    "[fe80::1]",
    "[fec0::1]",
    "[ff02::1]",
];

/// URLs that look like one host but are another; `{p}` is the listener's port, and `public.test` may be called.
const TRICKS: [&str; 20] = [
    "http://public.test@127.0.0.1:{p}/",
    "http://public.test:{p}@127.0.0.1:{p}/",
    "http://user:pass@127.0.0.1:{p}/",
    "http://127.0.0.1:{p}\\@public.test/",
    "http://127.0.0.1:{p}#@public.test/",
    "http://127.0.0.1:{p}?@public.test/",
    "http:127.0.0.1:{p}/",
    "http:\\\\127.0.0.1:{p}\\",
    "http:////127.0.0.1:{p}/",
    "HTTP://127.0.0.1:{p}/",
    "  http://127.0.0.1:{p}/  ",
    "ht\ntp://127.0.0.1:{p}/",
    "http://127.0.0.1:0{p}/",
    "//127.0.0.1:{p}/",
    "127.0.0.1:{p}",
    "ftp://127.0.0.1:{p}/",
    "file://127.0.0.1:{p}/etc/passwd",
    "ws://127.0.0.1:{p}/",
    "http://[::1%25lo]:{p}/",
    "http://[fe80::1%25eth0]:{p}/",
];

struct World {
    module: Module,
    names: Arc<Names>,
    _host: TestHost,
}

fn world(allow_private: Vec<String>) -> World {
    let answers = HashMap::from([
        ("public.test", vec![ips(&[PUBLIC])]),
        ("rebinds.test", vec![ips(&[PUBLIC]), ips(&["127.0.0.1"])]),
        ("mixed.test", vec![ips(&[PUBLIC, "127.0.0.1"])]),
        ("mixed-first.test", vec![ips(&["127.0.0.1", PUBLIC])]),
        ("mapped.test", vec![ips(&["::ffff:127.0.0.1"])]),
        ("many.test", vec![[ips(&[PUBLIC; 40]), ips(&["10.0.0.1"])].concat()]),
        ("metadata.test", vec![ips(&["169.254.169.254"])]),
    ]);
    let names = Arc::new(Names { answers, ..Names::default() });
    let host = host_with(|options| {
        options.outbound.allow_private = allow_private;
        options.outbound.resolver = Arc::clone(&names) as Arc<dyn Resolve>;
    });
    let digest = host.put_module(&weirgate_guests::build("hostile")).expect("a handler").digest;
    let module = host.load(digest).expect("it was just put there");
    World { module, names, _host: host }
}

/// What the guest gets when it fetches these. Its manifest allows all of them, in every spelling.
#[track_caller]
fn fetch(world: &World, urls: &[String], also_listed: &[String]) -> Vec<Value> {
    let step = |(n, url): (usize, &String)| json!({"step": n.to_string(), "url": url, "timeout_ms": 2_000});
    let mut attempt = attempt("fetches");
    attempt.event.data = json!({"fetches": urls.iter().enumerate().map(step).collect::<Vec<_>>()}).to_string().into();
    attempt.capabilities.hosts = urls.iter().map(|url| url.trim_end_matches('/').to_owned()).collect();
    attempt.capabilities.hosts.extend_from_slice(also_listed);
    let report = attempt.run_outbound(&world.module, Box::new(Memory::default()), Box::new(NoOutbound));
    let effects = report.result.unwrap_or_else(|error| panic!("{urls:?}: {error}"));
    let answer = |n: usize| effects.state.iter().find(|write| write.name == n.to_string()).expect("an answer");
    let bytes = (0..urls.len()).map(|n| answer(n).value.clone().expect("it is set"));
    bytes.map(|bytes| serde_json::from_slice(&bytes).expect("JSON")).collect()
}

fn at(host: &str, port: u16) -> String {
    format!("http://{host}:{port}/")
}

/// All forms, as URLs of the listener.
fn forms(port: u16) -> Vec<String> {
    let hosts = LOOPBACK.iter().chain(&OTHERS).map(|host| at(host, port));
    hosts.chain(TRICKS.iter().map(|url| url.replace("{p}", &port.to_string()))).collect()
}

#[test]
fn no_spelling_of_a_forbidden_address_connects() {
    let (private, door) = (Web::start(), Web::start());
    let world = world(vec![door.address().to_string()]);
    let forms = forms(private.port);
    assert!(forms.len() > 100, "{}", forms.len());
    let listed = [private.at(""), door.at(""), format!("http://public.test:{}", private.port)];
    for form in &forms {
        let answer = &fetch(&world, std::slice::from_ref(form), &listed)[0];
        assert_eq!(answer["error"], "denied", "{form}: {answer}");
    }
    assert_eq!(private.connections(), 0, "nothing arrived");

    // And as redirect targets of a host that may be called. A form that a header cannot hold cannot be a redirect target.
    let absolute = forms
        .iter()
        .filter(|form| form.starts_with("http") && !form.contains(['\t', '\n']) && !form.starts_with("http:127"));
    for form in absolute.clone() {
        let listed = [listed.as_slice(), &[form.trim_end_matches('/').to_owned()]].concat();
        let answer = &fetch(&world, &[door.at(&format!("/redirect/302?{form}"))], &listed)[0];
        assert_eq!(answer["error"], "denied", "{form}: {answer}");
    }
    assert_eq!(door.connections(), absolute.count());
    assert_eq!(private.connections(), 0, "nothing arrived");
}

/// The same listener, the same forms: when allowed, they arrive. Without this the test above could pass vacuously.
#[test]
fn the_same_spellings_connect_when_the_operator_allows_the_address() {
    let private = Web::start();
    let world = world(vec![private.address().to_string()]);
    for (n, host) in LOOPBACK.iter().enumerate() {
        let answer = &fetch(&world, &[at(host, private.port)], &[])[0];
        assert_eq!(answer["status"], 404, "{host:?}: {answer}");
        assert_eq!(private.connections(), n + 1, "{host:?}");
    }
    let elsewhere = Web::start();
    assert_eq!(fetch(&world, &[elsewhere.at("/")], &[])[0]["error"], "denied", "that port only");
    assert_eq!(elsewhere.connections(), 0);
}

#[test]
fn a_name_is_resolved_once_and_refused_if_any_address_is_not_public() {
    let private = Web::start();
    let world = world(Vec::new());
    for name in ["mixed.test", "mixed-first.test", "mapped.test", "many.test", "metadata.test", "any.other.name"] {
        let answer = &fetch(&world, &[at(name, private.port)], &[])[0];
        assert_eq!(answer["error"], "denied", "{name}: {answer}");
    }
    // Connections go to the checked address; the second answer is not requested, and is checked where it is.
    let answer = &fetch(&world, &[at("rebinds.test", private.port)], &[])[0];
    assert!(answer["error"] == "unreachable" || answer["error"] == "timed-out", "{answer}");
    let asked = |name: &str| world.names.asked.lock().expect("no panic").iter().filter(|asked| *asked == name).count();
    assert_eq!(asked("rebinds.test"), 1, "one call, one lookup");
    let answer = &fetch(&world, &[at("rebinds.test", private.port)], &[])[0];
    assert_eq!((&answer["error"], asked("rebinds.test")), (&json!("denied"), 2), "{answer}");
    assert_eq!(private.connections(), 0, "nothing arrived");
}

//! The process in which the server compiles a component that was just uploaded: what the kernel says that it may do.

use std::{fs, path::PathBuf, time::Duration};

use weirgate_tests::{Server, Setup, eventually};

const PATIENCE: Duration = Duration::from_mins(1);

/// What `/proc` has about a process; `None` if it is gone.
struct Process {
    status: String,
    limits: String,
    environment: Vec<u8>,
    /// What the descriptors beyond stderr are.
    descriptors: Vec<PathBuf>,
}

/// What the descriptors of a process beyond stderr are.
fn descriptors(id: &str) -> Option<Vec<PathBuf>> {
    let numbers = fs::read_dir(format!("/proc/{id}/fd")).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    let beyond = numbers.filter(|path| !["0", "1", "2"].iter().any(|number| path.ends_with(number)));
    Some(beyond.filter_map(|path| fs::read_link(path).ok()).collect())
}

impl Process {
    fn of(id: &str) -> Option<Self> {
        let path = |name: &str| format!("/proc/{id}/{name}");
        Some(Self {
            status: fs::read_to_string(path("status")).ok()?,
            limits: fs::read_to_string(path("limits")).ok()?,
            environment: fs::read(path("environ")).ok()?,
            descriptors: descriptors(id)?,
        })
    }

    /// The value of a line of its status.
    fn says(&self, name: &str) -> &str {
        self.status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap_or_default().trim()
    }

    fn limit(&self, name: &str) -> Vec<&str> {
        let line = self.limits.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.split_whitespace().take(2).collect()
    }
}

/// A child of the server.
fn child(server: &Server) -> Option<Process> {
    let parent = server.pid().to_string();
    let names =
        fs::read_dir("/proc").expect("processes").filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut processes =
        names.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit())).filter_map(|id| Process::of(&id));
    processes.find(|process| process.says("PPid") == parent)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_component_is_compiled_in_a_confined_process() {
    let server = Setup::new().start().await;
    let has_seccomp = fs::exists("/proc/sys/kernel/seccomp/actions_avail").unwrap_or_default();
    let announced = if has_seccomp { "and a seccomp filter" } else { "but no seccomp filter" };
    server.line(&format!("components are compiled without network and files: no descriptors, {announced}"), 0).await;
    if !has_seccomp {
        println!("skipped: this kernel has no seccomp");
        return;
    }
    // Its filter comes last, before it reads the component.
    let confined = eventually("a confined compiler", PATIENCE, async || match child(&server) {
        Some(process) if process.says("Seccomp") == "2" => Ok(process),
        Some(process) => Err(process.says("Seccomp").to_owned()),
        None => Err("no process".to_owned()),
    });
    let confined = tokio::select! {
        answer = server.client.upload(weirgate_guests::heavy(60)) => panic!("it was too fast: {}", answer.text),
        confined = confined => confined,
    };
    assert_eq!(confined.says("NoNewPrivs"), "1");
    assert_eq!(confined.limit("Max processes"), ["0", "0"]);
    assert_eq!(confined.limit("Max open files"), ["3", "3"]);
    assert_eq!(confined.limit("Max core file size"), ["0", "0"]);
    assert_eq!(confined.limit("Max cpu time"), ["60", "61"]);
    assert_eq!(confined.limit("Max address space"), ["2147483648"; 2]);
    // The server's own descriptors are closed; what a shell has left open for all its children is this test's as well.
    let inherited = descriptors("self").expect("our descriptors");
    let others: Vec<_> = confined.descriptors.iter().filter(|one| !inherited.contains(one)).collect();
    assert!(others.is_empty(), "{others:?}");
    assert!(confined.environment.is_empty(), "{}", String::from_utf8_lossy(&confined.environment));
    assert!(confined.says("Threads") == "1", "{}", confined.status);
    eventually("its end", PATIENCE * 3, async || child(&server).map_or(Ok(()), |process| Err(process.status))).await;
}

//! The command line at a terminal of a given width, by `script` of util-linux: what it shows, and answers to its questions.

use std::{
    io::{Read, Write},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crate::{Server, binary, eventually};

const PATIENCE: Duration = Duration::from_secs(30);

/// A command that runs at a terminal.
pub struct Terminal {
    child: Child,
    stdin: ChildStdin,
    shown: Arc<Mutex<String>>,
}

impl Terminal {
    /// Starts `weirgate` with these arguments, at a terminal with this many columns.
    pub fn start(server: &Server, columns: usize, args: &[&str]) -> Self {
        let quoted = |text: &str| format!("'{}'", text.replace('\'', r"'\''"));
        let program = binary().to_string_lossy().into_owned();
        let url = server.url("");
        let words = [program.as_str(), "--url", &url].into_iter().chain(args.iter().copied());
        let command = words.map(quoted).collect::<Vec<_>>().join(" ");
        let mut child = Command::new("script")
            .args(["-q", "-e", "-c", &format!("stty cols {columns} rows 50 -echo; exec {command}"), "/dev/null"])
            .env("USER", "tester")
            .env_remove("COLUMNS")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("script of util-linux");
        let (stdin, mut stdout) = (child.stdin.take().expect("its input"), child.stdout.take().expect("its output"));
        let shown = Arc::new(Mutex::new(String::new()));
        let written = Arc::clone(&shown);
        std::thread::spawn(move || {
            let (mut bytes, mut whole) = ([0; 4096], Vec::new());
            while let Ok(read) = stdout.read(&mut bytes) {
                if read == 0 {
                    return;
                }
                whole.extend_from_slice(&bytes[..read]);
                let text = String::from_utf8_lossy(&whole).replace("\r\n", "\n");
                *written.lock().unwrap_or_else(PoisonError::into_inner) = text;
            }
        });
        Self { child, stdin, shown }
    }

    fn shown(&self) -> String {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until a text is shown.
    pub async fn shows(&self, text: &str) -> String {
        eventually(text, PATIENCE, async || {
            let shown = self.shown();
            if shown.contains(text) { Ok(shown) } else { Err(shown) }
        })
        .await
    }

    /// Types a line.
    pub fn types(&mut self, line: &str) {
        self.stdin.write_all(format!("{line}\n").as_bytes()).expect("typed");
    }

    /// Waits for the end of the command. Returns its exit code and all that was shown.
    pub async fn ends(mut self) -> (Option<i32>, String) {
        let child = &mut self.child;
        let status =
            eventually("the command to end", PATIENCE, async || child.try_wait().expect("its state").ok_or("it runs"))
                .await;
        // The reader ends soon after.
        tokio::time::sleep(Duration::from_millis(100)).await;
        (status.code(), self.shown())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

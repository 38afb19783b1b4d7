//! A child process under test: output captured to files, signals by its own pid, waiting with a deadline.

use super::sweeper::{self, Scratch};
use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// The signals that tests send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM: stop cleanly.
    Term,
    /// SIGKILL: die here and now.
    Kill,
    /// SIGSTOP: freeze, as a machine that is paused.
    Stop,
    /// SIGCONT: wake up again, not knowing how long it was.
    Continue,
    /// SIGINT: what Ctrl-C sends.
    Interrupt,
    /// SIGHUP: read the configuration again.
    Hangup,
}

impl Signal {
    fn name(self) -> &'static str {
        match self {
            Self::Term => "TERM",
            Self::Kill => "KILL",
            Self::Stop => "STOP",
            Self::Continue => "CONT",
            Self::Interrupt => "INT",
            Self::Hangup => "HUP",
        }
    }
}

/// A running (or ended, not yet forgotten) child. Dropping it kills it.
pub struct Process {
    name: String,
    child: Child,
    ended: Option<ExitStatus>,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Process {
    /// Starts `command` with no input; its output goes to `<name>.out` and `<name>.err` in `directory`, appended, so
    /// that a restarted process keeps the story in one file.
    pub fn spawn(name: &str, command: &mut Command, directory: &Path) -> Self {
        let stdout = directory.join(format!("{name}.out"));
        let stderr = directory.join(format!("{name}.err"));
        let append =
            |path: &Path| File::options().create(true).append(true).open(path).expect("output can be captured");
        let child = command
            .stdin(Stdio::null())
            .stdout(append(&stdout))
            .stderr(append(&stderr))
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error} ({command:?})"));
        sweeper::watch_process(child.id());
        Self { name: name.to_owned(), child, ended: None, stdout, stderr }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&mut self, signal: Signal) {
        // Until it is reaped the pid is ours, so the signal cannot reach another process.
        if self.status().is_some() {
            return;
        }
        // The shell's own `kill`: the crate forbids unsafe code, and not every machine has a `kill` program.
        let sent = Command::new("sh")
            .args(["-c", &format!("kill -s {} {}", signal.name(), self.pid())])
            .status()
            .expect("sh is needed to run the tests");
        assert!(sent.success(), "{signal:?} did not reach {} ({})", self.name, self.pid());
    }

    /// The exit status if it has ended.
    pub fn status(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().expect("a child can be asked");
            if self.ended.is_some() {
                sweeper::forget_process(self.child.id());
            }
        }
        self.ended
    }

    pub fn is_running(&mut self) -> bool {
        self.status().is_none()
    }

    /// Waits until it ends by itself; `None` when it is still running after `within`.
    pub fn wait(&mut self, within: Duration) -> Option<ExitStatus> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.status() {
                return Some(status);
            }
            if start.elapsed() > within {
                return None;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// As [`Process::wait`], and a failure with the end of its log when the time is over.
    #[track_caller]
    pub fn wait_or_fail(&mut self, within: Duration) -> ExitStatus {
        match self.wait(within) {
            Some(status) => status,
            None => panic!("{} is still running after {within:?}\n{}", self.name, self.story()),
        }
    }

    /// SIGKILL, and waits until it is gone.
    pub fn kill(&mut self) -> ExitStatus {
        self.signal(Signal::Kill);
        self.wait_or_fail(Duration::from_secs(30))
    }

    /// SIGTERM, and waits until it has gone by itself.
    #[track_caller]
    pub fn terminate(&mut self, within: Duration) -> ExitStatus {
        self.signal(Signal::Term);
        self.wait_or_fail(within)
    }

    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.stdout).unwrap_or_default()).into_owned()
    }

    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.stderr).unwrap_or_default()).into_owned()
    }

    /// The end of what it said, for failure messages.
    pub fn story(&self) -> String {
        format!(
            "--- {} (pid {}), stdout:\n{}\n--- stderr:\n{}\n---",
            self.name,
            self.child.id(),
            super::tail(&self.stdout, 20),
            super::tail(&self.stderr, 40)
        )
    }

    /// Resident memory in KiB, the largest so far (`VmHWM`); `None` when it has ended.
    pub fn peak_memory_kib(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.split_whitespace().next()?.parse().ok()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.status().is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
            sweeper::forget_process(self.child.id());
        }
        if std::thread::panicking() {
            eprintln!("{}", self.story());
        }
    }
}

/// The hub as a process of its own: the program that users start, with a directory for its files.
///
/// ```ignore
/// let mut hub = Hub::command("hub").file("hub.toml", CONFIG).env("INSIGHT_HUB__X", "1").args(["run", "--config", "hub.toml"]).spawn();
/// hub.process.signal(Signal::Kill);
/// ```
pub struct HubCommand {
    name: String,
    directory: Scratch,
    arguments: Vec<std::ffi::OsString>,
    environment: Vec<(String, String)>,
    program: PathBuf,
}

pub struct Hub {
    pub process: Process,
    command: HubCommand,
}

impl HubCommand {
    /// The working directory of the process is a fresh one: relative paths in configuration and arguments start there.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            directory: Scratch::new(name),
            arguments: Vec::new(),
            environment: Vec::new(),
            program: env!("CARGO_BIN_EXE_insight-hub").into(),
        }
    }

    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Writes a file (folders included) into the working directory.
    pub fn file(self, path: &str, content: &str) -> Self {
        let path = self.directory.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a file is in a folder")).expect("folders can be made");
        std::fs::write(&path, content).expect("a file can be written");
        self
    }

    pub fn env(mut self, key: &str, value: impl ToString) -> Self {
        self.environment.push((key.to_owned(), value.to_string()));
        self
    }

    pub fn args(mut self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.arguments.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// Another build of the hub than the one under test, to compare it with.
    pub fn program(mut self, path: impl Into<PathBuf>) -> Self {
        self.program = path.into();
        self
    }

    fn start(&self) -> Process {
        let mut command = Command::new(&self.program);
        // The tester's own settings must not reach the hub under test.
        for (key, _) in std::env::vars_os().filter(|(key, _)| key.to_string_lossy().starts_with("INSIGHT_HUB__")) {
            command.env_remove(key);
        }
        command.current_dir(self.directory.path()).args(&self.arguments).envs(self.environment.iter().cloned());
        Process::spawn(&self.name, &mut command, self.directory.path())
    }

    /// Starts it and returns at once.
    pub fn spawn(self) -> Hub {
        Hub { process: self.start(), command: self }
    }

    /// Runs it to its end: (exit status, stdout, stderr). Fails when that takes longer than `within`.
    #[track_caller]
    pub fn run(self, within: Duration) -> (ExitStatus, String, String) {
        let mut process = self.start();
        let status = process.wait_or_fail(within);
        (status, process.stdout(), process.stderr())
    }
}

impl Hub {
    pub fn command(name: &str) -> HubCommand {
        HubCommand::new(name)
    }

    pub fn directory(&self) -> &Path {
        self.command.directory()
    }

    /// Kills it if it still runs and starts it again: same files, arguments and environment.
    pub fn restart(&mut self) {
        self.process.kill();
        self.process = self.command.start();
    }
}

//! Ends processes and removes directories that a test run leaves, also when the run panics in a static or is killed.
//!
//! Statics are never dropped and a killed process drops nothing, so a small shell outside of the run's process group
//! watches a pipe whose other end only this process holds. When the pipe closes, for whatever reason, it sweeps.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::{Mutex, OnceLock};

const SCRIPT: &str = r#"
trap '' HUP INT TERM
pids=' '
while read -r what argument; do
    case $what in
        process) pids="$pids$argument " ;;
        ended) case $pids in *" $argument "*) pids="${pids%% "$argument" *} ${pids#* "$argument" }" ;; esac ;;
        directory) set -- "$@" "$argument" ;;
    esac
done
for pid in $pids; do kill -s KILL "$pid" 2>/dev/null; done
for directory in "$@"; do rm -rf -- "$directory" || { sleep 1; rm -rf -- "$directory"; }; done
"#;

fn say(line: &str) {
    static SWEEPER: OnceLock<Mutex<ChildStdin>> = OnceLock::new();
    let pipe = SWEEPER.get_or_init(|| {
        #[expect(clippy::zombie_processes, reason = "it outlives this process, that is its purpose")]
        let mut child = Command::new("sh")
            .args(["-c", SCRIPT])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("sh is needed to run the tests");
        Mutex::new(child.stdin.take().expect("stdin was piped"))
    });
    let mut pipe = pipe.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    writeln!(pipe, "{line}").expect("the sweeper outlives the tests");
}

/// From now on the process is killed when this test run ends.
pub fn watch_process(pid: u32) {
    say(&format!("process {pid}"));
}

/// The process is about to be reaped: its id may soon be another's.
pub fn forget_process(pid: u32) {
    say(&format!("ended {pid}"));
}

/// With `INSIGHT_HUB_TEST_KEEP=1` the directories of a run stay, logs and data, to look into a failure.
fn keeps() -> bool {
    std::env::var_os("INSIGHT_HUB_TEST_KEEP").is_some_and(|value| value == "1")
}

/// A fresh directory that is removed when it is dropped, and in any case when this test run ends.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new(name: &str) -> Self {
        let directory = tempfile::Builder::new()
            .prefix(&format!("insight-hub-{name}-"))
            .tempdir()
            .expect("a temporary directory can be made")
            .keep();
        if keeps() {
            eprintln!("kept: {}", directory.display());
        } else {
            say(&format!("directory {}", directory.display()));
        }
        Self(directory)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !keeps() {
            // What remains (a file that a dying process is still writing) is swept at the end of the run.
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}

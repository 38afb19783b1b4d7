//! Killed at any moment, and without room on the disk: what was acknowledged is there, and the feeds hold the truth.

use std::{
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use insight_hub::company::CompanyOptions;

use super::process::{Departments, Running};
use crate::{
    harness::sweeper::Scratch,
    world::{events_with_changes, truth},
};

fn company(touchpoints: u64) -> CompanyOptions {
    CompanyOptions { seed: 11, customers: touchpoints as u32 / 20, touchpoints, ..CompanyOptions::default() }
}

/// A small generator: which moment is the next to be killed at must not depend on the machine.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

#[test]
fn kills_under_load_lose_nothing_that_was_acknowledged() {
    let kills = if std::env::var_os("INSIGHT_HUB_TEST_FULL").is_some() { 100 } else { 20 };
    let events = events_with_changes(company(300 * kills));
    let expected = truth(&events);
    expected.feeds.assert_each_speaks("kills");
    let mut running = Running::start("kills", None, &[]);
    let mut departments = Departments::default();
    let (mut dice, mut next, mut killed) = (Dice(5), 0, 0);
    let mut access = running.connect();
    while killed < kills {
        // Appends go on while the hub is killed, at a moment that nobody chose.
        let after = Duration::from_millis(50 + dice.below(500));
        let pid = running.hub.process.pid();
        let killer = thread::spawn(move || {
            thread::sleep(after);
            // Until it is reaped, below, the pid is that of our child.
            Command::new("sh").args(["-c", &format!("kill -s KILL {pid}")]).status().unwrap();
        });
        let limit = events.len() * (killed as usize + 1) / kills as usize;
        while next < limit {
            let until = (next + 50).min(limit);
            match departments.append(&access, &events[next..until]) {
                Ok(()) => next = until,
                Err(stored) => {
                    next += stored;
                    break;
                }
            }
            // Slower than the hub, so that it is in the middle of something, whatever it is.
            thread::sleep(Duration::from_millis(5));
        }
        killer.join().unwrap();
        running.hub.restart();
        killed += 1;
        access = running.connect();
        next += usize::from(departments.check(&access, events.get(next)));
    }
    while next < events.len() {
        match departments.append(&access, &events[next..]) {
            Ok(()) => next = events.len(),
            Err(stored) => panic!("the hub went away after {stored}\n{}", running.hub.process.story()),
        }
    }
    running.assert_becomes(&expected, Duration::from_secs(120));
    assert_eq!(running.hub.process.terminate(Duration::from_secs(20)).code(), Some(0));
}

/// A file system of its own, unmounted at the end.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    fn mount(path: &'a Path, mebibytes: u64) -> Option<Self> {
        let size = format!("size={mebibytes}m");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(path).output();
        mounted.is_ok_and(|mounted| mounted.status.success()).then_some(Self(path))
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

#[test]
fn a_full_disk_pauses_the_hub_and_room_lets_it_go_on() {
    let scratch = Scratch::new("small-disk");
    let Some(_disk) = SmallDisk::mount(scratch.path(), 96) else {
        println!("SKIPPED: a full disk (this user may not mount a file system)");
        return;
    };
    let data = scratch.path().join("data");
    let events = events_with_changes(company(4_000));
    let expected = truth(&events);
    expected.feeds.assert_each_speaks("a full disk");
    // The log is what meets the full disk first: stores that meet it stop the hub, which is to be started again.
    let settings =
        ["embedded.reserved_bytes=16777216", "memory.table_bytes=1073741824", "memory.unflushed_bytes=536870912"];
    let mut running = Running::start("full-disk", Some(&data), &settings);
    let mut departments = Departments::default();
    let (before, after) = events.split_at(events.len() / 2);
    assert_eq!(departments.append(&running.connect(), before), Ok(()));

    // Somebody else fills the disk, to the last byte.
    let filler = scratch.path().join("filler");
    let filled =
        Command::new("dd").args(["if=/dev/zero", "bs=64k"]).arg(format!("of={}", filler.display())).output().unwrap();
    assert!(!filled.status.success(), "dd must run into the end of the disk");
    let deadline = Instant::now() + Duration::from_secs(30);
    while running.figure("insight_hub_log_paused") != Some(1.0) {
        assert!(Instant::now() < deadline, "the hub does not pause\n{}", running.hub.process.story());
        thread::sleep(Duration::from_millis(50));
    }
    // A department is told to come again, and nothing of it happened.
    let refused = departments.append(&running.connect(), &after[..1]);
    assert_eq!(refused, Err(0), "there is no room");
    assert!(running.hub.process.is_running(), "it waits\n{}", running.hub.process.story());
    let told = running.hub.process.stderr() + &running.hub.process.stdout();
    assert!(told.contains("the disk is full") && told.contains("free space"), "{told}");

    std::fs::remove_file(&filler).unwrap();
    while running.figure("insight_hub_log_paused") != Some(0.0) {
        assert!(
            Instant::now() < deadline + Duration::from_secs(60),
            "the hub does not go on\n{}",
            running.hub.process.story()
        );
        thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(departments.append(&running.connect(), after), Ok(()));
    running.assert_becomes(&expected, Duration::from_secs(120));
    assert_eq!(running.hub.process.terminate(Duration::from_secs(20)).code(), Some(0));
}

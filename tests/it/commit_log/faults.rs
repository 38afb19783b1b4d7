//! Every operation of a script fails once, in every way; afterwards nothing that was synced is missing, and every commit is there
//! whole or not at all.

use insight_hub::engine::log::commit_log::files::simulated::{Fault, Unsynced};

use super::story::{Operation, Story, script};

/// The script of the third point.
const OPERATIONS: usize = 300;

fn check_every(fault: Fault, unsynced: Unsynced, truncates_fail: bool) {
    check_every_of(&script(7, OPERATIONS), fault, unsynced, truncates_fail);
}

fn check_every_of(script: &[Operation], fault: Fault, unsynced: Unsynced, truncates_fail: bool) {
    let mut runs = 0;
    for number in 1.. {
        let context = format!("{fault:?} {number}, {unsynced:?}");
        let mut story = Story::new(number, unsynced, context);
        story.files.plan(fault, number);
        story.files.fail_truncate(truncates_fail);
        story.run(script);
        let came = !story.files.is_fault_to_come();
        story.files.fail_truncate(false);
        story.end();
        if !came {
            // The last run is one without a fault.
            let cleaned = story.cleaned;
            assert!(
                cleaned.segments_removed > 2 && cleaned.segments_rewritten > 5,
                "the script cleaned too little: {cleaned:?}"
            );
            break;
        }
        runs += 1;
    }
    assert!(runs > 30, "the script did only {runs} such operations");
}

#[test]
fn every_write_that_fails_leaves_a_prefix() {
    for fault in [Fault::WriteError, Fault::WriteShort, Fault::WriteTorn, Fault::WriteComplete] {
        for unsynced in [Unsynced::Lost, Unsynced::Torn] {
            check_every(fault, unsynced, false);
        }
    }
}

#[test]
fn every_write_that_fails_and_cannot_be_cut_off_leaves_a_prefix() {
    for fault in [Fault::WriteShort, Fault::WriteTorn, Fault::WriteComplete] {
        check_every(fault, Unsynced::Torn, true);
    }
}

#[test]
fn full_disk_at_every_write_leaves_everything() {
    for unsynced in [Unsynced::Lost, Unsynced::Kept] {
        check_every(Fault::WriteFull, unsynced, false);
    }
}

#[test]
fn every_sync_that_fails_leaves_a_prefix() {
    for unsynced in [Unsynced::Lost, Unsynced::Torn, Unsynced::Kept] {
        check_every(Fault::SyncError, unsynced, false);
    }
}

#[test]
fn every_power_cut_leaves_a_prefix() {
    for unsynced in [Unsynced::Lost, Unsynced::Torn, Unsynced::Kept] {
        check_every(Fault::PowerCut, unsynced, false);
    }
}

/// Every fault that leaves something behind, with what a power cut makes worst of it.
fn check_all(seed: u64, length: usize) {
    let script = script(seed, length);
    for fault in [Fault::PowerCut, Fault::SyncError, Fault::WriteTorn, Fault::WriteFull, Fault::WriteComplete] {
        for unsynced in [Unsynced::Torn, Unsynced::Lost] {
            check_every_of(&script, fault, unsynced, false);
        }
    }
}

#[test]
#[ignore = "takes minutes: other scripts, to be run when the log was changed"]
fn every_fault_of_other_scripts_leaves_a_prefix() {
    for seed in 1..=3 {
        check_all(seed, OPERATIONS);
    }
}

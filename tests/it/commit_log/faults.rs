//! Every operation of a script fails once, in every way; afterwards nothing that was synced is missing, and every commit is there
//! whole or not at all.

use insight_hub::engine::log::commit_log::{
    Options,
    files::simulated::{Fault, Unsynced},
};

use super::story::{Operation, Story, script};

/// The script of the third point.
const OPERATIONS: usize = 300;

fn check_every(fault: Fault, unsynced: Unsynced, truncates_fail: bool) {
    check_every_of(&script(7, OPERATIONS), fault, unsynced, truncates_fail);
}

/// The run without a fault is done once; those with one begin where it last opened the log before the fault: what was before
/// would be the same.
fn check_every_of(script: &[Operation], fault: Fault, unsynced: Unsynced, truncates_fail: bool) {
    check_some_of(script, 1, fault, unsynced, truncates_fail);
}

fn check_some_of(script: &[Operation], stride: usize, fault: Fault, unsynced: Unsynced, truncates_fail: bool) {
    let mut story = Story::new(0, unsynced, format!("{fault:?} never"));
    // A partition is read once for so many of its records: longer scripts have more of them.
    let options = Options { compaction_keys_max: 5 * script.len().div_ceil(OPERATIONS), ..story.options };
    story.options = options;
    story.files.plan(fault, u64::MAX);
    let checkpoints = story.run_with_checkpoints(script);
    let runs = story.files.count(fault);
    let (cleaned, newest) = (story.cleaned, story.log.as_ref().map(|log| log.newest()));
    assert!(
        cleaned.segments_removed > 2 && cleaned.segments_rewritten > 5 && cleaned.segments_merged_into > 5,
        "the script cleaned too little: {cleaned:?}"
    );
    story.files.restart(unsynced);
    story.end();
    assert!(runs > 30, "the script did only {runs} such operations");
    let mut merged = 0;
    for number in (1..=runs).step_by(stride) {
        let before = checkpoints.partition_point(|checkpoint| checkpoint.files.count(fault) < number);
        let checkpoint = &checkpoints[before - 1];
        let mut story = Story::new(number, unsynced, format!("{fault:?} {number}, {unsynced:?}"));
        story.options = options;
        story.files = checkpoint.files.fork();
        story.files.reseed(number);
        story.files.plan(fault, number - checkpoint.files.count(fault));
        story.files.fail_truncate(truncates_fail);
        story.run_from(checkpoint, script);
        assert!(!story.files.is_fault_to_come(), "{}: it did not come", story.context);
        story.files.fail_truncate(false);
        story.end();
        merged += story.cleaned.segments_merged_into;
    }
    assert!(merged > runs / stride as u64, "{merged} merges in {runs} runs that ended at about {newest:?}");
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
fn every_name_that_cannot_be_changed_leaves_everything() {
    for unsynced in [Unsynced::Lost, Unsynced::Torn] {
        check_every(Fault::NameError, unsynced, false);
    }
}

#[test]
fn every_power_cut_leaves_a_prefix() {
    for unsynced in [Unsynced::Lost, Unsynced::Torn, Unsynced::Kept] {
        check_every(Fault::PowerCut, unsynced, false);
    }
}

/// Operations of a long script, with what a power cut makes worst of it: every one of them where INSIGHT_HUB_TEST_FULL is set (half
/// an hour of one core), otherwise every 16th.
fn check_long(fault: Fault) {
    let script = script(7, 2000);
    let stride = if std::env::var_os("INSIGHT_HUB_TEST_FULL").is_some() { 1 } else { 16 };
    for unsynced in [Unsynced::Torn, Unsynced::Lost] {
        check_some_of(&script, stride, fault, unsynced, false);
    }
}

macro_rules! long {
    ($($name:ident: $fault:expr;)*) => {
        $(
            #[test]
            #[ignore = "takes minutes: a long script, to be run when the log was changed"]
            fn $name() {
                check_long($fault);
            }
        )*
    };
}

long! {
    every_power_cut_of_a_long_script_leaves_a_prefix: Fault::PowerCut;
    every_sync_of_a_long_script_that_fails_leaves_a_prefix: Fault::SyncError;
    every_name_of_a_long_script_that_cannot_be_changed_leaves_everything: Fault::NameError;
    every_torn_write_of_a_long_script_leaves_a_prefix: Fault::WriteTorn;
    every_late_error_of_a_write_of_a_long_script_leaves_a_prefix: Fault::WriteComplete;
    every_full_disk_of_a_long_script_leaves_everything: Fault::WriteFull;
}

/// Other scripts, all that leaves something behind.
#[test]
#[ignore = "takes minutes: other scripts, to be run when the log was changed"]
fn every_fault_of_other_scripts_leaves_a_prefix() {
    for seed in 1..=3 {
        let script = script(seed, OPERATIONS);
        for fault in [Fault::PowerCut, Fault::SyncError, Fault::NameError, Fault::WriteTorn, Fault::WriteFull] {
            for unsynced in [Unsynced::Torn, Unsynced::Lost] {
                check_every_of(&script, fault, unsynced, false);
            }
        }
    }
}

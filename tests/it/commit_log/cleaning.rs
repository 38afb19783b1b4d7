//! Power goes off at every point of one cleaning; what is left must open, and be what it was or what it was to become.

use insight_hub::engine::log::commit_log::{
    Policy,
    files::simulated::{Fault, SimulatedFiles, Unsynced},
};

use super::basics::{P0, all, log_with, nothing, open, put};

/// Prepares a log, cuts the power at every operation of `clean`, and hands what opens then to `check`.
fn check_cuts(
    policy: Policy,
    commits: &[&[&str]],
    clean: &dyn Fn(
        &insight_hub::engine::log::commit_log::CommitLog,
    ) -> insight_hub::engine::log::commit_log::Result<()>,
    check: &dyn Fn(Vec<String>),
) {
    for seed in 0..50 {
        for cut in 1.. {
            let files = SimulatedFiles::new(seed * 1000 + cut);
            let log = log_with(&files, policy);
            for commit in commits {
                put(&log, commit, 0).expect("an append");
                log.roll().expect("rolled");
            }
            let end = log.end(P0).expect("known");
            files.plan(Fault::PowerCut, cut);
            let outcome = clean(&log);
            let came = !files.is_fault_to_come();
            assert_eq!(outcome.is_err(), came, "{outcome:?}");
            drop(log);
            files.restart(Unsynced::Torn);
            let log = open(&files, 1000).unwrap_or_else(|error| panic!("seed {seed}, cut {cut}: {error}"));
            assert_eq!(log.end(P0).expect("known"), end);
            check(all(&log));
            if !came {
                break;
            }
        }
    }
}

#[test]
fn power_cut_while_segments_are_removed() {
    check_cuts(
        Policy::Processed,
        &[&["a=1"], &["b=2"], &["c=3"], &["d=4"]],
        &|log| log.clean(0, &|_, _| Some(3)).map(|_| ()),
        &|found| assert_eq!(found.last().map(String::as_str), Some("3 d=4")),
    );
}

#[test]
fn power_cut_while_segments_are_rewritten() {
    let before = ["0 x=1", "1 a=1", "2 b=1", "3 y=1", "4 a=2", "5 b=2", "6 x-"];
    check_cuts(
        Policy::Compact { delete_retention_ms: 0 },
        &[&["x=1", "a=1", "b=1", "y=1"], &["a=2", "b=2", "x-"]],
        &|log| log.clean(1000, &nothing).map(|_| ()),
        &|found| assert!(found == before || found == before[3..], "{found:?}"),
    );
}

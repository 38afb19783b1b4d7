//! Several threads on one log on a real disk in; what each of them must have seen out.

use std::{
    collections::BTreeMap,
    ops::ControlFlow,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use insight_hub::engine::log::commit_log::{
    CommitLog, CommitLogError, Options, Policy, TopicPartition,
    files::{Files, real::RealFiles},
};

use super::{
    basics::{nothing, numbered},
    model::{self, read_all},
};

/// A directory that is removed when the test ends.
pub struct Directory(pub PathBuf);

impl Directory {
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("embedded-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        Self(path)
    }

    pub fn files(&self) -> Arc<dyn Files> {
        Arc::new(RealFiles::new(&self.0).expect("a directory"))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn readers_go_on_while_others_append_roll_and_clean_on_a_real_disk() {
    const COMMITS: u64 = 1500;
    let directory = Directory::new("threads");
    let options = Options { segment_bytes: 8000, compaction_keys_max: 20, merge_min: 3, ..Options::default() };
    let log = CommitLog::open(directory.files(), options).expect("a log");
    assert!(matches!(CommitLog::open(directory.files(), options), Err(CommitLogError::Locked { .. })));
    let keep = log.create_topic("keep", 2, Policy::Keep).expect("a topic");
    let compact = log.create_topic("compact", 1, Policy::Compact { delete_retention_ms: 0 }).expect("a topic");
    let compacted = TopicPartition { topic: compact, partition: 0 };
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let appenders: Vec<_> = (0..2_u32)
            .map(|partition| {
                let log = &log;
                scope.spawn(move || {
                    let kept = TopicPartition { topic: keep, partition };
                    for number in 0..COMMITS {
                        log.append(&numbered(kept, compacted, number)).expect("an append");
                        if number % 200 == 0 {
                            log.sync().expect("a sync");
                        }
                    }
                })
            })
            .collect();
        let mut others = Vec::new();
        for partition in 0..2 {
            let log = &log;
            others.push(scope.spawn(move || {
                let kept = TopicPartition { topic: keep, partition };
                let mut next = 0;
                while next < COMMITS {
                    let after = log.read(kept, next, 4000, &mut |record| {
                        assert_eq!(record.offset, next);
                        assert_eq!(record.value, Some(next.to_string().as_bytes()));
                        next += 1;
                        ControlFlow::Continue(())
                    });
                    assert_eq!(after.expect("a read"), next);
                    std::thread::yield_now();
                }
            }));
        }
        let (log, done) = (&log, &done);
        others.push(scope.spawn(move || {
            while !done.load(Ordering::Relaxed) {
                log.clean(i64::MAX, &nothing).expect("cleaned");
                let found = read_all(log, compacted, 0, 4000);
                assert!(found.is_sorted_by(|left, right| left.offset < right.offset));
            }
        }));
        for appender in appenders {
            appender.join().expect("an appender");
        }
        done.store(true, Ordering::Relaxed);
        for other in others {
            other.join().expect("a reader or the cleaner");
        }
    });
    log.roll().expect("rolled");
    log.clean(i64::MAX, &nothing).expect("cleaned");
    let latest = model::fold(read_all(&log, compacted, 0, 1 << 20).iter());
    let mut wanted = BTreeMap::new();
    for number in 0..COMMITS {
        for partition in 0..2 {
            let key = format!("{partition}-{}", number % 37).into_bytes();
            wanted.insert(key, number.to_string().into_bytes());
        }
    }
    assert_eq!(latest, wanted);
    assert_eq!(log.end(compacted).expect("known"), 2 * COMMITS);
    let newest = log.newest();
    drop(log);
    let log = CommitLog::open(directory.files(), options).expect("a log");
    assert_eq!((log.newest(), log.durable()), (newest, newest));
    assert_eq!(model::fold(read_all(&log, compacted, 0, 1 << 20).iter()), wanted);
    for partition in 0..2 {
        let kept = TopicPartition { topic: keep, partition };
        assert_eq!(log.committed(kept), Some(COMMITS));
        assert_eq!(read_all(&log, kept, 0, 1 << 20).len() as u64, COMMITS);
    }
}

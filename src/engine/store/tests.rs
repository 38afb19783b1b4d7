//! The store against a model, over crashes, and what it says when the disk refuses.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use proptest::prelude::*;

use super::*;

mod rewriting;

const CACHE_BYTES: u64 = 8 << 20;

fn identity() -> Identity {
    Identity { placement: [3; 16], changelog: "homes-changelog-0".to_owned() }
}

/// One thing done to a store.
#[derive(Clone, Debug)]
enum Step {
    Put(u8, u8),
    Delete(u8),
    PutLocal(u8, u8),
    DeleteLocal(u8),
    Commit,
    Rollback,
    Flush,
    /// The store is dropped; what was flushed stays.
    Crash,
    Wipe,
    Scan(u8, u8, usize),
}

fn step() -> impl Strategy<Value = Step> {
    // Few keys, so that layers cover each other.
    let key = 0..24_u8;
    prop_oneof![
        8 => (key.clone(), any::<u8>()).prop_map(|(key, value)| Step::Put(key, value)),
        4 => key.clone().prop_map(Step::Delete),
        3 => (key.clone(), any::<u8>()).prop_map(|(key, value)| Step::PutLocal(key, value)),
        2 => key.clone().prop_map(Step::DeleteLocal),
        4 => Just(Step::Commit),
        2 => Just(Step::Rollback),
        2 => Just(Step::Flush),
        1 => Just(Step::Crash),
        1 => prop_oneof![9 => Just(Step::Flush), 1 => Just(Step::Wipe)],
        4 => (key.clone(), key, 0..12_usize).prop_map(|(from, to, most)| Step::Scan(from, to, most)),
    ]
}

type Entries = BTreeMap<Vec<u8>, Vec<u8>>;

/// What a store must hold, and the log of its commits. Derived entries are in the log here, marked: whoever restores derives
/// them again.
#[derive(Default)]
struct Model {
    committed: Entries,
    staged: Entries,
    /// Every change of every commit: key, value, whether it is derived.
    log: Vec<(Vec<u8>, Option<Vec<u8>>, bool)>,
    staged_log: BTreeMap<Vec<u8>, (Option<Vec<u8>>, bool)>,
}

impl Model {
    fn change(&mut self, key: Vec<u8>, value: Option<Vec<u8>>, local: bool) {
        match &value {
            Some(value) => self.staged.insert(key.clone(), value.clone()),
            None => self.staged.remove(&key),
        };
        self.staged_log.insert(key, (value, local));
    }

    fn commit(&mut self) {
        self.committed = self.staged.clone();
        self.log
            .extend(std::mem::take(&mut self.staged_log).into_iter().map(|(key, (value, local))| (key, value, local)));
    }

    fn rollback(&mut self) {
        self.staged = self.committed.clone();
        self.staged_log.clear();
    }
}

fn logged_key(key: u8) -> Vec<u8> {
    // Of different lengths, some the beginning of others, some too long to lie in a node.
    let mut bytes = vec![b'k', key / 3];
    bytes.resize(2 + usize::from(key % 3) * 30, 0);
    bytes
}

fn local_key(key: u8) -> Vec<u8> {
    vec![b'i', key]
}

fn long_value(value: u8) -> Vec<u8> {
    vec![value; 24 + usize::from(value)]
}

fn scanned(store: &Store, from: &[u8], to: &[u8], most: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut entries = Vec::new();
    if most > 0 {
        store
            .scan(from, to, |key, value| {
                entries.push((key.to_vec(), value.to_vec()));
                if entries.len() == most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })
            .expect("the disk is readable");
    }
    entries
}

fn check_against_model(steps: &[Step], open: &mut dyn FnMut() -> Box<dyn Disk>) -> Result<(), TestCaseError> {
    let mut model = Model::default();
    let mut store = Store::new(open());
    for step in steps {
        match step {
            Step::Put(key, value) => {
                store.put(&logged_key(*key), &long_value(*value));
                model.change(logged_key(*key), Some(long_value(*value)), false);
            }
            Step::Delete(key) => {
                store.delete(&logged_key(*key));
                model.change(logged_key(*key), None, false);
            }
            Step::PutLocal(key, value) => {
                store.put_local(&local_key(*key), &[*value]);
                model.change(local_key(*key), Some(vec![*value]), true);
            }
            Step::DeleteLocal(key) => {
                store.delete_local(&local_key(*key));
                model.change(local_key(*key), None, true);
            }
            Step::Commit => {
                let due: Vec<_> = store
                    .staged_changelog()
                    .map(|(key, value)| (key.to_vec(), value.map(|value| value.to_vec())))
                    .collect();
                let expected: Vec<_> = model
                    .staged_log
                    .iter()
                    .filter(|(_, (_, local))| !local)
                    .map(|(key, (value, _))| (key.clone(), value.clone()))
                    .collect();
                prop_assert_eq!(due, expected);
                store.commit();
                model.commit();
            }
            Step::Rollback => {
                store.rollback();
                model.rollback();
            }
            Step::Flush => {
                let flushed = store.flush(model.log.len() as u64);
                if model.staged_log.is_empty() {
                    prop_assert!(flushed.is_ok());
                    prop_assert_eq!(store.position(), Some(model.log.len() as u64));
                    prop_assert_eq!((store.unflushed_entries(), store.unflushed_bytes()), (0, 0));
                } else {
                    prop_assert!(matches!(flushed, Err(StoreError::FlushWhileStaged(_))));
                }
            }
            Step::Crash => {
                let flushed = store.position();
                drop(store);
                store = Store::new(open());
                prop_assert_eq!(store.position(), flushed);
                model.rollback();
                for (key, value, _) in &model.log[flushed.unwrap_or(0) as usize..] {
                    store.restore(key, value.as_deref()).expect("our own key");
                }
            }
            Step::Wipe => {
                store.wipe().expect("the disk is writable");
                prop_assert_eq!(store.position(), None);
                prop_assert!(scanned(&store, &[0, 0], &[0xff; 4], usize::MAX).is_empty());
                model.rollback();
                for (key, value, _) in &model.log {
                    store.restore(key, value.as_deref()).expect("our own key");
                }
            }
            Step::Scan(from, to, most) => {
                let (from, to) = (logged_key(*from), logged_key(*to));
                let expected: Vec<_> = model
                    .staged
                    .iter()
                    .filter(|(key, _)| (&from..&to).contains(key))
                    .take(*most)
                    .map(|(key, value)| (key.clone(), value.clone()))
                    .collect();
                prop_assert_eq!(scanned(&store, &from, &to, *most), expected);
            }
        }
        for key in (0..24).flat_map(|key| [logged_key(key), local_key(key)]) {
            prop_assert_eq!(
                store.get(&key).expect("readable").map(|value| value.to_vec()),
                model.staged.get(&key).cloned()
            );
        }
        if model.staged_log.is_empty() {
            prop_assert_eq!(store.staged_bytes(), 0);
        }
    }
    let all: Entries = scanned(&store, &[0], &[0xff; 4], usize::MAX).into_iter().collect();
    prop_assert_eq!(all, model.staged);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn store_on_a_memory_disk_is_the_model(steps in prop::collection::vec(step(), 0..120)) {
        let platter = Platter::default();
        check_against_model(&steps, &mut || Box::new(MemoryDisk::open(&platter, "homes-0", identity()).expect("ours")))?;
    }
}

proptest! {
    // Fewer: every flush syncs.
    #![proptest_config(ProptestConfig { cases: 25, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn store_on_a_fjall_disk_is_the_model(steps in prop::collection::vec(step(), 0..120)) {
        let directory = tempfile::tempdir().expect("a temporary folder");
        check_against_model(&steps, &mut || Box::new(open_disk(directory.path(), identity()).expect("ours")))?;
    }
}

/// Opens folder and disk; the folder closes with the disk, so that each opening recovers as after a crash.
fn open_disk(path: &Path, identity: Identity) -> Result<FjallDisk, DiskError> {
    FjallDisk::open(&StoreFolder::open(path, CACHE_BYTES)?, "homes-0", identity)
}

#[test]
fn prefixes_end_where_they_should() {
    let platter = Platter::default();
    let mut store = Store::new(Box::new(MemoryDisk::open(&platter, "homes-0", identity()).expect("empty")));
    for key in [&b"a\xfe"[..], b"a\xff", b"a\xff\xff", b"b\x00", b"\xff\xff", b"\xff\xff\xff"] {
        store.put(key, b"value");
    }
    let count = |prefix: &[u8]| {
        let mut entries = 0;
        store
            .scan_prefix(prefix, |_, _| {
                entries += 1;
                ControlFlow::Continue(())
            })
            .expect("readable");
        entries
    };
    assert_eq!([count(b"a"), count(b"a\xff"), count(b"\xff"), count(b"c"), count(b"")], [3, 2, 2, 0, 6]);
}

#[test]
fn small_values_of_a_large_buffer_do_not_keep_it() {
    let platter = Platter::default();
    let mut store = Store::new(Box::new(MemoryDisk::open(&platter, "homes-0", identity()).expect("empty")));
    let buffer = bytes::Bytes::from(vec![7; 64 << 10]);
    store.put(b"key", &buffer.slice(100..124));
    store.commit();
    assert!(buffer.is_unique());
    assert!(store.unflushed_bytes() < 1_000);
}

#[test]
fn a_key_that_no_store_wrote_is_refused() {
    let mut store = Store::new(Box::new(MemoryDisk::open(&Platter::default(), "homes-0", identity()).expect("empty")));
    for length in [0, 1, 5_000] {
        assert!(matches!(store.restore(&vec![0; length], None), Err(StoreError::ForeignKey(found)) if found == length));
    }
    assert_eq!(store.unflushed_bytes(), 0);
}

#[test]
fn a_position_never_goes_backwards() {
    let mut store = Store::new(Box::new(MemoryDisk::open(&Platter::default(), "homes-0", identity()).expect("empty")));
    store.flush(10).expect("writable");
    assert!(matches!(store.flush(9), Err(StoreError::FlushBackwards { asked: 9, reflected: 10 })));
}

#[test]
fn state_of_another_placement_is_refused_and_can_be_removed() {
    let directory = tempfile::tempdir().expect("a temporary folder");
    let other = Identity { placement: [4; 16], ..identity() };
    let mut store = Store::new(Box::new(open_disk(directory.path(), identity()).expect("empty")));
    store.put(b"key", b"value");
    store.commit();
    store.flush(1).expect("writable");
    drop(store);

    let refused = open_disk(directory.path(), other.clone()).err().expect("another placement");
    assert!(matches!(refused, DiskError::Rebuild { .. }), "{refused}");

    let folder = StoreFolder::open(directory.path(), CACHE_BYTES).expect("it opens");
    assert_eq!(folder.tasks(), ["homes-0"]);
    folder.remove("homes-0").expect("writable");
    folder.remove("homes-0").expect("nothing to remove is fine");
    assert!(folder.tasks().is_empty());
    let store = Store::new(Box::new(FjallDisk::open(&folder, "homes-0", other).expect("empty")));
    assert_eq!(store.position(), None);
    assert_eq!(store.get(b"key").expect("readable"), None);
}

#[test]
fn tasks_of_a_folder_do_not_see_each_other() {
    let directory = tempfile::tempdir().expect("a temporary folder");
    let folder = StoreFolder::open(directory.path(), CACHE_BYTES).expect("it opens");
    let mut stores: Vec<_> = ["homes-0", "homes-1"]
        .map(|task| Store::new(Box::new(FjallDisk::open(&folder, task, identity()).expect("empty"))))
        .into();
    for (number, store) in (1..).zip(&mut stores) {
        store.put(b"key", &[number]);
        store.commit();
        store.flush(u64::from(number)).expect("writable");
    }
    stores[0].wipe().expect("writable");
    assert_eq!((stores[0].position(), stores[1].position()), (None, Some(2)));
    assert_eq!(stores[0].get(b"key").expect("readable"), None);
    assert_eq!(stores[1].get(b"key").expect("readable").as_deref(), Some(&[2][..]));
}

#[test]
fn a_second_process_is_told_that_the_folder_is_held() {
    let directory = tempfile::tempdir().expect("a temporary folder");
    let _held = StoreFolder::open(directory.path(), CACHE_BYTES).expect("it opens");
    let refused = StoreFolder::open(directory.path(), CACHE_BYTES).err().expect("held").to_string();
    assert!(refused.contains("another process holds the data folder"), "{refused}");
}

#[test]
fn a_folder_whose_making_was_cut_short_is_made_again() {
    let directory = tempfile::tempdir().expect("a temporary folder");
    let path = directory.path().join("state");
    std::fs::create_dir_all(path.join("keyspaces")).expect("writable");
    for (file, content) in [("lock", ""), ("0.jnl", "half"), ("version", "")] {
        std::fs::write(path.join(file), content).expect("writable");
    }
    let mut store = Store::new(Box::new(open_disk(&path, identity()).expect("made again")));
    store.flush(4).expect("writable");
    drop(store);
    assert_eq!(open_disk(&path, identity()).expect("ours").position(), Some(4));
}

#[test]
fn a_full_memory_disk_keeps_the_entries_in_the_store() {
    let platter = Platter::default();
    let mut store = Store::new(Box::new(MemoryDisk::open(&platter, "homes-0", identity()).expect("empty")));
    store.put(b"key", b"value");
    store.commit();
    platter.set_full(true);
    let refused = store.flush(1).expect_err("full").to_string();
    assert!(refused.contains("free disk space"), "{refused}");
    assert_eq!((store.position(), store.unflushed_entries()), (None, 1));
    platter.set_full(false);
    store.flush(1).expect("there is room again");
    assert_eq!(store.get(b"key").expect("readable").as_deref(), Some(&b"value"[..]));
}

#[test]
fn a_path_that_cannot_be_a_folder_is_an_error() {
    let directory = tempfile::tempdir().expect("a temporary folder");
    let path = directory.path().join("file");
    std::fs::write(&path, "not a folder").expect("writable");
    assert!(matches!(StoreFolder::open(&path, CACHE_BYTES), Err(DiskError::Stop { action: "open", .. })));
}

/// Set for the children of the tests below: the folder to work in.
const CHILD_FOLDER: &str = "STORE_TEST_FOLDER";

/// This test binary again, as a child that runs one ignored test in `path`. `limits` is a shell command to run before it.
fn child(test: &str, limits: &str, path: &Path) -> Command {
    let mut command = Command::new("sh");
    command
        .arg("-c")
        .arg(format!("{limits} exec \"$0\" --exact --ignored --nocapture engine::store::tests::{test}"))
        .arg(std::env::current_exe().expect("a test runs from a file"))
        .env(CHILD_FOLDER, path);
    command
}

const BATCH_KEYS: u64 = 3_000;

/// Whether batch number `batch` puts (`Some`), deletes (`Some(None)`) or leaves (`None`) a key.
fn batch_change(batch: u64, key: u64) -> Option<Option<Vec<u8>>> {
    let drawn = xxhash_rust::xxh3::xxh3_64_with_seed(&key.to_be_bytes(), batch);
    match drawn % 10 {
        0..6 => None,
        6..9 => Some(Some(vec![drawn as u8; 100 + (drawn >> 56) as usize])),
        _ => Some(None),
    }
}

fn batch_key(key: u64) -> Vec<u8> {
    [&xxhash_rust::xxh3::xxh3_64(&key.to_be_bytes()).to_be_bytes()[..], &[0; 24]].concat()
}

#[test]
#[ignore = "the child of killed_at_any_moment_the_content_is_that_of_the_position"]
fn child_that_flushes_for_ever() {
    let path = std::env::var_os(CHILD_FOLDER).expect("started as a child");
    let mut store = Store::new(Box::new(open_disk(Path::new(&path), identity()).expect("what was left opens")));
    for batch in store.position().unwrap_or(0).. {
        if batch % 97 == 96 && store.position().is_some() {
            // A wiped store is restored, here from what every batch did.
            store.wipe().expect("writable");
            (0..batch).for_each(|batch| put_batch(&mut store, batch));
        }
        put_batch(&mut store, batch);
        store.flush(batch + 1).expect("writable");
    }
}

fn put_batch(store: &mut Store, batch: u64) {
    for key in 0..BATCH_KEYS {
        match batch_change(batch, key) {
            Some(Some(value)) => store.put(&batch_key(key), &value),
            Some(None) => store.delete(&batch_key(key)),
            None => {}
        }
    }
    store.commit();
}

#[test]
fn killed_at_any_moment_the_content_is_that_of_the_position() {
    let directory = tempfile::tempdir().expect("a temporary folder");
    let kills = std::env::var("STORE_TEST_KILLS").map_or(25, |kills| kills.parse().expect("a number of kills"));
    let mut expected = Entries::new();
    let mut position = 0;
    // The last child may have been killed after a wipe.
    let mut furthest = 0;
    for kill in 0..kills {
        let mut child = child("child_that_flushes_for_ever", "", directory.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        // 0 to 0.6 s, so that starting, recovering, flushing and merging are all hit.
        let moment = xxhash_rust::xxh3::xxh3_64_with_seed(b"moment", kill) % 600;
        std::thread::sleep(Duration::from_millis(moment));
        assert!(child.try_wait().expect("our child").is_none(), "the child of kill {kill} failed by itself");
        child.kill().expect("our child");
        child.wait().expect("our child");

        let store = Store::new(Box::new(open_disk(directory.path(), identity()).expect("what was left opens")));
        let reached = store.position().unwrap_or(0);
        if reached < position {
            assert_eq!(reached, 0, "only a wipe goes back");
            position = 0;
            expected.clear();
        }
        for batch in position..reached {
            for key in 0..BATCH_KEYS {
                match batch_change(batch, key) {
                    Some(Some(value)) => expected.insert(batch_key(key), value),
                    Some(None) => expected.remove(&batch_key(key)),
                    None => None,
                };
            }
        }
        position = reached;
        furthest = furthest.max(reached);
        let found: Entries = scanned(&store, &[0], &[0xff; 64], usize::MAX).into_iter().collect();
        assert!(found == expected, "kill {kill} after {moment} ms: the content is not that of position {position}");
        for key in 0..BATCH_KEYS {
            let found = store.get(&batch_key(key)).expect("readable");
            assert_eq!(
                found.as_deref(),
                expected.get(&batch_key(key)).map(Vec::as_slice),
                "a lookup differs from the scan"
            );
        }
    }
    assert!(furthest > 0 || kills == 0, "no batch was ever flushed: the test shows nothing");
}

#[test]
#[ignore = "the child of a_refused_write_is_an_error_and_loses_nothing"]
fn child_that_is_refused() {
    let path = std::env::var_os(CHILD_FOLDER).expect("started as a child");
    let mut store = Store::new(Box::new(open_disk(Path::new(&path), identity()).expect("it opens")));
    let position = store.position().expect("the parent flushed");
    for batch in position..position + 20 {
        put_batch(&mut store, batch);
    }
    let refused = store.flush(position + 20).expect_err("the file is larger than allowed").to_string();
    assert!(refused.contains("cannot write the stored state of homes-0"), "{refused}");
    assert!(refused.contains("ulimit"), "{refused}");
    assert_eq!(store.position(), Some(position));
    assert!(store.unflushed_entries() > 0, "the entries stay in the store");
    // Still readable, and refused again rather than tried over what may lie there.
    assert!(store.get(&batch_key(0)).is_ok());
    assert!(store.flush(position + 20).expect_err("refused").to_string().contains("earlier write"));
}

#[test]
fn a_refused_write_is_an_error_and_loses_nothing() {
    let directory = tempfile::tempdir().expect("a temporary folder");
    let mut store = Store::new(Box::new(open_disk(directory.path(), identity()).expect("empty")));
    put_batch(&mut store, 0);
    store.flush(1).expect("writable");
    let before = scanned(&store, &[0], &[0xff; 64], usize::MAX);
    drop(store);

    // 512 blocks of 512 bytes; ignoring the signal turns the limit into an error of the write.
    let output =
        child("child_that_is_refused", "trap '' XFSZ; ulimit -f 512;", directory.path()).output().expect("it starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));

    let mut store = Store::new(Box::new(open_disk(directory.path(), identity()).expect("ours")));
    assert_eq!(store.position(), Some(1));
    assert_eq!(scanned(&store, &[0], &[0xff; 64], usize::MAX), before);
    put_batch(&mut store, 1);
    store.flush(2).expect("there is room again");
}

//! Stores that are rewritten: no file has what was deleted, and everything else is as it was.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

/// Whether any file below a folder has these bytes.
fn is_in_a_file(folder: &Path, sought: &[u8]) -> bool {
    std::fs::read_dir(folder).expect("a folder").any(|entry| {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            return is_in_a_file(&path, sought);
        }
        let bytes = std::fs::read(&path).expect("readable");
        let found = bytes.windows(sought.len()).any(|window| window == sought);
        if found {
            eprintln!("{path:?}");
        }
        found
    })
}

#[test]
fn what_was_deleted_is_in_no_file_once_the_store_is_rewritten() {
    let directory = tempfile::tempdir().expect("a temporary folder");
    let folder = StoreFolder::open(directory.path(), CACHE_BYTES).expect("it opens");
    let mut store = Store::new(Box::new(FjallDisk::open(&folder, "homes-0", identity()).expect("empty")));
    for entry in 0..500_u32 {
        store.put(&[b"k", &entry.to_be_bytes()[..]].concat(), format!("kept-{entry}").as_bytes());
    }
    store.put(b"ann", b"ann@example.org");
    store.put(b"bob-key@example.org", b"bob");
    store.put(b"kim", b"first@example.org");
    store.commit();
    store.flush(1).expect("writable");
    for gone in ["ann@example.org", "bob-key@example.org", "first@example.org"] {
        assert!(is_in_a_file(directory.path(), gone.as_bytes()), "{gone} is not found where it must be");
    }
    store.delete(b"ann");
    store.delete(b"bob-key@example.org");
    store.put(b"kim", b"second@example.org");
    store.commit();
    store.flush(2).expect("writable");
    let before = scanned(&store, &[0], &[0xff; 64], usize::MAX);
    folder.rewrite("homes-0").expect("rewritten");
    for gone in ["ann@example.org", "bob-key@example.org", "first@example.org"] {
        assert!(!is_in_a_file(directory.path(), gone.as_bytes()), "{gone} is still in a file");
    }
    assert!(is_in_a_file(directory.path(), b"second@example.org"));
    assert_eq!(scanned(&store, &[0], &[0xff; 64], usize::MAX), before);
    // And once more with what came meanwhile, after it was opened again.
    store.delete(b"kim");
    store.commit();
    store.flush(3).expect("writable");
    drop(store);
    drop(folder);
    let folder = StoreFolder::open(directory.path(), CACHE_BYTES).expect("it opens");
    folder.rewrite("homes-0").expect("rewritten");
    assert!(!is_in_a_file(directory.path(), b"second@example.org"));
    let store = Store::new(Box::new(FjallDisk::open(&folder, "homes-0", identity()).expect("ours")));
    assert_eq!((store.position(), scanned(&store, &[0], &[0xff; 64], usize::MAX).len()), (Some(3), 500));
}

#[test]
fn a_store_goes_on_while_it_is_rewritten_and_one_that_is_closed_is_removed() {
    let directory = tempfile::tempdir().expect("a temporary folder");
    let folder = StoreFolder::open(directory.path(), CACHE_BYTES).expect("it opens");
    let mut closed = Store::new(Box::new(FjallDisk::open(&folder, "homes-1", identity()).expect("empty")));
    closed.put(b"ann", b"ann@example.org");
    closed.commit();
    closed.flush(1).expect("writable");
    drop(closed);
    let mut store = Store::new(Box::new(FjallDisk::open(&folder, "homes-0", identity()).expect("empty")));
    let is_over = AtomicBool::new(false);
    let mut expected = BTreeMap::new();
    let rewritten = std::thread::scope(|scope| {
        let rewriting = scope.spawn(|| {
            let mut times = 0;
            while !is_over.load(Ordering::Acquire) {
                folder.clean_thoroughly().expect("rewritten");
                times += 1;
            }
            times
        });
        for batch in 0..60_u32 {
            for entry in 0..200_u32 {
                let key = [b"k", &(entry * 7 % 331).to_be_bytes()[..]].concat();
                if (entry + batch) % 3 == 0 {
                    store.delete(&key);
                    expected.remove(&key);
                } else {
                    let value = format!("{batch}-{entry}").into_bytes();
                    store.put(&key, &value);
                    expected.insert(key, value);
                }
            }
            store.commit();
            store.flush(u64::from(batch) + 1).expect("writable");
        }
        is_over.store(true, Ordering::Release);
        rewriting.join().expect("it does not panic")
    });
    assert!(rewritten > 1, "the test shows nothing");
    let found: Entries = scanned(&store, &[0], &[0xff; 64], usize::MAX).into_iter().collect();
    assert!(found == expected);
    assert_eq!(folder.tasks(), ["homes-0"]);
    drop(store);
    drop(folder);
    assert!(!is_in_a_file(directory.path(), b"ann@example.org"));
    let store = Store::new(Box::new(open_disk(directory.path(), identity()).expect("ours")));
    let found: Entries = scanned(&store, &[0], &[0xff; 64], usize::MAX).into_iter().collect();
    assert!(store.position() == Some(60) && found == expected);
}

//! A log of more segments than files may be open in; how many are, and what readers see of it, out.

use std::{
    io,
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use insight_hub::engine::log::commit_log::{
    Batch, CommitLog, Options, Policy,
    files::{File, Files, Held, simulated::SimulatedFiles},
};

use super::{
    basics::{P0, all, nothing, put},
    story::Random,
};

/// Counts the files that are open.
struct Counting {
    files: SimulatedFiles,
    open: Arc<AtomicUsize>,
}

struct Counted {
    file: Arc<dyn File>,
    open: Arc<AtomicUsize>,
}

impl Counting {
    fn counted(&self, file: Arc<dyn File>) -> Arc<dyn File> {
        self.open.fetch_add(1, Ordering::Relaxed);
        Arc::new(Counted { file, open: Arc::clone(&self.open) })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Files for Counting {
    fn lock(&self, name: &str) -> io::Result<Box<dyn Held>> {
        self.files.lock(name)
    }
    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        self.files.create(name).map(|file| self.counted(file))
    }
    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        self.files.open(name).map(|file| self.counted(file))
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.files.rename(from, to)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.files.remove(name)
    }
    fn list(&self) -> io::Result<Vec<String>> {
        self.files.list()
    }
    fn sync_directory(&self) -> io::Result<()> {
        self.files.sync_directory()
    }
    fn name(&self) -> String {
        self.files.name()
    }
}

impl File for Counted {
    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        self.file.write_at(bytes, position)
    }
    fn read_at(&self, bytes: &mut [u8], position: u64) -> io::Result<()> {
        self.file.read_at(bytes, position)
    }
    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }
    fn truncate(&self, length: u64) -> io::Result<()> {
        self.file.truncate(length)
    }
    fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }
}

const OPEN_MAX: usize = 5;
/// The last segment's, and the one that an operation has in hand.
const BESIDES: usize = 2;

fn log(open: &Arc<AtomicUsize>, files: &SimulatedFiles) -> CommitLog {
    let counting = Counting { files: files.clone(), open: Arc::clone(open) };
    let options = Options { open_files_max: OPEN_MAX, merge_min: 3, ..Options::default() };
    CommitLog::open(Arc::new(counting), options).expect("a log")
}

#[test]
fn only_so_many_files_are_open_whatever_is_read_cleaned_and_opened_again() {
    let (open, files) = (Arc::new(AtomicUsize::new(0)), SimulatedFiles::new(1));
    let check = |what: &str| {
        let open = open.load(Ordering::Relaxed);
        assert!(open <= OPEN_MAX + BESIDES, "{open} files are open after {what}");
    };
    let mut random = Random(1);
    let mut written = Vec::new();
    for round in 0..3 {
        let log = log(&open, &files);
        check("opening");
        log.create_topic("topic", 1, Policy::Keep).expect("a topic");
        for number in written.len()..written.len() + 60 {
            put(&log, &[&format!("k={number}")], 0).expect("an append");
            log.roll().expect("rolled");
            written.push(format!("{number} k={number}"));
            check("a roll");
        }
        let mut batch = Batch::new();
        for _ in 0..200 {
            let from = random.below(written.len() as u64);
            assert!(log.next_batch(P0, from, &mut batch).expect("a batch"));
            assert_eq!(batch.peek_offset(), Some(from));
            check("a batch");
        }
        assert_eq!(all(&log), written);
        log.bytes().expect("bytes");
        check("all was read");
        if round > 0 {
            assert!(log.clean(0, &nothing).expect("cleaned").segments_merged > 50);
            check("cleaning");
            assert_eq!(all(&log), written);
        }
    }
    assert_eq!(open.load(Ordering::Relaxed), 0, "files stay open after the log is gone");
}

#[test]
fn reader_keeps_what_it_began_to_read_although_its_files_were_closed_replaced_and_removed() {
    let (open, files) = (Arc::new(AtomicUsize::new(0)), SimulatedFiles::new(1));
    let log = log(&open, &files);
    log.create_topic("topic", 1, Policy::Processed).expect("a topic");
    for number in 0..40 {
        put(&log, &[&format!("a={number}"), &format!("b={number}")], 0).expect("an append");
        log.roll().expect("rolled");
    }
    let mut seen = Vec::new();
    log.read(P0, 0, 1 << 20, &mut |record| {
        if record.offset == 0 {
            // The first half goes, the second is merged, and the reader has opened one of them so far.
            let cleaned = log.clean(0, &|_, _| Some(40)).expect("cleaned");
            assert_eq!((cleaned.segments_removed, cleaned.segments_merged), (20, 20));
        }
        seen.push(record.offset);
        ControlFlow::Continue(())
    })
    .expect("a read");
    assert_eq!(seen, (0..80).collect::<Vec<_>>());
    assert!(open.load(Ordering::Relaxed) <= OPEN_MAX + BESIDES);
    assert_eq!(log.beginning(P0).expect("known"), 40);
}

#[test]
fn readers_of_merged_segments_never_read_another_file_by_the_same_name() {
    let (open, files) = (Arc::new(AtomicUsize::new(0)), SimulatedFiles::new(1));
    let log = log(&open, &files);
    log.create_topic("topic", 1, Policy::Keep).expect("a topic");
    let done = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for seed in 0..3 {
            let (log, done) = (&log, &done);
            scope.spawn(move || {
                let (mut random, mut batch) = (Random(seed), Batch::new());
                while done.load(Ordering::Relaxed) == 0 {
                    let end = log.end(P0).expect("known");
                    if end == 0 {
                        continue;
                    }
                    let from = random.below(end);
                    assert!(log.next_batch(P0, from, &mut batch).expect("a batch"));
                    let record = batch.next().expect("a record");
                    assert_eq!((record.offset, record.value), (from, Some(from.to_string().as_bytes())));
                }
            });
        }
        let mut merged = 0;
        for number in 0..2000 {
            put(&log, &[&format!("k={number}")], 0).expect("an append");
            log.roll().expect("rolled");
            if number % 5 == 4 {
                merged += log.clean(0, &nothing).expect("cleaned").segments_merged;
            }
        }
        done.store(1, Ordering::Relaxed);
        assert!(merged > 2000);
    });
}

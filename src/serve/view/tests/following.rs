//! A view that is kept from feeds that a test writes: how old it is, what it does when they or its folder cannot be used.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicUsize},
        mpsc,
    },
};

use bytes::Bytes;

use super::*;
use crate::{
    engine::{
        log::{
            LogError,
            outside::{Follow, Followed},
        },
        store::{Disk, Visit},
    },
    wire::{
        SchemaFolder,
        registry::{Fetch, Registry, client::RegistryError},
        single_object::reference,
    },
};

const WITHIN: Duration = Duration::from_secs(20);

/// Feeds that a test writes.
#[derive(Clone, Default)]
struct Feeds(Arc<Mutex<Written>>);

#[derive(Default)]
struct Written {
    origin: String,
    records: Vec<(Feed, CommittedRecord)>,
    /// Nobody can read them.
    are_away: bool,
    /// Whoever has read all is told so.
    say_whole: bool,
    /// How many records they say that there are besides.
    others: u64,
}

impl Feeds {
    fn written(&self) -> MutexGuard<'_, Written> {
        self.0.lock().expect("nobody panics with it")
    }

    fn write(&self, feed: Feed, key: &str, value: Option<Value>) {
        let mut written = self.written();
        let offset = written.records.iter().filter(|(of, _)| *of == feed).count();
        written.records.push((feed, record(i64::try_from(offset).expect("few"), key, value)));
    }
}

impl Subscribe for Feeds {
    fn topic(&self, feed: Feed) -> String {
        feed.topic().to_owned()
    }

    fn follow(&self, followed: &[Followed]) -> Result<Box<dyn Follow>, LogError> {
        let written = self.written();
        if written.are_away {
            return Err(LogError::Stop("nobody answers".to_owned()));
        }
        let from = followed.iter().map(|followed| followed.from.get(&0).copied().unwrap_or_default()).collect();
        let identities = followed.iter().map(|followed| format!("{}{}", written.origin, followed.topic)).collect();
        Ok(Box::new(Reader { feeds: self.clone(), from, identities, next: 0, opened: Instant::now(), is_whole: false }))
    }
}

struct Reader {
    feeds: Feeds,
    from: Vec<i64>,
    identities: Vec<String>,
    next: usize,
    opened: Instant,
    is_whole: bool,
}

impl Follow for Reader {
    fn next(&mut self, wait: Duration) -> Result<Option<(usize, CommittedRecord)>, LogError> {
        let begun = Instant::now();
        loop {
            let written = self.feeds.written();
            if written.are_away {
                return Err(LogError::Stop("nobody answers".to_owned()));
            }
            while let Some((feed, record)) = written.records.get(self.next) {
                self.next += 1;
                let number = Feed::ALL.into_iter().position(|known| known == *feed).expect("it is one");
                if record.offset >= self.from[number] {
                    return Ok(Some((number, record.clone())));
                }
            }
            drop(written);
            if begun.elapsed() >= wait {
                return Ok(None);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn remaining(&mut self) -> Result<Option<u64>, LogError> {
        let written = self.feeds.written();
        self.is_whole = written.say_whole && self.next == written.records.len();
        Ok(Some((written.records.len() - self.next) as u64 + written.others))
    }

    fn whole_until(&self) -> Option<Instant> {
        self.is_whole.then_some(self.opened)
    }

    fn identities(&self) -> &[String] {
        &self.identities
    }

    fn misses_some(&self) -> bool {
        false
    }
}

#[track_caller]
fn becomes(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < WITHIN, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn write_days(feeds: &Feeds, days: std::ops::Range<u32>) {
    for day in days {
        let (key, value) = metric(day, "", f64::from(day));
        feeds.write(Feed::Metrics, &key, Some(value));
    }
}

fn count(view: &View) -> usize {
    view.list(&feed(Feed::Metrics), None, 1_000, &|_| true).map_or(0, |page| page.records.len())
}

/// A view in a folder that is kept from feeds, at a time.
fn keep(folder: &Path, feeds: &Feeds, now_ms: fn() -> i64) -> (Arc<View>, Following) {
    let view = Arc::new(open(folder, now_ms()));
    let following = Following::start(Arc::clone(&view), Arc::new(feeds.clone()), now_ms).expect("a thread");
    (view, following)
}

/// A registry that knows a schema, and answers from when a test says so.
struct Late(String, Arc<AtomicBool>);

impl Fetch for Late {
    fn schema(&mut self, _: u32) -> Result<String, RegistryError> {
        match self.1.load(Ordering::Acquire) {
            true => Ok(self.0.clone()),
            false => Err(RegistryError::Unavailable("connection refused".into())),
        }
    }
}

#[test]
fn what_another_version_wrote_waits_for_its_schema_and_is_not_left_out() {
    let (folder, feeds) = (tempfile::tempdir().expect("a directory"), Feeds::default());
    let (key, value) = metric(1, "", 1.0);
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/feeds/metrics.avro.hex");
    let digits: Vec<u8> = std::fs::read(golden).expect("a file").into_iter().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).expect("digits"), 16).expect("digits");
    let message: Vec<u8> = digits.chunks(2).map(byte).collect();
    let schema = Feed::Metrics.description().schema;
    let mut later: Value = serde_json::from_str(schema).expect("JSON");
    let field = json!({"name": "later", "type": "long", "default": 5});
    later["fields"].as_array_mut().expect("fields").insert(0, field);
    let newer = reference::resolved(schema, &later.to_string(), &message);
    let mut written = record(0, &key, None);
    written.value = Some([&[0, 0, 0, 0, 9], &newer[10..]].concat());
    let fingerprint = u64::from_le_bytes(newer[2..10].try_into().expect("eight bytes"));
    written.headers = vec![("schema".to_owned(), format!("Metric#{fingerprint:016x}").into_bytes())];
    feeds.written().records.push((Feed::Metrics, written));
    feeds.write(Feed::Metrics, &metric(2, "", 2.0).0, Some(value));

    let answers = Arc::new(AtomicBool::new(false));
    let registry =
        Registry::start(Late(later.to_string(), Arc::clone(&answers)), Duration::from_secs(60), Arc::new(|_| {}));
    let schemas = Schemas { folder: SchemaFolder::default(), registry: Some(registry.expect("a thread")) };
    let view = Arc::new(open(folder.path(), 0).reading(&Arc::new(schemas)));
    let following = Following::start(Arc::clone(&view), Arc::new(feeds.clone()), || 0).expect("a thread");
    // Several times as long as it waits for an answer.
    std::thread::sleep(Duration::from_secs(2));
    let positions = view.positions(Feed::Metrics).expect("readable");
    assert!(positions.is_empty() && count(&view) == 0, "it went on without: {positions:?}");
    answers.store(true, Ordering::Release);
    becomes("both are read", || count(&view) == 2);
    let page = view.list(&feed(Feed::Metrics), None, 10, &|_| true).expect("readable");
    assert!(page.records.iter().any(|kept| kept.value["later"] == 5), "{page:?}");
    following.stop();
}

#[test]
fn a_view_is_filled_when_everything_was_read_and_not_when_nobody_speaks_of_more() {
    let (folder, feeds) = (tempfile::tempdir().expect("a directory"), Feeds::default());
    write_days(&feeds, 1..4);
    let (view, following) = keep(folder.path(), &feeds, || 0);
    becomes("it reads", || count(&view) == 3 && view.progress().behind() == 0);
    std::thread::sleep(Duration::from_millis(300));
    assert!(!view.progress().is_complete(), "nothing more is at hand, and yet it is not said that this is all");
    assert_eq!(view.progress().status(), "filling");
    feeds.written().say_whole = true;
    becomes("it is filled", || view.progress().is_complete());
    feeds.written().others = 7;
    becomes("what it has not is counted", || view.progress().behind() == 7);
    assert_eq!(view.progress().status(), "behind", "it stays filled");
    following.stop();
}

#[test]
fn a_view_that_ran_and_did_not_follow_is_as_old_as_when_it_did_last() {
    static NOW_MS: AtomicI64 = AtomicI64::new(1_000_000);
    let now_ms: fn() -> i64 = || NOW_MS.load(Ordering::Acquire);
    let (folder, feeds) = (tempfile::tempdir().expect("a directory"), Feeds::default());
    feeds.written().say_whole = true;
    write_days(&feeds, 1..4);
    let (view, following) = keep(folder.path(), &feeds, now_ms);
    becomes("it is filled", || view.progress().is_complete());
    following.stop();
    drop(view);

    // Half a day later it is started, hears nothing, and is stopped.
    NOW_MS.fetch_add(DAY_MS / 2, Ordering::AcqRel);
    feeds.written().are_away = true;
    let (view, following) = keep(folder.path(), &feeds, now_ms);
    std::thread::sleep(Duration::from_millis(200));
    following.stop();
    assert_eq!(count(&view), 3, "it has missed nothing yet");
    drop(view);

    // Since it has followed, a day has passed: who was erased meanwhile may be in it.
    NOW_MS.fetch_add(DAY_MS / 2, Ordering::AcqRel);
    let view = open(folder.path(), now_ms());
    assert_eq!((count(&view), view.progress().is_complete()), (0, false));
}

#[test]
fn a_view_whose_feeds_are_away_for_too_long_is_begun_anew_while_it_runs() {
    static NOW_MS: AtomicI64 = AtomicI64::new(1_000_000);
    let now_ms: fn() -> i64 = || NOW_MS.load(Ordering::Acquire);
    let (folder, feeds) = (tempfile::tempdir().expect("a directory"), Feeds::default());
    feeds.written().say_whole = true;
    write_days(&feeds, 1..4);
    let (view, following) = keep(folder.path(), &feeds, now_ms);
    becomes("it is filled", || view.progress().is_complete());
    feeds.written().are_away = true;
    NOW_MS.fetch_add(DAY_MS, Ordering::AcqRel);
    becomes("it forgets", || count(&view) == 0 && !view.progress().is_complete());
    feeds.written().are_away = false;
    becomes("it is filled again", || count(&view) == 3 && view.progress().is_complete());
    following.stop();
}

#[test]
fn a_feed_that_was_made_anew_is_read_from_its_beginning_and_whoever_watched_is_told() {
    let (folder, feeds) = (tempfile::tempdir().expect("a directory"), Feeds::default());
    feeds.written().say_whole = true;
    write_days(&feeds, 1..6);
    let (view, following) = keep(folder.path(), &feeds, || 0);
    becomes("it is filled", || count(&view) == 5 && view.progress().is_complete());
    let (_, mut watch) = view.watch_from_here(Feed::Metrics).expect("readable");
    let before = view.origin(Feed::Metrics).expect("readable");
    following.stop();
    // As many records, of something else.
    *feeds.written() = Written { origin: "other".to_owned(), say_whole: true, ..Written::default() };
    write_days(&feeds, 11..16);
    let following = Following::start(Arc::clone(&view), Arc::new(feeds.clone()), || 0).expect("a thread");
    becomes("it has the new ones", || values(&view, &["nps"]) == [11.0, 12.0, 13.0, 14.0, 15.0]);
    assert_ne!(view.origin(Feed::Metrics).expect("readable"), before);
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    assert!(runtime.block_on(watch.next()).is_none(), "what comes is no continuation");
    following.stop();
}

type Waits = (mpsc::Sender<()>, mpsc::Receiver<()>);

/// The disk of a view, which fails or waits when a test wants it to.
struct Disturbed {
    disk: Box<dyn Disk>,
    fails: Arc<AtomicBool>,
    failed: Arc<AtomicUsize>,
    /// Says that it writes, and waits until it may.
    waits: Option<Mutex<Waits>>,
}

impl Disk for Disturbed {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, DiskError> {
        self.disk.get(key)
    }

    fn scan(&self, from: &[u8], to: &[u8], each: &mut Visit<'_>) -> Result<(), DiskError> {
        self.disk.scan(from, to, each)
    }

    fn apply(
        &mut self,
        entries: &mut dyn Iterator<Item = (&[u8], Option<&[u8]>)>,
        position: u64,
    ) -> Result<(), DiskError> {
        if let Some(waits) = &self.waits {
            let (writes, may) = &*waits.lock().expect("nobody panics with it");
            writes.send(()).expect("somebody listens");
            may.recv().expect("somebody lets it");
        }
        if self.fails.load(Ordering::Acquire) {
            self.failed.fetch_add(1, Ordering::AcqRel);
            let reason = std::io::ErrorKind::StorageFull.into();
            return Err(DiskError::Stop { action: "write", task: "view".to_owned(), reason });
        }
        self.disk.apply(entries, position)
    }

    fn position(&self) -> Option<u64> {
        self.disk.position()
    }

    fn wipe(&mut self) -> Result<(), DiskError> {
        self.disk.wipe()
    }

    fn bytes(&self) -> u64 {
        self.disk.bytes()
    }
}

/// Makes the next writes of a view fail, until it is opened again; how often that happened.
fn disturb(view: &View, waits: Option<Waits>) -> (Arc<AtomicBool>, Arc<AtomicUsize>) {
    let (fails, failed) = (Arc::new(AtomicBool::new(waits.is_none())), Arc::new(AtomicUsize::new(0)));
    let mut hand = view.shelf.hand();
    let hand = hand.as_mut().expect("it is open");
    let nothing: Box<dyn Disk> = Box::new(crate::engine::store::MemoryDisk::scratch());
    let disk = std::mem::replace(&mut hand.disk, nothing);
    hand.disk = Box::new(Disturbed {
        disk,
        fails: Arc::clone(&fails),
        failed: Arc::clone(&failed),
        waits: waits.map(Mutex::new),
    });
    (fails, failed)
}

#[test]
fn a_view_that_could_not_be_written_takes_nothing_more_until_it_can_be() {
    let folder = tempfile::tempdir().expect("a directory");
    let view = open(folder.path(), 0);
    let of_day = |day: u32| record(i64::from(day), &metric(day, "", 0.0).0, Some(metric(day, "", f64::from(day)).1));
    apply(&view, Feed::Metrics, vec![of_day(1)]);
    view.note_whole(1_000);
    view.flush().expect("a usable folder");
    apply(&view, Feed::Metrics, vec![of_day(2)]);
    let (_, failed) = disturb(&view, None);
    assert!(view.flush().is_err());
    assert_eq!((failed.load(Ordering::Acquire), view.progress().status()), (1, "stalled"));
    assert_eq!(values(&view, &["nps"]), [1.0, 2.0], "what it has it still shows");
    for _ in 0..10 {
        let refused = view.apply(vec![(Feed::Metrics, of_day(3))], 0);
        assert!(matches!(refused, Err(ViewError::Away)), "{refused:?}");
        assert!(matches!(view.flush(), Err(ViewError::Away)), "a batch over a broken one is not tried");
    }
    assert_eq!(view.positions(Feed::Metrics).expect("readable"), BTreeMap::from([(0, 3)]));
    view.reopen().expect("the disk is as it was");
    assert_eq!(values(&view, &["nps"]), [1.0], "as of the last batch that lasts");
    assert_eq!(view.positions(Feed::Metrics).expect("readable"), BTreeMap::from([(0, 2)]), "the rest is read again");
    assert_ne!(view.progress().status(), "stalled");
    assert!(view.progress().is_complete());
    apply(&view, Feed::Metrics, vec![of_day(2)]);
    view.flush().expect("it can be written");
}

#[test]
fn whoever_keeps_a_view_opens_it_again_when_it_could_not_be_written() {
    let (folder, feeds) = (tempfile::tempdir().expect("a directory"), Feeds::default());
    feeds.written().say_whole = true;
    write_days(&feeds, 1..4);
    let (view, following) = keep(folder.path(), &feeds, || 0);
    becomes("it is filled", || count(&view) == 3 && view.progress().is_complete());
    let (_, failed) = disturb(&view, None);
    // More than may wait for a flush.
    for number in 0..20 {
        feeds.write(Feed::Journeys, &number.to_string(), Some(json!({"of": "x".repeat(1 << 20)})));
    }
    becomes("it is written", || failed.load(Ordering::Acquire) == 1);
    let journeys = || {
        let page = view.list(&feed(Feed::Journeys), None, 1_000, &|_| true);
        let mut keys: BTreeSet<String> = BTreeSet::new();
        let mut page = page.ok();
        while let Some(found) = page {
            keys.extend(found.records.into_iter().filter_map(|kept| kept.key));
            let next = found.next.as_deref();
            page = next.and_then(|next| view.list(&feed(Feed::Journeys), Some(next), 1_000, &|_| true).ok());
        }
        keys.len()
    };
    becomes("it goes on", || journeys() == 20 && count(&view) == 3 && view.progress().status() == "current");
    following.stop();
}

#[test]
fn nobody_who_reads_waits_for_the_disk() {
    let folder = tempfile::tempdir().expect("a directory");
    let view = open(folder.path(), 0);
    let (key, value) = metric(1, "", 1.0);
    apply(&view, Feed::Metrics, vec![record(0, &key, Some(value))]);
    let (writes, is_writing) = mpsc::channel();
    let (let_it, may) = mpsc::channel();
    disturb(&view, Some((writes, may)));
    std::thread::scope(|scope| {
        let flush = scope.spawn(|| view.flush());
        is_writing.recv_timeout(WITHIN).expect("it writes");
        let (read, has_read) = mpsc::channel();
        let reading = scope.spawn({
            let view = &view;
            move || read.send(values(view, &["nps"])).expect("somebody listens")
        });
        let read = has_read.recv_timeout(Duration::from_secs(5));
        let_it.send(()).expect("it waits");
        assert_eq!(read.ok(), Some(vec![1.0]), "it waits for the disk");
        reading.join().expect("it does not panic");
        flush.join().expect("it does not panic").expect("a usable folder");
    });
    assert_eq!(values(&view, &["nps"]), [1.0]);
}

#[test]
fn what_is_too_old_goes_although_nothing_comes() {
    static NOW_MS: AtomicI64 = AtomicI64::new(1_000);
    let now_ms: fn() -> i64 = || NOW_MS.load(Ordering::Acquire);
    let (folder, feeds) = (tempfile::tempdir().expect("a directory"), Feeds::default());
    feeds.written().say_whole = true;
    // More than one step takes out.
    for number in 0..1_200 {
        feeds.write(Feed::IdentityJournal, "ann", Some(json!({"one": {"id": "ann"}, "number": number})));
    }
    let (view, following) = keep(folder.path(), &feeds, now_ms);
    let journal = || view.list(&Index::Journal.by(&["ann"]), None, 10, &|_| true).expect("readable").records.len();
    becomes("it is filled", || journal() == 10 && view.progress().is_complete());
    following.stop();
    NOW_MS.fetch_add(14 * DAY_MS + 2_000, Ordering::AcqRel);
    view.note_whole(now_ms());
    let following = Following::start(Arc::clone(&view), Arc::new(feeds.clone()), now_ms).expect("a thread");
    becomes("it is gone", || {
        let kept = view.list(&feed(Feed::IdentityJournal), None, 10, &|_| true).expect("readable").records;
        kept.is_empty() && journal() == 0
    });
    following.stop();
}

#[test]
fn a_view_that_hears_nothing_for_half_a_minute_says_so() {
    let progress = Progress::default();
    progress.note_complete(true);
    progress.note_behind(0);
    let now = Instant::now();
    assert_eq!(progress.status_at(now), "current");
    assert_eq!(progress.status_at(now + Duration::from_secs(40)), "stalled");
    progress.note_written(false);
    assert_eq!(progress.status_at(now), "stalled");
}

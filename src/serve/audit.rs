//! Who is about to see personal data in; an entry on `insight.audit` that lasts out, or a refusal: nothing is shown unnoted.
//!
//! One thread writes, and makes all entries that wait last together.

use std::{
    sync::{
        Arc, OnceLock,
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread::JoinHandle,
};

use sha2::{Digest as _, Sha256};
use tokio::sync::oneshot;

use crate::{
    engine::log::{
        LogError,
        outside::{SpokeAppend, SpokeRecord},
    },
    feeds::{Audit, AuditEntry, CE_ID, CE_SUBJECT, Encoder, FeedFormat, event_id},
    model::EventTime,
};

/// Entries that may wait; more are refused.
const WAITING_MAX: usize = 1_024;
/// Entries that are made to last together.
const BATCH_MAX: usize = 500;

/// A way to the topic, wherever it is.
pub trait AuditTrail: Send + Sync {
    /// The name of the topic.
    fn topic(&self) -> String;

    /// What a hub is called in `ce_source`.
    fn source(&self) -> String;

    /// Opens a way to it.
    ///
    /// # Errors
    /// As [`SpokeAppend::send_record`].
    fn open(&self) -> Result<Box<dyn SpokeAppend>, LogError>;
}

/// It could not be noted, so it may not be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the access could not be noted")]
pub struct Unnoted;

/// What stands for a command's id that somebody gave, who may have written anything in it: `given-` and the first 32 digits of
/// `printf %s ID | sha256sum`.
pub fn given(id: &str) -> String {
    let digits: String = Sha256::digest(id).iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("given-{digits}")
}

type Entry = (AuditEntry, oneshot::Sender<Result<(), Unnoted>>);

/// Where entries are handed over. Clones share it.
#[derive(Clone)]
pub struct AuditDesk {
    entries: SyncSender<Entry>,
    format: Arc<OnceLock<FeedFormat>>,
}

impl AuditDesk {
    /// Starts the thread that writes; it ends when every desk is dropped.
    ///
    /// # Errors
    /// If there is no room for a thread.
    pub fn start(trail: Arc<dyn AuditTrail>) -> std::io::Result<(AuditDesk, JoinHandle<()>)> {
        let (entries, waiting) = sync_channel(WAITING_MAX);
        let format = Arc::new(OnceLock::new());
        let known = Arc::clone(&format);
        let thread =
            std::thread::Builder::new().name("audit".into()).spawn(move || write(&*trail, &waiting, &known))?;
        Ok((AuditDesk { entries, format }, thread))
    }

    /// How entries are encoded, once the hub knows it: until then none can be noted.
    pub fn begin(&self, format: FeedFormat) {
        // The first one holds: it does not change while a hub runs.
        let _ = self.format.set(format);
    }

    /// Returns when the entry lasts.
    ///
    /// # Errors
    /// [`Unnoted`]: it may last or not.
    pub async fn note(&self, entry: AuditEntry) -> Result<(), Unnoted> {
        let (answer, answered) = oneshot::channel();
        match self.entries.try_send((entry, answer)) {
            Ok(()) => answered.await.unwrap_or(Err(Unnoted)),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => Err(Unnoted),
        }
    }
}

fn write(trail: &dyn AuditTrail, waiting: &Receiver<Entry>, format: &OnceLock<FeedFormat>) {
    let topic = trail.topic();
    let mut open: Option<(Box<dyn SpokeAppend>, Encoder<Audit>)> = None;
    let mut last = EventTime(i64::MIN);
    while let Ok(first) = waiting.recv() {
        let mut batch: Vec<Entry> = std::iter::once(first).chain(waiting.try_iter().take(BATCH_MAX - 1)).collect();
        for (entry, _) in &mut batch {
            // Two entries of one millisecond would be one key.
            entry.at = EventTime(entry.at.0.max(last.0.saturating_add(1)));
            last = entry.at;
        }
        let written = match format.get() {
            Some(format) => write_batch(trail, &topic, *format, &mut open, &batch),
            None => Err(LogError::Stop("the hub has not begun".to_owned())),
        };
        if let Err(error) = &written {
            tracing::error!("accesses to personal data cannot be noted and are refused: {error}");
            // A writer that failed may go on failing.
            open = None;
        }
        for (_, answer) in batch {
            // Who asked may have gone.
            let _ = answer.send(written.as_ref().map(|_| ()).map_err(|_| Unnoted));
        }
    }
}

fn write_batch(
    trail: &dyn AuditTrail,
    topic: &str,
    format: FeedFormat,
    open: &mut Option<(Box<dyn SpokeAppend>, Encoder<Audit>)>,
    batch: &[Entry],
) -> Result<(), LogError> {
    let (log, encoder) = match open {
        Some(open) => open,
        None => open.insert((trail.open()?, Encoder::new(format, &trail.source()))),
    };
    for (entry, _) in batch {
        let key = entry.key();
        let value = encoder.encode(entry).to_vec();
        let id = event_id(key.as_bytes(), entry.at.0.unsigned_abs(), Some(&value));
        let of_feed = encoder.feed_headers().iter().map(|(name, value)| (*name, value.as_ref()));
        let headers: Vec<(&str, &[u8])> = of_feed.chain([(CE_ID, &id[..]), (CE_SUBJECT, key.as_bytes())]).collect();
        log.send_record(&SpokeRecord {
            topic,
            key: Some(key.as_bytes()),
            payload: Some(&value),
            timestamp_ms: entry.at.0,
            headers: &headers,
        })?;
    }
    log.flush()
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    };

    use super::*;
    use crate::{
        feeds::{Feed, Reader},
        model::EventTime,
    };

    /// Keys and values that last.
    type Kept = Arc<Mutex<Vec<(Vec<u8>, Vec<u8>)>>>;

    #[derive(Default)]
    struct Trail {
        kept: Kept,
        fails: Arc<AtomicBool>,
    }

    struct Log {
        kept: Kept,
        fails: Arc<AtomicBool>,
        sent: Vec<(Vec<u8>, Vec<u8>)>,
    }

    impl AuditTrail for Trail {
        fn topic(&self) -> String {
            "insight.audit".to_owned()
        }

        fn source(&self) -> String {
            "hub".to_owned()
        }

        fn open(&self) -> Result<Box<dyn SpokeAppend>, LogError> {
            Ok(Box::new(Log { kept: self.kept.clone(), fails: self.fails.clone(), sent: Vec::new() }))
        }
    }

    impl SpokeAppend for Log {
        fn send_record(&mut self, record: &SpokeRecord<'_>) -> Result<(), LogError> {
            let bytes = |bytes: Option<&[u8]>| bytes.unwrap_or_default().to_vec();
            self.sent.push((bytes(record.key), bytes(record.payload)));
            Ok(())
        }

        fn flush(&mut self) -> Result<(), LogError> {
            if self.fails.load(Ordering::Acquire) {
                return Err(LogError::Stop("the disk is full".to_owned()));
            }
            self.kept.lock().expect("nobody panics").append(&mut self.sent);
            Ok(())
        }
    }

    fn entry() -> AuditEntry {
        AuditEntry {
            actor: "0123456789abcdef".to_owned(),
            at: EventTime(1_769_850_000_000),
            action: "read",
            operation: "get_customer",
            feed: None,
            person: None,
            command: None,
            records: 1,
        }
    }

    #[test]
    fn an_id_that_somebody_gave_is_told_by_its_hash() {
        // As coreutils say.
        assert_eq!(given("mine"), "given-3fd30542fe3f61b14bd4a4b2dc0b6fb3");
    }

    #[test]
    fn an_entry_lasts_before_anything_is_shown_and_what_cannot_be_noted_is_not_shown() {
        let trail = Arc::new(Trail::default());
        let (kept, fails) = (trail.kept.clone(), trail.fails.clone());
        let (desk, thread) = AuditDesk::start(trail).expect("a thread");
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let note = || runtime.block_on(desk.note(entry()));
        assert_eq!(note(), Err(Unnoted), "the hub has not begun");
        desk.begin(FeedFormat::Json);
        assert_eq!(note(), Ok(()));
        {
            let kept = kept.lock().expect("nobody panics");
            // The attempt before was at the same time.
            assert_eq!(String::from_utf8_lossy(&kept[0].0), "0123456789abcdef|2026-01-31T09:00:00.001Z");
            let value = Reader::new(Feed::Audit).read(&kept[0].1).expect("of the feed");
            assert_eq!((&value["actor"], &value["operation"]), (&"0123456789abcdef".into(), &"get_customer".into()));
        }
        fails.store(true, Ordering::Release);
        assert_eq!(note(), Err(Unnoted));
        fails.store(false, Ordering::Release);
        assert_eq!(note(), Ok(()), "it is opened again");
        {
            let kept = kept.lock().expect("nobody panics");
            assert!(kept.len() == 2 && kept[0].0 != kept[1].0, "entries of one millisecond are two");
        }
        drop(desk);
        thread.join().expect("it ends");
    }
}

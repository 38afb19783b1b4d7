//! Batches of records in; stored ones out, or why not: for departments without a Kafka client, and for operators' commands.
//!
//! One thread writes, and makes all batches that wait last together: one sync of the disk, or one round to the brokers, for many.
//! What may wait is bounded in bytes: whoever finds no room comes again later.

use std::{
    ops::Range,
    sync::{
        Arc, OnceLock,
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::room::{Room, Rooms};
use crate::{
    engine::log::{
        LogError,
        outside::{SpokeAppend, SpokeRecord},
    },
    ingest::LiveSpokes,
    model::CommandRecord,
    telemetry::{Event, Telemetry},
};

/// Batches that may wait; more are refused.
const WAITING_MAX: usize = 1_024;
/// Batches that are made to last together.
const TOGETHER_MAX: usize = 256;
/// Within how long after a failure batches are tried one by one: brokers that do not answer do not answer for each of them.
const APART_WITHIN: Duration = Duration::from_secs(5);
/// Bytes of commands that may wait, whatever else does: a few of the longest.
const COMMANDS_BYTES_MAX: u32 = 8 << 20;

/// A way to departments' topics and to operators' commands, wherever they are.
pub trait Door: Send + Sync {
    /// The topic of operators' commands.
    fn commands_topic(&self) -> String;

    /// Opens a way to them. Records of one key stay in order.
    ///
    /// # Errors
    /// As [`SpokeAppend::send_record`].
    fn open(&self) -> Result<Box<dyn SpokeAppend>, LogError>;
}

/// Why a batch is not stored, as far as anybody knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unwritten {
    /// Nothing of it is: too much waits already.
    #[error("too much waits to be stored")]
    Full,
    /// It may be, or a part of it.
    #[error("it could not be stored")]
    Failed,
}

/// Records of one topic.
pub struct Batch {
    /// Which topic.
    pub topic: String,
    /// Their timestamp in milliseconds since 1970-01-01T00:00:00Z.
    pub timestamp_ms: i64,
    /// What the records' values are parts of.
    pub bytes: Vec<u8>,
    /// Key and value of each, in order.
    pub records: Vec<(Option<Vec<u8>>, Range<usize>)>,
}

struct Waiting {
    batch: Batch,
    room: Room,
    answer: oneshot::Sender<Result<(), Unwritten>>,
}

impl Waiting {
    /// Tells what came of it, to whoever may have gone. Whoever hears it finds room again.
    fn tell(self, written: Result<(), Unwritten>) {
        let Waiting { batch, room, answer } = self;
        drop((batch, room));
        let _ = answer.send(written);
    }
}

/// Where batches are handed over. Clones share it.
#[derive(Clone)]
pub struct WritingDesk {
    batches: SyncSender<Waiting>,
    rooms: Rooms,
    room_of_commands: Rooms,
    spokes: Arc<OnceLock<Arc<LiveSpokes>>>,
    commands: Arc<str>,
}

impl WritingDesk {
    /// Starts the thread that writes; it ends when every desk is dropped. `rooms`: for what may wait.
    ///
    /// # Errors
    /// If there is no room for a thread.
    pub fn start(
        door: Arc<dyn Door>,
        telemetry: Telemetry,
        rooms: Rooms,
    ) -> std::io::Result<(WritingDesk, JoinHandle<()>)> {
        let (batches, waiting) = sync_channel(WAITING_MAX);
        let commands = door.commands_topic().into();
        let thread =
            std::thread::Builder::new().name("writing".into()).spawn(move || write(&*door, &telemetry, &waiting))?;
        let room_of_commands = Rooms::new(COMMANDS_BYTES_MAX, COMMANDS_BYTES_MAX);
        Ok((WritingDesk { batches, rooms, room_of_commands, spokes: Arc::default(), commands }, thread))
    }

    /// The topics are there, and records are mapped by these: until then nothing is taken.
    pub fn begin(&self, spokes: Arc<LiveSpokes>) {
        // The first ones hold: a reload changes what is in them.
        let _ = self.spokes.set(spokes);
    }

    /// The departments, once the hub has begun.
    pub fn spokes(&self) -> Option<Arc<LiveSpokes>> {
        self.spokes.get().cloned()
    }

    /// Room for so many bytes of a caller.
    ///
    /// # Errors
    /// [`Unwritten::Full`] if there is none now, or the caller has its share.
    pub fn room(&self, caller: &str, bytes: usize) -> Result<Room, Unwritten> {
        self.rooms.take(caller, bytes).ok_or(Unwritten::Full)
    }

    /// Returns when a command lasts. Departments that send much do not hold it up.
    ///
    /// # Errors
    /// [`Unwritten`].
    pub async fn order(&self, command: &CommandRecord, now_ms: i64) -> Result<(), Unwritten> {
        let bytes = command.encode();
        let room = self.room_of_commands.take("", bytes.len()).ok_or(Unwritten::Full)?;
        let records = vec![(Some(command.id.clone().into_bytes()), 0..bytes.len())];
        self.write(Batch { topic: self.commands.to_string(), timestamp_ms: now_ms, bytes, records }, room).await
    }

    /// Returns when the batch lasts. Its room is given up then, also if nobody waits any more.
    ///
    /// # Errors
    /// [`Unwritten`].
    pub async fn write(&self, batch: Batch, room: Room) -> Result<(), Unwritten> {
        let (answer, answered) = oneshot::channel();
        match self.batches.try_send(Waiting { batch, room, answer }) {
            Ok(()) => answered.await.unwrap_or(Err(Unwritten::Failed)),
            Err(TrySendError::Full(_)) => Err(Unwritten::Full),
            Err(TrySendError::Disconnected(_)) => Err(Unwritten::Failed),
        }
    }
}

fn write(door: &dyn Door, telemetry: &Telemetry, waiting: &Receiver<Waiting>) {
    let mut open: Option<Box<dyn SpokeAppend>> = None;
    while let Ok(first) = waiting.recv() {
        let together: Vec<Waiting> = std::iter::once(first).chain(waiting.try_iter().take(TOGETHER_MAX - 1)).collect();
        let began = Instant::now();
        let mut written = write_and_tell(door, telemetry, &mut open, &together);
        // One department's topic must not fail the others.
        if written.is_err() && together.len() > 1 && began.elapsed() < APART_WITHIN {
            for one in together {
                // Whoever does not wait any more sends it again.
                if began.elapsed() < APART_WITHIN && !one.answer.is_closed() {
                    written = write_and_tell(door, telemetry, &mut open, std::slice::from_ref(&one));
                } else {
                    written = Err(Unwritten::Failed);
                }
                one.tell(written);
            }
            continue;
        }
        together.into_iter().for_each(|one| one.tell(written));
    }
}

fn write_and_tell(
    door: &dyn Door,
    telemetry: &Telemetry,
    open: &mut Option<Box<dyn SpokeAppend>>,
    together: &[Waiting],
) -> Result<(), Unwritten> {
    let began = Instant::now();
    let written = write_together(door, open, together);
    written.map(|()| telemetry.emit(Event::ApiStored { elapsed: began.elapsed() })).map_err(|error| {
        tracing::error!("what came over the API cannot be stored and is refused: {error}");
        // A writer that failed may go on failing, and holds what it could not store.
        *open = None;
        Unwritten::Failed
    })
}

fn write_together(
    door: &dyn Door,
    open: &mut Option<Box<dyn SpokeAppend>>,
    together: &[Waiting],
) -> Result<(), LogError> {
    let log = match open {
        Some(open) => open,
        None => open.insert(door.open()?),
    };
    for Waiting { batch: Batch { topic, timestamp_ms, bytes, records }, .. } in together {
        for (key, payload) in records {
            log.send_record(&SpokeRecord {
                topic,
                key: key.as_deref(),
                payload: bytes.get(payload.clone()),
                timestamp_ms: *timestamp_ms,
                headers: &[],
            })?;
        }
    }
    log.flush()
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    };

    use super::*;

    #[derive(Clone, Default)]
    struct Place {
        kept: Arc<Mutex<Vec<(Option<Vec<u8>>, Vec<u8>)>>>,
        opened: Arc<AtomicUsize>,
        flushed: Arc<AtomicUsize>,
        fails: Arc<AtomicBool>,
        /// While it is locked nothing is flushed.
        gate: Arc<Mutex<()>>,
    }

    struct Log {
        place: Place,
        sent: Vec<(Option<Vec<u8>>, Vec<u8>)>,
    }

    impl Door for Place {
        fn commands_topic(&self) -> String {
            "insight.commands".to_owned()
        }

        fn open(&self) -> Result<Box<dyn SpokeAppend>, LogError> {
            self.opened.fetch_add(1, Ordering::AcqRel);
            Ok(Box::new(Log { place: self.clone(), sent: Vec::new() }))
        }
    }

    impl SpokeAppend for Log {
        fn send_record(&mut self, record: &SpokeRecord<'_>) -> Result<(), LogError> {
            self.sent.push((record.key.map(<[u8]>::to_vec), record.payload.unwrap_or_default().to_vec()));
            Ok(())
        }

        fn flush(&mut self) -> Result<(), LogError> {
            let _open = self.place.gate.lock().expect("nobody panics");
            let is_bad = |(_, value): &(Option<Vec<u8>>, Vec<u8>)| value == b"bad";
            if self.place.fails.load(Ordering::Acquire) || self.sent.iter().any(is_bad) {
                return Err(LogError::Stop("the disk is full".to_owned()));
            }
            self.place.flushed.fetch_add(1, Ordering::AcqRel);
            self.place.kept.lock().expect("nobody panics").append(&mut self.sent);
            Ok(())
        }
    }

    fn batch(text: &str) -> Batch {
        let records = vec![(Some(b"key".to_vec()), 0..text.len())];
        Batch { topic: "shop.events".to_owned(), timestamp_ms: 1, bytes: text.as_bytes().to_vec(), records }
    }

    #[test]
    fn a_batch_lasts_when_it_is_answered_and_a_failure_is_of_those_that_were_written_with_it() {
        let place = Place::default();
        let (desk, thread) =
            WritingDesk::start(Arc::new(place.clone()), Telemetry::new(), Rooms::new(100, 100)).expect("a thread");
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let write = |text: &str| runtime.block_on(desk.write(batch(text), desk.room("a", 10).expect("there is room")));
        assert_eq!(write("one"), Ok(()));
        assert_eq!(*place.kept.lock().expect("nobody panics"), [(Some(b"key".to_vec()), b"one".to_vec())]);
        place.fails.store(true, Ordering::Release);
        assert_eq!(write("two"), Err(Unwritten::Failed));
        place.fails.store(false, Ordering::Release);
        assert_eq!(write("three"), Ok(()), "it is opened again");
        assert_eq!(place.opened.load(Ordering::Acquire), 2);
        let kept: Vec<Vec<u8>> = place.kept.lock().expect("nobody panics").iter().map(|(_, it)| it.clone()).collect();
        assert_eq!(kept, [b"one".to_vec(), b"three".to_vec()], "what failed is not stored behind its answer's back");
        drop(desk);
        thread.join().expect("it ends");
    }

    #[test]
    fn what_cannot_be_stored_does_not_take_others_with_it() {
        let place = Place::default();
        let (desk, thread) =
            WritingDesk::start(Arc::new(place.clone()), Telemetry::new(), Rooms::new(100, 100)).expect("a thread");
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().expect("a runtime");
        let closed = place.gate.lock().expect("nobody panics");
        let waiting: Vec<_> = ["first", "one", "bad", "other"]
            .map(|text| {
                let (desk, room) = (desk.clone(), desk.room("a", 10).expect("there is room"));
                runtime.spawn(async move { desk.write(batch(text), room).await })
            })
            .into();
        std::thread::sleep(Duration::from_millis(50));
        drop(closed);
        let written: Vec<_> =
            waiting.into_iter().map(|one| runtime.block_on(one).expect("it does not panic")).collect();
        assert_eq!(written, [Ok(()), Ok(()), Err(Unwritten::Failed), Ok(())]);
        drop(desk);
        thread.join().expect("it ends");
        let kept: Vec<Vec<u8>> = place.kept.lock().expect("nobody panics").iter().map(|(_, it)| it.clone()).collect();
        assert!(!kept.contains(&b"bad".to_vec()) && kept.len() == 3, "{kept:?}");
    }

    #[test]
    fn what_waits_is_bounded_and_stored_together() {
        let place = Place::default();
        let (desk, thread) =
            WritingDesk::start(Arc::new(place.clone()), Telemetry::new(), Rooms::new(100, 100)).expect("a thread");
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().expect("a runtime");
        assert!(desk.room("a", 101).is_err(), "more than all the room");
        let closed = place.gate.lock().expect("nobody panics");
        let waiting: Vec<_> = (0..10)
            .map(|number: usize| {
                let (desk, room) = (desk.clone(), desk.room("a", 10).expect("there is room for ten"));
                runtime.spawn(async move { desk.write(batch(&number.to_string()), room).await })
            })
            .collect();
        assert_eq!(desk.room("a", 1).err(), Some(Unwritten::Full));
        drop(closed);
        for one in waiting {
            assert_eq!(runtime.block_on(one).expect("it does not panic"), Ok(()));
        }
        assert_eq!(place.kept.lock().expect("nobody panics").len(), 10);
        // The first may have been alone; the scheduler may have held one back.
        assert!(place.flushed.load(Ordering::Acquire) < 10, "several are stored together");
        assert!(desk.room("a", 100).is_ok(), "all of the room is free again");
        drop(desk);
        thread.join().expect("it ends");
    }
}

//! The customers stage under a rebuild: kept touchpoints in; heads, records and contributions of a new generation out.
//!
//! Person by person, in the order of the store; who is next lies in the store. Nothing is taken back: whoever receives
//! contributions drops those of other generations. In the end every receiver is told that all of it was sent, and every
//! customers partition hears how far event time is, to the millisecond: in another time zone that may be another day. Once
//! all have spoken, records are as of the same day everywhere.

use super::{CustomersStage, Sending, StoreView, stop};
use crate::{
    engine::{
        generation::{self, Generation},
        log::LogError,
        stage::{Migrated, Outputs, StageError},
        store::Store,
    },
    model::{EventTime, PersonId},
    topology::messages::{self, Batch, Header},
};

/// With which person to go on.
const NEXT_KEY: &[u8] = b"\x01refold";

/// Which partitions have said how far event time is (4 bytes each); absent once all have.
const HEARD_KEY: &[u8] = b"\x01refold-heard";

/// Touchpoints that one transaction refolds, about; one person is never split.
const TOUCHPOINTS_PER_COMMIT: u64 = 5_000;

/// The partitions that were heard of in a rebuild: a cache of the store's entry.
#[derive(Debug, Default)]
pub(super) struct Rebuilding(
    /// `None` until it was read from the store, then `None` if there is no such entry.
    Option<Option<Vec<u8>>>,
);

impl Rebuilding {
    pub(super) fn load(&mut self, store: &Store) -> Result<(), StageError> {
        if self.0.is_none() {
            let stored = store.get(HEARD_KEY).map_err(|error| StageError::Stop(error.to_string()))?;
            self.0 = Some(stored.map(|heard| heard.to_vec()));
        }
        Ok(())
    }

    /// Whether nobody is waited for.
    pub(super) fn is_over(&self) -> bool {
        self.0 == Some(None)
    }

    fn begin(&mut self, store: &mut Store) {
        store.put(HEARD_KEY, &[]);
        self.0 = Some(Some(Vec::new()));
    }

    pub(super) fn hear(
        &mut self,
        header: &Header,
        mine: Option<Generation>,
        partitions: i32,
        store: &mut Store,
    ) -> Result<(), StageError> {
        if !header.refolded {
            return Ok(());
        }
        if header.generation != mine {
            let is_newer = header.generation.is_some_and(|it| mine.is_none_or(|mine| it.epoch > mine.epoch));
            // Whoever goes on with the rebuild has to hear it: to pass it over would leave that waiting for ever.
            return if is_newer { Err(generation::unfinished()) } else { Ok(()) };
        }
        self.load(store)?;
        let Some(Some(heard)) = &mut self.0 else {
            return Ok(());
        };
        let source = header.source.to_be_bytes();
        if !heard.chunks(4).any(|known| known == source) {
            heard.extend_from_slice(&source);
            store.put(HEARD_KEY, heard);
        }
        if heard.len() / 4 >= usize::try_from(partitions).unwrap_or(0) {
            store.delete(HEARD_KEY);
            self.0 = Some(None);
        }
        Ok(())
    }
}

impl CustomersStage {
    pub(super) fn refold_some(
        &mut self,
        target: Generation,
        first: bool,
        store: &mut Store,
        outputs: &mut dyn Outputs,
    ) -> Result<Migrated, StageError> {
        self.publisher.generation = Some(target);
        // Records of another rebuild are other events, whatever they say.
        self.publisher.sequence.is(u64::MAX - u64::from(target.epoch));
        let as_of = self.times(store)?.as_of;
        let from = if first {
            self.customers.begin_refold(as_of.map(|at| self.calendar.day(at)));
            self.rebuilding.begin(store);
            None
        } else {
            next_person(store)?
        };
        let mut sending = Sending { publisher: &mut self.publisher, outputs: &mut *outputs, failure: None };
        self.customers.tell_alerts(false);
        let part = self.customers.refold(from, TOUCHPOINTS_PER_COMMIT, &mut StoreView(store)).map_err(stop)?;
        self.customers.before_commit(&mut StoreView(store), &mut sending).map_err(stop)?;
        sending.finish()?;
        match part.next {
            Some(person) => store.put(NEXT_KEY, &person.0),
            None => store.delete(NEXT_KEY),
        }
        self.send_refolded(as_of, part.next.is_none(), outputs)?;
        Ok(Migrated { more: part.next.is_some(), entries: part.touchpoints })
    }

    fn send_refolded(
        &mut self,
        as_of: Option<EventTime>,
        all: bool,
        outputs: &mut dyn Outputs,
    ) -> Result<(), LogError> {
        let publisher = &mut self.publisher;
        let timeless = Header::timeless(publisher.arrived, publisher.generation);
        let header = match all {
            false => timeless,
            true => Header {
                as_of,
                source: self.input.partition.unsigned_abs(),
                watermark: self.times.as_ref().and_then(|times| times.watermarks.lowest()),
                refolded: true,
                ..timeless
            },
        };
        for index in 0..publisher.batches.len() {
            if all || !publisher.batches[index].is_empty() {
                publisher.send_batch(index, &header, outputs)?;
            }
        }
        if !all {
            return Ok(());
        }
        Batch::default().take(&Header { watermark: None, ..header }, &mut publisher.record);
        let topic = publisher.map.customers_repartition;
        messages::send_to_all(outputs, topic, publisher.customers_partitions, &publisher.record)
    }
}

fn next_person(store: &Store) -> Result<Option<PersonId>, StageError> {
    let unreadable = || StageError::Stop("how far the rebuild is cannot be read from the store".into());
    match store.get(NEXT_KEY).map_err(|error| StageError::Stop(error.to_string()))? {
        None => Ok(None),
        Some(bytes) => Ok(Some(PersonId(bytes.as_ref().try_into().map_err(|_| unreadable())?))),
    }
}

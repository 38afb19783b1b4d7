//! What homes, persons and links tell each other.
//!
//! ```text
//! record to customers = form(4) · postcard(Header) · move*
//! move   = 1 · person(16) · home(16) · count(u32 LE) · (content hash(16 LE) · length(u32 LE) · touchpoint)*     Put
//!        | 2 · person(16) · home(16)                                                                           Drop
//!        | 3 · home(16) · person(16) · version(u64 LE)                                                         Assign
//!        | 4 · home(16)                                                                                        More
//!        | 5 · home(16) · count(u32 LE) · (name(16) · erased until(i64 LE))*                                   Erased
//!        | 6 · alert(16) · number(u64 LE) · at(i64 LE) · count(u32 LE) · by                                    Acknowledged
//!
//! record to links = form(5) · postcard(Header) · postcard(ToLinks)*
//! ```
//! People, homes and erased identifiers are named by the keyed hash of their identifier. Golden file of both:
//! `tests/fixtures/moves_v1.hex`.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::{Header, Unreadable};
use crate::{
    customers::Item,
    model::{Acknowledgement, AlertId, EventTime, Identifier, IdentifierType, PersonId},
};

/// The first byte of a batch of moves.
pub const VERSION_MOVES: u8 = 4;
/// The first byte of a batch to links.
pub const VERSION_TO_LINKS: u8 = 5;

/// Told to a task of customers.
#[derive(Clone, Debug)]
pub enum Move<'a> {
    /// Touchpoints of a home for a person.
    Put {
        /// Whose timeline.
        person: PersonId,
        /// Where they are kept.
        home: PersonId,
        /// The touchpoints.
        items: Vec<Item<'a>>,
    },
    /// Everything of a home leaves a person.
    Drop {
        /// Whose timeline.
        person: PersonId,
        /// What leaves it.
        home: PersonId,
    },
    /// A home's touchpoints belong to a person from now on.
    Assign {
        /// Which home.
        home: PersonId,
        /// To whom they belong.
        person: PersonId,
        /// Larger than that of every assignment before.
        version: u64,
    },
    /// A home has more to move.
    More {
        /// Which.
        home: PersonId,
    },
    /// Identifiers were erased.
    Erased {
        /// Who is told.
        home: PersonId,
        /// Which, and until when.
        what: Vec<(PersonId, EventTime)>,
    },
    /// An operator has seen an alert, of whichever person: told to every task.
    Acknowledged {
        /// Which.
        alert: AlertId,
        /// Who, and when.
        acknowledgement: Acknowledgement,
    },
}

/// An identifier in a command.
pub type Name = (IdentifierType, PersonId);

/// What an operator orders. Identifiers are named by their keyed hashes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order<'a> {
    /// The two of each pair are one person.
    Link(Vec<(Name, Name)>),
    /// The two of each pair are never one.
    NeverLink(Vec<(Name, Name)>),
    /// Takes back the earlier command with this id.
    Undo(&'a str),
    /// The person of this identifier is erased.
    Erase(PersonId),
}

/// Told to links.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToLinks<'a> {
    /// Pairs of identifiers that a home saw.
    Pairs {
        /// The identifier of the home.
        #[serde(borrow)]
        home: Identifier<'a>,
        /// The stronger, the weaker, when they were seen together; both the same: it was seen.
        #[serde(borrow)]
        pairs: Vec<(Identifier<'a>, Identifier<'a>, EventTime)>,
    },
    /// An operator's command.
    Command {
        /// Its place in the command log.
        number: u64,
        /// Its id: the first of each counts.
        id: &'a str,
        /// What is ordered.
        #[serde(borrow)]
        order: Order<'a>,
        /// When.
        at: EventTime,
    },
    /// Pairs of identifiers, by name, that a home saw no more, or last at the time. See [`crate::links::Withdrawn`].
    Withdraw {
        /// Which home.
        home: PersonId,
        /// The stronger, the weaker, when what is left of their evidence saw them last.
        pairs: Vec<(PersonId, PersonId, Option<EventTime>)>,
    },
}

/// A batch of moves, or to links, that is being filled for one partition.
#[derive(Debug, Default)]
pub struct MoveBatch {
    entries: Vec<u8>,
    /// Timestamp of the oldest source record that anything in it follows from, in milliseconds.
    oldest_ms: Option<i64>,
}

impl MoveBatch {
    /// Whether it should go out.
    pub fn is_full(&self) -> bool {
        self.entries.len() >= super::BATCH_BYTES
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Empties it.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.oldest_ms = None;
    }

    /// Notes the timestamp of the source record that what is added follows from; 0 if it is not known.
    ///
    /// Of what the whole transaction took, the oldest would do as an answer only once: homes, persons and links tell each
    /// other things in circles, and with a little traffic what was old at the beginning would never leave them.
    pub fn follows_from(&mut self, timestamp_ms: i64) {
        if timestamp_ms > 0 {
            self.oldest_ms = Some(self.oldest_ms.map_or(timestamp_ms, |oldest| oldest.min(timestamp_ms)));
        }
    }

    fn count(&mut self, count: usize) {
        let count = u32::try_from(count).expect("what is sent at once is bounded far below 2³²");
        self.entries.extend_from_slice(&count.to_le_bytes());
    }

    /// Adds a [`Move::Put`].
    pub fn put(&mut self, person: PersonId, home: PersonId, items: &[Item<'_>]) {
        self.entries.push(1);
        self.entries.extend_from_slice(&person.0);
        self.entries.extend_from_slice(&home.0);
        self.count(items.len());
        for item in items {
            self.entries.extend_from_slice(&item.content_hash.to_le_bytes());
            self.count(item.encoded.len());
            self.entries.extend_from_slice(&item.encoded);
        }
    }

    /// Adds a [`Move::Drop`].
    pub fn drop_fragment(&mut self, person: PersonId, home: PersonId) {
        self.entries.push(2);
        self.entries.extend_from_slice(&person.0);
        self.entries.extend_from_slice(&home.0);
    }

    /// Adds a [`Move::Assign`].
    pub fn assign(&mut self, home: PersonId, person: PersonId, version: u64) {
        self.entries.push(3);
        self.entries.extend_from_slice(&home.0);
        self.entries.extend_from_slice(&person.0);
        self.entries.extend_from_slice(&version.to_le_bytes());
    }

    /// Adds a [`Move::More`].
    pub fn more(&mut self, home: PersonId) {
        self.entries.push(4);
        self.entries.extend_from_slice(&home.0);
    }

    /// Adds a [`Move::Erased`].
    pub fn erased(&mut self, home: PersonId, what: &[(PersonId, EventTime)]) {
        self.entries.push(5);
        self.entries.extend_from_slice(&home.0);
        self.count(what.len());
        for (name, at) in what {
            self.entries.extend_from_slice(&name.0);
            self.entries.extend_from_slice(&at.0.to_le_bytes());
        }
    }

    /// Adds a [`Move::Acknowledged`].
    pub fn acknowledged(&mut self, alert: AlertId, acknowledgement: &Acknowledgement) {
        self.entries.push(6);
        self.entries.extend_from_slice(&alert.0);
        self.entries.extend_from_slice(&acknowledgement.number.to_le_bytes());
        self.entries.extend_from_slice(&acknowledgement.at.0.to_le_bytes());
        self.count(acknowledgement.by.len());
        self.entries.extend_from_slice(acknowledgement.by.as_bytes());
    }

    /// Adds what links is told.
    pub fn to_links(&mut self, told: &ToLinks<'_>) {
        postcard::to_io(told, &mut self.entries).expect("a vector takes every byte");
    }

    /// Writes the record into `record` and empties the batch. `form`: [`VERSION_MOVES`] or [`VERSION_TO_LINKS`]. Returns
    /// the timestamp of the oldest source record that it follows from.
    pub fn take(&mut self, form: u8, header: &Header, record: &mut Vec<u8>) -> Option<i64> {
        record.clear();
        record.push(form);
        postcard::to_io(header, &mut *record).expect("a vector takes every byte");
        record.extend_from_slice(&self.entries);
        let oldest_ms = self.oldest_ms;
        self.clear();
        oldest_ms
    }
}

/// Whether a record holds moves: what follows its header is read by [`next_move`].
pub fn is_moves(record: &[u8]) -> bool {
    record.first() == Some(&VERSION_MOVES)
}

/// The header of a batch of this form, and its entries still to be read.
pub fn open(form: u8, record: &[u8]) -> Result<(Header, &[u8]), Unreadable> {
    match record.split_first() {
        Some((&found, rest)) if found == form => postcard::take_from_bytes(rest).map_err(|_| Unreadable("header")),
        Some(_) => Err(Unreadable("version")),
        None => Err(Unreadable("empty")),
    }
}

fn take<'a, const N: usize>(entries: &mut &'a [u8], what: &'static str) -> Result<&'a [u8; N], Unreadable> {
    let (taken, rest) = entries.split_first_chunk::<N>().ok_or(Unreadable(what))?;
    *entries = rest;
    Ok(taken)
}

fn take_name(entries: &mut &[u8]) -> Result<PersonId, Unreadable> {
    Ok(PersonId(*take::<16>(entries, "name")?))
}

/// A count of what takes at least `each` bytes: more than are left are not believed.
fn take_count(entries: &mut &[u8], each: usize) -> Result<usize, Unreadable> {
    let count = u32::from_le_bytes(*take::<4>(entries, "count")?);
    let count = usize::try_from(count).map_err(|_| Unreadable("count"))?;
    if count > entries.len() / each { Err(Unreadable("count")) } else { Ok(count) }
}

/// The next move of a batch.
pub fn next_move<'a>(entries: &mut &'a [u8]) -> Result<Option<Move<'a>>, Unreadable> {
    let Some((&tag, rest)) = entries.split_first() else {
        return Ok(None);
    };
    *entries = rest;
    Ok(Some(match tag {
        1 => {
            let (person, home) = (take_name(entries)?, take_name(entries)?);
            let count = take_count(entries, 20)?;
            let mut items = Vec::with_capacity(count);
            for _ in 0..count {
                let content_hash = u128::from_le_bytes(*take::<16>(entries, "content hash")?);
                let length = take_count(entries, 1)?;
                let (encoded, rest) = entries.split_at_checked(length).ok_or(Unreadable("touchpoint"))?;
                *entries = rest;
                items.push(Item { content_hash, encoded: Cow::Borrowed(encoded) });
            }
            Move::Put { person, home, items }
        }
        2 => Move::Drop { person: take_name(entries)?, home: take_name(entries)? },
        3 => Move::Assign {
            home: take_name(entries)?,
            person: take_name(entries)?,
            version: u64::from_le_bytes(*take::<8>(entries, "version")?),
        },
        4 => Move::More { home: take_name(entries)? },
        5 => {
            let home = take_name(entries)?;
            let count = take_count(entries, 24)?;
            let mut what = Vec::with_capacity(count);
            for _ in 0..count {
                what.push((take_name(entries)?, EventTime(i64::from_le_bytes(*take::<8>(entries, "time")?))));
            }
            Move::Erased { home, what }
        }
        6 => {
            let alert = AlertId(*take::<16>(entries, "alert")?);
            let number = u64::from_le_bytes(*take::<8>(entries, "number")?);
            let at = EventTime(i64::from_le_bytes(*take::<8>(entries, "time")?));
            let length = take_count(entries, 1)?;
            let (by, rest) = entries.split_at_checked(length).ok_or(Unreadable("name"))?;
            *entries = rest;
            let by = std::str::from_utf8(by).map_err(|_| Unreadable("name"))?.to_owned();
            Move::Acknowledged { alert, acknowledgement: Acknowledgement { number, at, by } }
        }
        _ => return Err(Unreadable("move")),
    }))
}

/// The next thing that links is told.
pub fn next_to_links<'a>(entries: &mut &'a [u8]) -> Result<Option<ToLinks<'a>>, Unreadable> {
    if entries.is_empty() {
        return Ok(None);
    }
    let (told, rest) = postcard::take_from_bytes(entries).map_err(|_| Unreadable("pairs"))?;
    *entries = rest;
    Ok(Some(told))
}

#[cfg(test)]
mod tests {
    use expect_test::expect_file;

    use super::*;
    use crate::model::Day;

    fn name(byte: u8) -> PersonId {
        PersonId([byte; 16])
    }

    /// One of each, as the two records that hold them.
    fn records() -> [Vec<u8>; 2] {
        let header = Header { as_of: Some(EventTime(1_769_850_000_000)), ..Header::timeless(Day(20_484), None) };
        let (mut moves, mut to_links, mut records) = (MoveBatch::default(), MoveBatch::default(), [vec![], vec![]]);
        let item = |content_hash: u128, encoded: &'static [u8]| Item { content_hash, encoded: Cow::Borrowed(encoded) };
        moves.put(name(1), name(2), &[item(7, b"touchpoint"), item(u128::MAX, b"")]);
        moves.drop_fragment(name(1), name(2));
        moves.assign(name(2), name(1), 258);
        moves.more(name(2));
        moves.erased(name(2), &[(name(3), EventTime(-1)), (name(4), EventTime(1_769_850_000_000))]);
        let acknowledgement = Acknowledgement { number: 300, at: EventTime(9), by: "mo".into() };
        moves.acknowledged(AlertId([6; 16]), &acknowledgement);
        moves.take(VERSION_MOVES, &header, &mut records[0]);
        let ann = Identifier { kind: IdentifierType::CustomerId, value: "4711" };
        let address = Identifier { kind: IdentifierType::Email, value: "ann@example.org" };
        to_links.to_links(&ToLinks::Pairs {
            home: ann,
            pairs: vec![(ann, address, EventTime(5)), (ann, ann, EventTime(5))],
        });
        let pair = ((IdentifierType::Email, name(3)), (IdentifierType::Phone, name(4)));
        for (id, order) in [
            ("c1", Order::Link(vec![pair])),
            ("c2", Order::NeverLink(vec![pair])),
            ("c3", Order::Undo("c1")),
            ("c4", Order::Erase(name(3))),
        ] {
            to_links.to_links(&ToLinks::Command { number: 300, id, order, at: EventTime(9) });
        }
        let pairs = vec![(name(2), name(3), None), (name(2), name(2), Some(EventTime(4)))];
        to_links.to_links(&ToLinks::Withdraw { home: name(2), pairs });
        to_links.take(VERSION_TO_LINKS, &header, &mut records[1]);
        records
    }

    #[test]
    fn moves_travel_in_the_form_of_the_golden_file_and_are_read_as_written() {
        let [moves, to_links] = records();
        let lines = |record: &[u8]| -> String {
            let digits = |line: &[u8]| line.iter().map(|byte| format!("{byte:02x}")).collect::<String>() + "\n";
            record.chunks(40).map(digits).collect()
        };
        expect_file![concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/moves_v1.hex")].assert_eq(&format!(
            "{}\n{}",
            lines(&moves),
            lines(&to_links)
        ));
        assert!(is_moves(&moves) && !is_moves(&to_links));
        let (_, mut entries) = open(VERSION_MOVES, &moves).expect("the form that was written");
        let mut read = Vec::new();
        while let Some(next) = next_move(&mut entries).expect("readable") {
            read.push(format!("{next:?}"));
        }
        assert_eq!(read.len(), 6);
        assert!(read[0].contains("content_hash: 7") && read[2].contains("version: 258"), "{read:?}");
        assert!(read[5].contains("number: 300") && read[5].contains("\"mo\""), "{read:?}");
        let (_, mut entries) = open(VERSION_TO_LINKS, &to_links).expect("the form that was written");
        let mut told = 0;
        while next_to_links(&mut entries).expect("readable").is_some() {
            told += 1;
        }
        assert_eq!(told, 6);
    }

    #[test]
    fn what_is_cut_off_is_no_move_and_takes_no_memory() {
        let [moves, _] = records();
        let (_, entries) = open(VERSION_MOVES, &moves).expect("the form that was written");
        for length in 0..entries.len() {
            let mut cut = &entries[..length];
            let mut read = 0;
            let failed = loop {
                match next_move(&mut cut) {
                    Ok(Some(_)) => read += 1,
                    Ok(None) => break false,
                    Err(_) => break true,
                }
            };
            assert!(failed || read < 6, "{length} bytes are not all of it");
        }
        let mut huge = [&[1_u8][..], &[0; 32], &u32::MAX.to_le_bytes()].concat();
        huge.extend_from_slice(&[0; 40]);
        assert!(next_move(&mut huge.as_slice()).is_err(), "a count beyond what is there is not believed");
    }
}

//! What homes, persons and links tell each other.
//!
//! ```text
//! record to customers = form(4) · postcard(Header) · move*
//! move   = 1 · person(16) · home(16) · count(u32 LE) · (content hash(16 LE) · length(u32 LE) · touchpoint)*     Put
//!        | 7 · the same: more of the home follows                                                              Put
//!        | 2 · person(16) · home(16)                                                                           Drop
//!        | 8 · the same: what is left of the home follows                                                      Drop
//!        | 3 · home(16) · person(16) · version(u64 LE)                                                         Assign
//!        | 11 · the same · who expects(1): 1 the person, 2 the one before · person before(16)                    Assign
//!        | 4 · home(16)                                                                                        More
//!        | 5 · home(16) · count(u32 LE) · (name(16) · erased until(i64 LE))*                                   Erased
//!        | 9 · person(16) · version(u64 LE) · homes(u32 LE)                                                    Expect
//!        | 10 · person(16) · home(16) · version(u64 LE)                                                         Settled
//!        | 6 · alert(16) · number(u64 LE) · at(i64 LE) · count(u32 LE) · by                                    Acknowledged
//!
//! record to links = form(5) · postcard(Header) · postcard(ToLinks)*
//! ```
//! People, homes and erased identifiers are named by the keyed hash of their identifier. Golden file of both:
//! `tests/fixtures/moves_v1.hex`; of the moves that say what follows, which came later: `tests/fixtures/moves_v2.hex`; of pairs
//! with the touchpoint that brought them: `tests/fixtures/moves_v3.hex`.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::{Header, Unreadable};
use crate::{
    customers::{Assignment, Item, SeenPair},
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
        /// Whether more of the home follows.
        more: bool,
    },
    /// Everything of a home leaves a person.
    Drop {
        /// Whose timeline.
        person: PersonId,
        /// What leaves it.
        home: PersonId,
        /// Whether what is left of the home follows.
        more: bool,
    },
    /// A home's touchpoints belong to a person from now on.
    Assign {
        /// Which home.
        home: PersonId,
        /// To whom they belong.
        assignment: Assignment,
    },
    /// Several homes come to a person, or leave them, with an assignment.
    Expect {
        /// Whose timeline.
        person: PersonId,
        /// The assignment's version.
        version: u64,
        /// How many.
        homes: u32,
    },
    /// A home has come to a person, or left them, with an assignment.
    Settled {
        /// Whose timeline.
        person: PersonId,
        /// Which home.
        home: PersonId,
        /// The assignment's version.
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
    /// Pairs of identifiers that a home saw. Of hubs of before: [`ToLinks::Seen`] says the same and more.
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
    /// Pairs of identifiers that a home saw.
    Seen {
        /// The identifier of the home.
        #[serde(borrow)]
        home: Identifier<'a>,
        /// The stronger, the weaker, when they were seen together, and the department and the id of the touchpoint that brought it;
        /// both the same: it was seen.
        #[serde(borrow)]
        pairs: Vec<SeenPair<'a>>,
    },
}

/// A list in pieces of about a batch each, so that no message grows with what one home has: a piece holds more bytes than that
/// only where one item does. An empty list is one empty piece. With each comes whether it is the last.
pub fn pieces<T>(items: &[T], bytes_of: impl Fn(&T) -> usize) -> impl Iterator<Item = (&[T], bool)> {
    let mut rest = Some(items);
    std::iter::from_fn(move || {
        let items = rest.take()?;
        let mut bytes = 0;
        let fits = |item: &&T| {
            bytes += bytes_of(item);
            bytes <= super::BATCH_BYTES
        };
        let (piece, after) = items.split_at(items.iter().take_while(fits).count().max(1).min(items.len()));
        rest = Some(after).filter(|after| !after.is_empty());
        Some((piece, rest.is_none()))
    })
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
    pub fn put(&mut self, person: PersonId, home: PersonId, items: &[Item<'_>], more: bool) {
        self.entries.push(if more { 7 } else { 1 });
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
    pub fn drop_fragment(&mut self, person: PersonId, home: PersonId, more: bool) {
        self.entries.push(if more { 8 } else { 2 });
        self.entries.extend_from_slice(&person.0);
        self.entries.extend_from_slice(&home.0);
    }

    /// Adds a [`Move::Assign`].
    pub fn assign(&mut self, home: PersonId, assignment: Assignment) {
        let Assignment { person, version, from, expects } = assignment;
        let who = u8::from(expects) + 2 * u8::from(from.is_some());
        self.entries.push(if who == 0 { 3 } else { 11 });
        self.entries.extend_from_slice(&home.0);
        self.entries.extend_from_slice(&person.0);
        self.entries.extend_from_slice(&version.to_le_bytes());
        if who > 0 {
            self.entries.push(who);
            self.entries.extend_from_slice(&from.unwrap_or(home).0);
        }
    }

    /// Adds a [`Move::Expect`].
    pub fn expect(&mut self, person: PersonId, version: u64, homes: u32) {
        self.entries.push(9);
        self.entries.extend_from_slice(&person.0);
        self.entries.extend_from_slice(&version.to_le_bytes());
        self.entries.extend_from_slice(&homes.to_le_bytes());
    }

    /// Adds a [`Move::Settled`].
    pub fn settled(&mut self, person: PersonId, home: PersonId, version: u64) {
        self.entries.push(10);
        self.entries.extend_from_slice(&person.0);
        self.entries.extend_from_slice(&home.0);
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

fn take_version(entries: &mut &[u8]) -> Result<u64, Unreadable> {
    Ok(u64::from_le_bytes(*take::<8>(entries, "version")?))
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
        1 | 7 => {
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
            Move::Put { person, home, items, more: tag == 7 }
        }
        2 | 8 => Move::Drop { person: take_name(entries)?, home: take_name(entries)?, more: tag == 8 },
        3 | 11 => {
            let (home, person, version) = (take_name(entries)?, take_name(entries)?, take_version(entries)?);
            let mut assignment = Assignment { person, version, from: None, expects: false };
            if tag == 11 {
                let [who] = *take::<1>(entries, "who expects")?;
                let from = take_name(entries)?;
                assignment.expects = who & 1 != 0;
                assignment.from = (who & 2 != 0).then_some(from);
            }
            Move::Assign { home, assignment }
        }
        9 => Move::Expect {
            person: take_name(entries)?,
            version: take_version(entries)?,
            homes: u32::from_le_bytes(*take::<4>(entries, "count")?),
        },
        10 => Move::Settled { person: take_name(entries)?, home: take_name(entries)?, version: take_version(entries)? },
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

    fn lines(record: &[u8]) -> String {
        let digits = |line: &[u8]| line.iter().map(|byte| format!("{byte:02x}")).collect::<String>() + "\n";
        record.chunks(40).map(digits).collect()
    }

    #[test]
    fn a_long_list_goes_in_pieces_of_about_a_batch_and_none_of_it_is_lost() {
        let all: Vec<usize> = [7, super::super::BATCH_BYTES, 1, 2 * super::super::BATCH_BYTES, 3].into_iter().collect();
        let cut: Vec<(Vec<usize>, bool)> =
            pieces(&all, |bytes| *bytes).map(|(piece, is_last)| (piece.to_vec(), is_last)).collect();
        let expected = all.iter().enumerate().map(|(index, item)| (vec![*item], index == 4));
        assert_eq!(cut, expected.collect::<Vec<_>>(), "no two of them fit, and one that is larger goes alone");
        let many = vec![24; 100_000];
        let (mut items, mut last) = (0, Vec::new());
        for (piece, is_last) in pieces(&many, |bytes| *bytes) {
            assert!(piece.len() * 24 <= super::super::BATCH_BYTES);
            items += piece.len();
            last.push(is_last);
        }
        assert_eq!((items, last.len()), (many.len(), (many.len() * 24).div_ceil(super::super::BATCH_BYTES / 24 * 24)));
        assert_eq!(last.iter().filter(|is_last| **is_last).count(), 1);
        assert_eq!(
            pieces(&[0; 0], |bytes| *bytes).collect::<Vec<_>>(),
            [(&[0; 0][..], true)],
            "nothing is said once too"
        );
    }

    /// One of each, as the two records that hold them.
    fn records() -> [Vec<u8>; 2] {
        let header = Header { as_of: Some(EventTime(1_769_850_000_000)), ..Header::timeless(Day(20_484), None) };
        let (mut moves, mut to_links, mut records) = (MoveBatch::default(), MoveBatch::default(), [vec![], vec![]]);
        let item = |content_hash: u128, encoded: &'static [u8]| Item { content_hash, encoded: Cow::Borrowed(encoded) };
        moves.put(name(1), name(2), &[item(7, b"touchpoint"), item(u128::MAX, b"")], false);
        moves.drop_fragment(name(1), name(2), false);
        let assignment = Assignment { person: name(1), version: 258, from: None, expects: false };
        moves.assign(name(2), assignment);
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
    fn what_is_said_of_moves_under_way_has_the_form_of_the_golden_file() {
        let header = Header { as_of: Some(EventTime(1_769_850_000_000)), ..Header::timeless(Day(20_484), None) };
        let (mut moves, mut record) = (MoveBatch::default(), Vec::new());
        let item = Item { content_hash: 7, encoded: Cow::Borrowed(&b"touchpoint"[..]) };
        moves.drop_fragment(name(1), name(2), true);
        moves.put(name(1), name(2), &[item], true);
        moves.put(name(1), name(2), &[], false);
        let assignment = Assignment { person: name(1), version: 258, from: None, expects: true };
        moves.assign(name(2), assignment);
        moves.assign(name(2), Assignment { from: Some(name(3)), expects: false, ..assignment });
        moves.expect(name(1), 258, 2);
        moves.settled(name(1), name(2), 258);
        moves.take(VERSION_MOVES, &header, &mut record);
        expect_file![concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/moves_v2.hex")].assert_eq(&lines(&record));
        let (_, mut entries) = open(VERSION_MOVES, &record).expect("the form that was written");
        let mut next = || next_move(&mut entries).expect("readable").expect("one more");
        assert!(matches!(next(), Move::Drop { more: true, .. }));
        assert!(matches!(next(), Move::Put { items, more: true, .. } if items.len() == 1));
        assert!(matches!(next(), Move::Put { items, more: false, .. } if items.is_empty()));
        assert!(matches!(next(), Move::Assign { assignment: read, .. } if read == assignment));
        assert!(
            matches!(next(), Move::Assign { assignment, .. } if assignment.from == Some(name(3)) && !assignment.expects)
        );
        assert!(matches!(next(), Move::Expect { version: 258, homes: 2, .. }));
        assert!(matches!(next(), Move::Settled { home, version: 258, .. } if home == name(2)));
        assert!(next_move(&mut entries).expect("readable").is_none());
    }

    #[test]
    fn pairs_say_which_touchpoint_brought_them_in_the_form_of_the_golden_file() {
        let header = Header { as_of: Some(EventTime(1_769_850_000_000)), ..Header::timeless(Day(20_484), None) };
        let (mut to_links, mut record) = (MoveBatch::default(), Vec::new());
        let ann = Identifier { kind: IdentifierType::CustomerId, value: "4711" };
        let address = Identifier { kind: IdentifierType::Email, value: "ann@example.org" };
        let pairs = vec![(ann, address, EventTime(5), Some(("sales", "17"))), (ann, ann, EventTime(6), None)];
        let seen = ToLinks::Seen { home: ann, pairs };
        to_links.to_links(&seen);
        to_links.take(VERSION_TO_LINKS, &header, &mut record);
        expect_file![concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/moves_v3.hex")].assert_eq(&lines(&record));
        let (_, mut entries) = open(VERSION_TO_LINKS, &record).expect("the form that was written");
        assert_eq!(next_to_links(&mut entries).expect("readable"), Some(seen));
        assert!(entries.is_empty());
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

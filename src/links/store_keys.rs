//! The entries of the links store: bytes ⇄ keys and values. All of it is stored format, version 1.
//!
//! | first byte | rest of the key | value |
//! | --- | --- | --- |
//! | `n` | identifier (16) | node: version, type (and whether its person is contested), flags, oversize level, refused pairs, members, person (16) if another, time (8) if it reported itself, value in clear |
//! | `e` | identifier (16), rank of the other (1), other (16) | from the stronger end: what became of the pair, whether third parties reported it, time (8) if the stronger end did; from the weaker end: what became of the pair |
//! | `t` | stronger (16), weaker (16), home (16) | time (8): evidence that a third party reported |
//! | `h` | home (16), stronger (16), weaker (16) | nothing: the same by home |
//! | `m` | person (16), rank of the member (1), member (16) | nothing; only of persons with more than one identifier |
//! | `k` | number of the command (8) | command: version, kind, live undos that name it (4), and of an undo the number (8) of the command it names |
//! | `i` | hash of a command's id (16) | its number (8) |
//! | `d` | identifier (16), other (16), number of the command (8) | decision and whether it is live; under both ends |
//! | `q` | number of the command (8), smaller (16), greater (16) | nothing: the pairs of a command |
//! | `x` | identifier (16) | time (8) up to which it is erased |
//! | `c` | `ounters` | version, assignments given, identifiers, pairs (8 each) |
//!
//! *Identifiers* are [`PersonKey::person`](crate::model::PersonKey::person): only a node holds one in clear, and an erasure
//! deletes it. The rank of a type ([`Rules::rank`]) follows from the rules, which never change under a store. In the key of a pair
//! it puts the stronger neighbours first, so that whether an identifier is shared is
//! known after a few. Numbers are big-endian, signed ones with the sign flipped; counts in a node are LEB128.

use super::{
    decisions::Decision,
    rules::{RANKS, Refusal, Rules},
};
use crate::model::{EventTime, IdentifierType, PersonId, StoreError};

/// The format of nodes, commands and counters.
pub const VERSION: u8 = 1;

/// The oversize level of an identifier in no oversize component.
pub const NO_LEVEL: u8 = u8::MAX;

/// Where the counters are kept.
pub const COUNTERS: &[u8] = b"counters";

/// Why a stored entry cannot be read.
pub fn damaged(what: &str, why: impl std::fmt::Display) -> StoreError {
    StoreError(format!("a stored {what} cannot be read ({why}); restore the store from its changelog"))
}

fn key(first: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + parts.iter().map(|part| part.len()).sum::<usize>());
    key.push(first);
    for part in parts {
        key.extend_from_slice(part);
    }
    key
}

/// Key of a node.
pub fn node(identifier: PersonId) -> Vec<u8> {
    key(b'n', &[&identifier.0])
}

/// Key of a pair, seen from one end; with the rank of the other.
pub fn pair(from: PersonId, to_rank: u8, to: PersonId) -> Vec<u8> {
    key(b'e', &[&from.0, &[to_rank], &to.0])
}

/// The first possible key of the pairs of an identifier with neighbours of a rank or weaker.
pub fn pairs_from(identifier: PersonId, rank: u8) -> Vec<u8> {
    key(b'e', &[&identifier.0, &[rank]])
}

/// Rank and identifier of the other end.
pub fn parse_pair(key: &[u8]) -> Result<(u8, PersonId), StoreError> {
    let wrong = || damaged("pair's key", "34 bytes expected");
    let (_, rest) = key.split_first_chunk::<17>().ok_or_else(wrong)?;
    let (rank, other) = rest.split_first().ok_or_else(wrong)?;
    Ok((*rank, PersonId(other.try_into().map_err(|_| wrong())?)))
}

/// Key of a third party's evidence.
pub fn third_party(stronger: PersonId, weaker: PersonId, home: PersonId) -> Vec<u8> {
    key(b't', &[&stronger.0, &weaker.0, &home.0])
}

/// Key of the same by home.
pub fn by_home(home: PersonId, stronger: PersonId, weaker: PersonId) -> Vec<u8> {
    key(b'h', &[&home.0, &stronger.0, &weaker.0])
}

/// Key of a member of a person; with its rank.
pub fn member(person: PersonId, rank: u8, member: PersonId) -> Vec<u8> {
    key(b'm', &[&person.0, &[rank], &member.0])
}

/// Key of a command.
pub fn command(number: u64) -> Vec<u8> {
    key(b'k', &[&number.to_be_bytes()])
}

/// Key of a command's id.
pub fn command_id(hash: [u8; 16]) -> Vec<u8> {
    key(b'i', &[&hash])
}

/// Key of a decision on a pair, under one of its ends.
pub fn decision(of: PersonId, other: PersonId, number: u64) -> Vec<u8> {
    key(b'd', &[&of.0, &other.0, &number.to_be_bytes()])
}

/// Key of a pair that a command decides.
pub fn decided_pair(number: u64, smaller: PersonId, greater: PersonId) -> Vec<u8> {
    key(b'q', &[&number.to_be_bytes(), &smaller.0, &greater.0])
}

/// Key of an erasure.
pub fn erased(identifier: PersonId) -> Vec<u8> {
    key(b'x', &[&identifier.0])
}

/// What all keys of an identifier, home, person or command's number begin with.
pub fn prefix(first: u8, of: &[&[u8]]) -> Vec<u8> {
    key(first, of)
}

/// The first key after every key that starts with a prefix.
pub fn after(prefix: &[u8]) -> Vec<u8> {
    let mut key = prefix.to_vec();
    while let Some(last) = key.pop() {
        if last < u8::MAX {
            key.push(last + 1);
            break;
        }
    }
    key
}

/// The last `N` ids (16 bytes each) of a key.
pub fn parse_ids<const N: usize>(key: &[u8]) -> Result<[PersonId; N], StoreError> {
    let wrong = || damaged("key", "too short");
    let tail = key.len().checked_sub(N * 16).and_then(|from| key.get(from..)).ok_or_else(wrong)?;
    let mut ids = [PersonId([0; 16]); N];
    for (id, bytes) in ids.iter_mut().zip(tail.chunks_exact(16)) {
        id.0.copy_from_slice(bytes);
    }
    Ok(ids)
}

/// Other end and command's number of a decision's key.
pub fn parse_decision(key: &[u8]) -> Result<(PersonId, u64), StoreError> {
    let wrong = || damaged("decision's key", "41 bytes expected");
    let (_, rest) = key.split_first_chunk::<17>().ok_or_else(wrong)?;
    let (other, number) = rest.split_first_chunk::<16>().ok_or_else(wrong)?;
    Ok((PersonId(*other), u64::from_be_bytes(number.try_into().map_err(|_| wrong())?)))
}

/// The stored form of a time.
pub fn encode_time(time: EventTime) -> [u8; 8] {
    (time.0 ^ i64::MIN).to_be_bytes()
}

/// From the stored form.
pub fn decode_time(bytes: &[u8]) -> Result<EventTime, StoreError> {
    let bytes: [u8; 8] = bytes.try_into().map_err(|_| damaged("time", "8 bytes expected"))?;
    Ok(EventTime(i64::from_be_bytes(bytes) ^ i64::MIN))
}

/// The stored form of a command's number.
pub fn decode_number(bytes: &[u8]) -> Result<u64, StoreError> {
    Ok(u64::from_be_bytes(bytes.try_into().map_err(|_| damaged("command's number", "8 bytes expected"))?))
}

/// The type of a rank.
pub fn decode_kind(rank: u8, rules: &Rules) -> Result<IdentifierType, StoreError> {
    rules.kind(rank).ok_or_else(|| damaged("type", "it is of a later version"))
}

/// What became of a pair.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// One of the two is shared.
    #[default]
    Unused,
    /// The two are one person.
    Joined,
    /// A conflict.
    Refused(Refusal),
}

const LIMIT: u8 = 16;

impl Fate {
    fn encode(self, rules: &Rules) -> u8 {
        match self {
            Fate::Unused => 0,
            Fate::Joined => 1,
            Fate::Refused(Refusal::Oversize) => 2,
            Fate::Refused(Refusal::Never) => 3,
            Fate::Refused(Refusal::Limit(kind)) => LIMIT + rules.rank(kind),
        }
    }

    fn decode(byte: u8, rules: &Rules) -> Result<Fate, StoreError> {
        Ok(match byte {
            0 => Fate::Unused,
            1 => Fate::Joined,
            2 => Fate::Refused(Refusal::Oversize),
            3 => Fate::Refused(Refusal::Never),
            LIMIT.. if byte < LIMIT + RANKS => Fate::Refused(Refusal::Limit(decode_kind(byte - LIMIT, rules)?)),
            _ => return Err(damaged("pair", "its fate is of a later version")),
        })
    }

    /// Why it was refused.
    pub fn refusal(self) -> Option<Refusal> {
        match self {
            Fate::Refused(rule) => Some(rule),
            Fate::Unused | Fate::Joined => None,
        }
    }
}

/// A pair as one of its ends has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// As the stronger end has it.
    Stronger {
        /// What became of it.
        fate: Fate,
        /// When it was last seen, if the stronger end reported it.
        own: Option<EventTime>,
        /// Whether third parties did.
        third_parties: bool,
    },
    /// As the weaker end has it.
    Weaker {
        /// What became of it.
        fate: Fate,
    },
}

impl Evidence {
    /// What became of the pair.
    pub fn fate(self) -> Fate {
        match self {
            Evidence::Stronger { fate, .. } | Evidence::Weaker { fate } => fate,
        }
    }

    /// The stored form.
    pub fn encode(self, rules: &Rules) -> Vec<u8> {
        match self {
            Evidence::Weaker { fate } => vec![fate.encode(rules)],
            Evidence::Stronger { fate, own, third_parties } => {
                let mut bytes = vec![fate.encode(rules), u8::from(third_parties)];
                if let Some(at) = own {
                    bytes.extend_from_slice(&encode_time(at));
                }
                bytes
            }
        }
    }

    /// From the stored form.
    pub fn decode(bytes: &[u8], rules: &Rules) -> Result<Evidence, StoreError> {
        match bytes {
            [fate] => Ok(Evidence::Weaker { fate: Fate::decode(*fate, rules)? }),
            [fate, third_parties, own @ ..] => Ok(Evidence::Stronger {
                fate: Fate::decode(*fate, rules)?,
                own: if own.is_empty() { None } else { Some(decode_time(own)?) },
                third_parties: *third_parties != 0,
            }),
            [] => Err(damaged("pair", "it is empty")),
        }
    }
}

/// What is known of an identifier besides its pairs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its type.
    pub kind: IdentifierType,
    /// Its value, in clear: strength is decided by it.
    pub value: Box<str>,
    /// Whose it is: the keyed hash of the strongest identifier.
    pub person: PersonId,
    /// Of a person's strongest: how many identifiers the person has.
    pub members: u32,
    /// Pairs of it that were refused.
    pub refused: u32,
    /// Of a person's strongest: a pair of a member may have been refused, or a command may decide one.
    pub contested: bool,
    /// The first level at which it belongs to an oversize component: pairs with a weaker end of that rank or more are set
    /// aside. [`NO_LEVEL`] if there is none.
    pub oversize_from: u8,
    /// It links nobody.
    pub shared: bool,
    /// It has reported pairs, so it is told whose it is.
    pub home: bool,
    /// The feed of identities has it.
    pub published: bool,
    /// A command decides pairs of it, live or not.
    pub decided: bool,
    /// One of these is a link decision: the node stays without evidence too.
    pub named: bool,
    /// When it was last seen, if it reported itself.
    pub own: Option<EventTime>,
    /// Whether a third party reported it alone.
    pub third_parties: bool,
}

const SHARED: u8 = 1;
const HOME: u8 = 2;
const PUBLISHED: u8 = 4;
const DECIDED: u8 = 8;
const NAMED: u8 = 16;
const OWN: u8 = 32;
const THIRD_PARTIES: u8 = 64;
const MOVED: u8 = 128;
/// In the byte of the type, whose ranks are far below.
const CONTESTED: u8 = 128;
const _: () = assert!(RANKS < CONTESTED);

impl Node {
    /// One that nothing is known of.
    pub fn new(id: PersonId, kind: IdentifierType, value: &str) -> Node {
        Node {
            kind,
            value: value.into(),
            person: id,
            members: 1,
            refused: 0,
            contested: false,
            oversize_from: NO_LEVEL,
            shared: false,
            home: false,
            published: false,
            decided: false,
            named: false,
            own: None,
            third_parties: false,
        }
    }

    /// The stored form.
    pub fn encode(&self, id: PersonId, rules: &Rules) -> Vec<u8> {
        let moved = self.person != id;
        let flags = [
            (self.shared, SHARED),
            (self.home, HOME),
            (self.published, PUBLISHED),
            (self.decided, DECIDED),
            (self.named, NAMED),
            (self.own.is_some(), OWN),
            (self.third_parties, THIRD_PARTIES),
            (moved, MOVED),
        ];
        let flags = flags.iter().filter(|(is_set, _)| *is_set).map(|(_, flag)| flag).sum();
        let mut bytes = Vec::with_capacity(40 + self.value.len());
        let kind = rules.rank(self.kind) | if self.contested { CONTESTED } else { 0 };
        bytes.extend_from_slice(&[VERSION, kind, flags, self.oversize_from]);
        push_count(&mut bytes, self.refused);
        push_count(&mut bytes, self.members);
        if moved {
            bytes.extend_from_slice(&self.person.0);
        }
        if let Some(at) = self.own {
            bytes.extend_from_slice(&encode_time(at));
        }
        bytes.extend_from_slice(self.value.as_bytes());
        bytes
    }

    /// From the stored form.
    pub fn decode(id: PersonId, bytes: &[u8], rules: &Rules) -> Result<Node, StoreError> {
        let wrong = || damaged("identifier", "it is cut short or of another version");
        let ([version, kind, flags, oversize_from], mut rest) = bytes.split_first_chunk::<4>().ok_or_else(wrong)?;
        if *version != VERSION {
            return Err(wrong());
        }
        let refused = take_count(&mut rest).ok_or_else(wrong)?;
        let members = take_count(&mut rest).ok_or_else(wrong)?;
        let person = if flags & MOVED == 0 {
            id
        } else {
            let (person, after) = rest.split_first_chunk::<16>().ok_or_else(wrong)?;
            rest = after;
            PersonId(*person)
        };
        let own = if flags & OWN == 0 {
            None
        } else {
            let (at, after) = rest.split_first_chunk::<8>().ok_or_else(wrong)?;
            rest = after;
            Some(decode_time(at)?)
        };
        Ok(Node {
            kind: decode_kind(*kind & !CONTESTED, rules)?,
            value: std::str::from_utf8(rest).map_err(|_| wrong())?.into(),
            person,
            members,
            refused,
            contested: *kind & CONTESTED != 0,
            oversize_from: *oversize_from,
            shared: flags & SHARED != 0,
            home: flags & HOME != 0,
            published: flags & PUBLISHED != 0,
            decided: flags & DECIDED != 0,
            named: flags & NAMED != 0,
            own,
            third_parties: flags & THIRD_PARTIES != 0,
        })
    }
}

fn push_count(bytes: &mut Vec<u8>, mut count: u32) {
    while count >= 128 {
        bytes.push(count.to_le_bytes()[0] | 128);
        count >>= 7;
    }
    bytes.push(count.to_le_bytes()[0]);
}

fn take_count(bytes: &mut &[u8]) -> Option<u32> {
    let mut count = 0_u32;
    for shift in (0..32).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        count |= u32::from(byte & 127).checked_shl(shift)?;
        if byte & 128 == 0 {
            return Some(count);
        }
    }
    None
}

/// A command that is not an erasure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Command {
    /// What it does.
    pub kind: CommandKind,
    /// Live undos that name it: it is live if there is none.
    pub undone_by: u32,
}

/// What a stored command does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandKind {
    /// Decides its pairs.
    Decide(Decision),
    /// Takes back the command with this number; nothing if there was none.
    Undo(Option<u64>),
}

const LINK: u8 = 0;
const NEVER: u8 = 1;
const UNDO: u8 = 2;

fn encode_decision_kind(decision: Decision) -> u8 {
    match decision {
        Decision::Link => LINK,
        Decision::Never => NEVER,
    }
}

fn decode_decision_kind(byte: u8) -> Result<Decision, StoreError> {
    match byte {
        LINK => Ok(Decision::Link),
        NEVER => Ok(Decision::Never),
        _ => Err(damaged("decision", "it is of a later version")),
    }
}

impl Command {
    /// The stored form.
    pub fn encode(self) -> Vec<u8> {
        let kind = match self.kind {
            CommandKind::Decide(decision) => encode_decision_kind(decision),
            CommandKind::Undo(_) => UNDO,
        };
        let mut bytes = vec![VERSION, kind];
        bytes.extend_from_slice(&self.undone_by.to_be_bytes());
        if let CommandKind::Undo(Some(target)) = self.kind {
            bytes.extend_from_slice(&target.to_be_bytes());
        }
        bytes
    }

    /// From the stored form.
    pub fn decode(bytes: &[u8]) -> Result<Command, StoreError> {
        let wrong = || damaged("command", "it is cut short or of another version");
        let ([version, kind, a, b, c, d], target) = bytes.split_first_chunk::<6>().ok_or_else(wrong)?;
        if *version != VERSION {
            return Err(wrong());
        }
        let kind = match (*kind, target) {
            (UNDO, []) => CommandKind::Undo(None),
            (UNDO, target) => CommandKind::Undo(Some(decode_number(target)?)),
            (kind, _) => CommandKind::Decide(decode_decision_kind(kind)?),
        };
        Ok(Command { kind, undone_by: u32::from_be_bytes([*a, *b, *c, *d]) })
    }
}

/// The stored form of a decision on a pair.
pub fn encode_decision(decision: Decision, live: bool) -> [u8; 2] {
    [encode_decision_kind(decision), u8::from(live)]
}

/// From the stored form: the decision, and whether it is live.
pub fn decode_decision(bytes: &[u8]) -> Result<(Decision, bool), StoreError> {
    match bytes {
        [kind, live] => Ok((decode_decision_kind(*kind)?, *live != 0)),
        _ => Err(damaged("decision", "2 bytes expected")),
    }
}

/// What is counted over the whole graph.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Assignments given so far: the version of the last.
    pub version: u64,
    /// Identifiers known.
    pub identifiers: u64,
    /// Pairs of different identifiers known.
    pub pairs: u64,
}

impl Counters {
    /// The stored form.
    pub fn encode(self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        for number in [self.version, self.identifiers, self.pairs] {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        bytes
    }

    /// From the stored form.
    pub fn decode(bytes: &[u8]) -> Result<Counters, StoreError> {
        let wrong = || damaged("set of counters", "it is cut short or of another version");
        let [VERSION, numbers @ ..] = bytes else {
            return Err(wrong());
        };
        let [version, identifiers, pairs] =
            <[[u8; 8]; 3]>::try_from(numbers.as_chunks::<8>().0).map_err(|_| wrong())?.map(u64::from_be_bytes);
        Ok(Counters { version, identifiers, pairs })
    }
}

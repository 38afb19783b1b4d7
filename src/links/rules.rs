//! What the meaning of a link depends on: unique types, limits, when an identifier counts as shared, and how far a chain goes.

use std::sync::Arc;

use crate::model::{IdentifierType, OWN_TYPES_MAX};

pub use crate::model::Refusal;

/// Ranks, and the levels of pairs, are below it, however many types a hub has of its own.
pub const RANKS: u8 = (IdentifierType::BUILT_IN.len() + OWN_TYPES_MAX) as u8;

/// Ranks below it are of types that are stronger than every one of a hub's own.
const STRONGER: u8 = IdentifierType::STRONGER_THAN_OWN;

/// A person is close to a limit from this share of it on, in percent.
const CLOSE_PERCENT: u64 = 80;

/// Part of the definition of everything that the links store holds: a change of them is a rebuild.
///
/// The defaults: customer_id is unique; at most 5 e-mails, phones, loyalty numbers and devices, 100 cookies and 100 anonymous
/// ids of one person; shared above 4 stronger identifiers; components of at most 1,000. They come from a generated company with
/// known truth (`links/tests/company.rs`: 100,000 customers with 3 to 6 identifiers, typing errors, shop tablets, households),
/// where they reach a precision of 0.9993 and a recall of 0.9997 of the pairs that evidence connects. Where one customer in four
/// lives in a household that shares something and one in ten has no customer_id, precision is 0.990 and recall 0.999 (20,000
/// customers): two people known by e-mail alone who call from one telephone look like one with two addresses. There, of
/// 10,000, by `shared_above`: 2: precision 0.993 and recall 0.905; 3: 0.992 and 0.990; 4: 0.991 and 0.999; 5 and 6 the same as
/// 4. An order is named together with a customer, two addresses and a cookie, so fewer than 4 lose it. A limit of 2 e-mails and
/// phones instead of 5 gives 0.994 and 0.996.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The most identifiers of a type that evidence may bring together in one person; by rank, `None` without a limit.
    limits: [Option<u32>; RANKS as usize],
    unique: [bool; RANKS as usize],
    shared_above: usize,
    component_max: usize,
    /// Types of the hub's own, strongest first. Ranks, which the store has, depend on them: they are part of the fingerprint.
    own: Arc<[IdentifierType]>,
}

impl Default for Rules {
    fn default() -> Rules {
        use IdentifierType::{Anonymous, Cookie, Device, Email, Loyalty, Phone};
        let mut rules = Rules {
            limits: [None; RANKS as usize],
            unique: [false; RANKS as usize],
            shared_above: 4,
            component_max: 1_000,
            own: Arc::new([]),
        };
        for (kind, limit) in [(Email, 5), (Phone, 5), (Loyalty, 5), (Device, 5), (Cookie, 100), (Anonymous, 100)] {
            rules = rules.with_limit(kind, Some(limit));
        }
        rules.with_unique(IdentifierType::CustomerId)
    }
}

impl Rules {
    /// No type is unique, none has a limit.
    pub fn without_limits() -> Rules {
        Rules { limits: [None; RANKS as usize], unique: [false; RANKS as usize], ..Rules::default() }
    }

    /// The hub has these types of its own, without limits so far. The limits of others stay.
    #[must_use]
    pub fn with_own_types(self, own: &[IdentifierType]) -> Rules {
        let mut own = own.to_vec();
        own.sort_unstable();
        own.dedup();
        own.truncate(OWN_TYPES_MAX);
        let mut rules = Rules { own: own.into(), ..self.clone() };
        (rules.limits, rules.unique) = ([None; RANKS as usize], [false; RANKS as usize]);
        let kept: Vec<IdentifierType> = self.kinds().filter(|kind| rules.has(*kind)).collect();
        for kind in kept {
            let (from, to) = (usize::from(self.rank(kind)), usize::from(rules.rank(kind)));
            (rules.limits[to], rules.unique[to]) = (self.limits[from], self.unique[from]);
        }
        rules
    }

    /// Every type, strongest first.
    pub fn kinds(&self) -> impl Iterator<Item = IdentifierType> + '_ {
        let (stronger, weaker) = IdentifierType::BUILT_IN.split_at(usize::from(STRONGER));
        stronger.iter().chain(&*self.own).chain(weaker).copied()
    }

    /// Whether there is such a type. What comes from departments and operators is asked before it gets here.
    pub fn has(&self, kind: IdentifierType) -> bool {
        kind.place().is_some() || self.own.contains(&kind)
    }

    /// One more than the rank of the weakest type.
    pub fn ranks(&self) -> u8 {
        IdentifierType::BUILT_IN.len() as u8 + self.own.len() as u8
    }

    /// Strength as a number: 0 is the strongest.
    #[inline]
    pub fn rank(&self, kind: IdentifierType) -> u8 {
        match kind.place() {
            Some(place) if place < STRONGER => place,
            Some(place) => place + self.own.len() as u8,
            None => STRONGER + self.own.iter().take_while(|own| **own < kind).count() as u8,
        }
    }

    /// The type of a rank.
    pub fn kind(&self, rank: u8) -> Option<IdentifierType> {
        let (place, own) = (usize::from(rank), self.own.len());
        match rank.checked_sub(STRONGER) {
            None => IdentifierType::BUILT_IN.get(place).copied(),
            Some(among) if usize::from(among) < own => self.own.get(usize::from(among)).copied(),
            Some(_) => IdentifierType::BUILT_IN.get(place - own).copied(),
        }
    }

    /// A person has at most one identifier of this type, and whatever meets two of them belongs to neither.
    #[must_use]
    pub fn with_unique(mut self, kind: IdentifierType) -> Rules {
        let place = usize::from(self.rank(kind));
        self.unique[place] = true;
        self.limits[place] = Some(1);
        self
    }

    /// Evidence brings at most so many identifiers of this type together; `None`: any number. A unique type keeps its limit.
    #[must_use]
    pub fn with_limit(mut self, kind: IdentifierType, limit: Option<u32>) -> Rules {
        if !self.is_unique(kind) {
            let place = usize::from(self.rank(kind));
            self.limits[place] = limit;
        }
        self
    }

    /// An identifier seen with more stronger ones than this is shared.
    #[must_use]
    pub fn with_shared_above(mut self, stronger: usize) -> Rules {
        self.shared_above = stronger;
        self
    }

    /// The most identifiers, things not counted, that pairs up to a level may connect before those of the level are set aside.
    #[must_use]
    pub fn with_component_max(mut self, identifiers: usize) -> Rules {
        self.component_max = identifiers;
        self
    }

    /// Whether a person has at most one of the type.
    pub fn is_unique(&self, kind: IdentifierType) -> bool {
        self.unique[usize::from(self.rank(kind))]
    }

    /// The types of which a person has at most one, strongest first.
    pub fn unique(&self) -> impl Iterator<Item = IdentifierType> + '_ {
        self.kinds().filter(|kind| self.is_unique(*kind))
    }

    /// The most of a type that evidence may bring together.
    pub fn limit(&self, kind: IdentifierType) -> Option<u32> {
        self.limit_of(self.rank(kind))
    }

    /// The same by rank.
    pub fn limit_of(&self, rank: u8) -> Option<u32> {
        self.limits[usize::from(rank)]
    }

    /// The limit of a type, if somebody with so many identifiers of it is close to it; never of one of which a person has at most one.
    pub fn close_limit(&self, kind: IdentifierType, count: u32) -> Option<u32> {
        let is_close = |limit: &u32| *limit > 1 && u64::from(count) * 100 >= u64::from(*limit) * CLOSE_PERCENT;
        self.limit(kind).filter(is_close)
    }

    /// More stronger neighbours than this make an identifier shared.
    pub fn shared_above(&self) -> usize {
        self.shared_above
    }

    /// The most identifiers of a component.
    pub fn component_max(&self) -> usize {
        self.component_max
    }

    /// Whether identifiers of the type count for the size of a component.
    pub fn counts(kind: IdentifierType) -> bool {
        !kind.is_thing()
    }

    /// Tells rules apart: equal for equal rules, in every program of this version of the stored format.
    pub fn fingerprint(&self) -> u64 {
        let mut text = format!("links 1 shared {} component {}", self.shared_above, self.component_max);
        for kind in self.kinds() {
            let limit = self.limit(kind).map_or_else(|| "none".to_owned(), |limit| limit.to_string());
            let unique = if self.is_unique(kind) { " unique" } else { "" };
            text.push_str(&format!(" {kind} {limit}{unique}"));
        }
        xxhash_rust::xxh3::xxh3_64(text.as_bytes())
    }
}

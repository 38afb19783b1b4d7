//! What all customers partitions know of readings in; which number each department's next reading has, and from where each
//! source partition is read, out.
//!
//! ```text
//!  each customers partition has read what it had asked itself ──▶ all have: decided once ──▶ sources are read ──▶ over
//! ```
//! Before all have, notes of an attempt that was ended may still be on their way: which reading is the newest, nobody knows.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{Far, Known, Phase, Reading, Swept};
use crate::{
    engine::{log::TopicPartition, reread::Rereads, topics::TopicIndex},
    model::{Outcome, Reason},
};

/// A department that is read again.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub(in crate::topology) topic: TopicIndex,
    pub(in crate::topology) partitions: i32,
    /// Hash of the mapping of now.
    pub(in crate::topology) mapping: u64,
    /// Whether older records were removed that left no gap at the beginning: the topic is compacted.
    pub(in crate::topology) is_compacted: bool,
}

/// Departments' topics that are read again, shared by the workers of one process.
#[derive(Debug)]
pub struct Rereading {
    wanted: BTreeMap<String, Wanted>,
    /// The departments that are not.
    others: BTreeSet<String>,
    customers_partitions: i32,
    forgets: bool,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// What each customers partition has committed.
    known: BTreeMap<i32, BTreeMap<String, Known>>,
    /// Those that have read what they had asked themselves.
    answered: BTreeSet<i32>,
    /// The number of each department's reading, once it is decided.
    numbers: Option<BTreeMap<String, u32>>,
    /// From where to where source partitions are read here.
    spans: BTreeMap<TopicPartition, (i64, i64)>,
    /// How far they are, committed.
    positions: BTreeMap<TopicPartition, i64>,
    outcomes: BTreeMap<(String, Outcome), u64>,
    rejections: BTreeMap<(String, Reason), u64>,
}

/// How far all of it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RereadProgress {
    /// Whether it is known what is to be read.
    pub decided: bool,
    /// Source offsets that were read, by this process.
    pub read: i64,
    /// Source offsets that were to be read when this process began with their partitions; more of them as it begins.
    pub to_read: i64,
    /// Customers partitions in which everything is over.
    pub over: usize,
    /// How many there are.
    pub customers_partitions: usize,
}

/// What came of one department.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reported {
    /// The number of the reading.
    pub number: u32,
    /// What became of what was read, by this process.
    pub outcomes: BTreeMap<Outcome, u64>,
    /// Why what was rejected was, by this process.
    pub rejections: BTreeMap<Reason, u64>,
    /// What came of the touchpoints of older readings.
    pub swept: Swept,
    /// Whether the topic is compacted.
    pub is_compacted: bool,
}

impl Rereading {
    pub(in crate::topology) fn new(
        wanted: BTreeMap<String, Wanted>,
        others: BTreeSet<String>,
        customers_partitions: i32,
        forgets: bool,
    ) -> Rereading {
        Rereading { wanted, others, customers_partitions, forgets, inner: Mutex::default() }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How far it is.
    pub fn progress(&self) -> RereadProgress {
        let inner = self.inner();
        let read = |(key, (from, _)): (&TopicPartition, &(i64, i64))| {
            inner.positions.get(key).map_or(0, |position| position - from)
        };
        RereadProgress {
            decided: inner.numbers.is_some(),
            read: inner.spans.iter().map(read).sum(),
            to_read: inner.spans.values().map(|(from, to)| to - from).sum(),
            over: (0..self.customers_partitions).filter(|partition| self.is_over_in(&inner, *partition)).count(),
            customers_partitions: usize::try_from(self.customers_partitions).unwrap_or(0),
        }
    }

    /// What came of each department.
    pub fn report(&self) -> BTreeMap<String, Reported> {
        let inner = self.inner();
        let of_spoke = |spoke: &String, wanted: &Wanted| {
            let number = inner.numbers.as_ref().and_then(|numbers| numbers.get(spoke)).copied().unwrap_or(0);
            let mut swept = Swept::default();
            for known in inner.known.values().filter_map(|known| known.get(spoke)) {
                if let (true, Phase::Over(outcome)) = (known.number == number, &known.phase) {
                    swept.older += outcome.older;
                    swept.keeps |= outcome.keeps;
                    swept.missing = swept.missing.max(outcome.missing);
                }
            }
            Reported {
                number,
                outcomes: of(&inner.outcomes, spoke),
                rejections: of(&inner.rejections, spoke),
                swept,
                is_compacted: wanted.is_compacted,
            }
        };
        self.wanted.iter().map(|(spoke, wanted)| (spoke.clone(), of_spoke(spoke, wanted))).collect()
    }

    /// Departments of the configuration that are not read again here and whose reading is not complete.
    pub fn unfinished(&self) -> Vec<String> {
        let inner = self.inner();
        let known = inner.known.values().flatten().filter(|(_, known)| !known.is_over());
        let unfinished: BTreeSet<&String> = known.map(|(spoke, _)| spoke).collect();
        unfinished.into_iter().filter(|spoke| self.others.contains(*spoke)).cloned().collect()
    }

    /// A customers partition has committed what it knows.
    pub(in crate::topology) fn tell(&self, partition: i32, known: &BTreeMap<String, Known>) {
        self.inner().known.insert(partition, known.clone());
    }

    /// A customers partition has read everything that was there when it began to ask.
    pub(in crate::topology) fn answered(&self, partition: i32) {
        let mut inner = self.inner();
        inner.answered.insert(partition);
        if inner.numbers.is_none() && (0..self.customers_partitions).all(|it| inner.answered.contains(&it)) {
            let number = |(spoke, wanted): (&String, &Wanted)| {
                let known = (0..self.customers_partitions).map(|it| inner.known.get(&it).and_then(|it| it.get(spoke)));
                (spoke.clone(), decide(wanted.mapping, known))
            };
            inner.numbers = Some(self.wanted.iter().map(number).collect());
        }
    }

    /// Whether a customers partition has nothing left to do.
    pub(in crate::topology) fn is_over(&self, partition: i32) -> bool {
        self.is_over_in(&self.inner(), partition)
    }

    fn is_over_in(&self, inner: &Inner, partition: i32) -> bool {
        inner.numbers.as_ref().is_some_and(|numbers| {
            numbers.iter().all(|(spoke, number)| {
                let known = inner.known.get(&partition).and_then(|known| known.get(spoke));
                known.is_some_and(|known| known.number >= *number && known.is_over())
            })
        })
    }

    /// The reading of a department that is under way, once it is decided.
    pub(in crate::topology) fn reading<'a>(&self, spoke: &'a str) -> Option<Reading<'a>> {
        let number = *self.inner().numbers.as_ref()?.get(spoke)?;
        Some(Reading { spoke, number, mapping: self.wanted.get(spoke)?.mapping })
    }

    /// How many partitions a department's topic has, and whether what older readings had is kept if so many offsets are
    /// missing.
    pub(in crate::topology) fn ended(&self, spoke: &str, missing: i64) -> (i32, bool) {
        let wanted = self.wanted.get(spoke);
        let is_incomplete = missing > 0 || wanted.is_some_and(|wanted| wanted.is_compacted);
        (wanted.map_or(0, |wanted| wanted.partitions), is_incomplete && !self.forgets)
    }

    /// How far a source partition is, as the customers partitions have committed it.
    pub(in crate::topology) fn far(&self, input: TopicPartition) -> Option<Far> {
        let inner = self.inner();
        let numbers = inner.numbers.as_ref()?;
        let (spoke, _) = self.wanted.iter().find(|(_, wanted)| wanted.topic == input.topic)?;
        let number = numbers.get(spoke)?;
        let of_number = inner.known.values().filter_map(|known| known.get(spoke)).filter(|it| it.number == *number);
        let far = of_number.filter_map(|known| match &known.phase {
            Phase::Reading { far, .. } => far.get(&input.partition).copied(),
            // All source partitions have ended.
            Phase::Sweeping { .. } | Phase::Over(_) => Some(Far { next: i64::MAX, missing: 0 }),
        });
        Some(far.max_by_key(|far| far.next).unwrap_or_default())
    }

    /// A source partition is read from one offset to another.
    pub(in crate::topology) fn spans(&self, input: TopicPartition, from: i64, to: i64) {
        let mut inner = self.inner();
        let span = inner.spans.entry(input).or_insert((from, to));
        span.0 = span.0.min(from);
        inner.positions.insert(input, from);
    }

    /// A commit has covered so much of a source partition.
    pub(in crate::topology) fn read(
        &self,
        input: TopicPartition,
        next: i64,
        spoke: &str,
        outcomes: &BTreeMap<Outcome, u64>,
        rejections: &BTreeMap<Reason, u64>,
    ) {
        let mut inner = self.inner();
        inner.positions.insert(input, next);
        for (outcome, count) in outcomes {
            *inner.outcomes.entry((spoke.to_owned(), *outcome)).or_default() += count;
        }
        for (reason, count) in rejections {
            *inner.rejections.entry((spoke.to_owned(), *reason)).or_default() += count;
        }
    }
}

fn of<T: Ord + Copy>(counts: &BTreeMap<(String, T), u64>, spoke: &str) -> BTreeMap<T, u64> {
    counts.iter().filter(|((of, _), _)| of == spoke).map(|((_, what), count)| (*what, *count)).collect()
}

/// Goes on with the newest reading if it is not over and by the same mapping, or begins the next.
fn decide<'a>(mapping: u64, known: impl Iterator<Item = Option<&'a Known>> + Clone) -> u32 {
    let newest = known.clone().flatten().map(|known| known.number).max().unwrap_or(0);
    let is_newest = |known: &Option<&Known>| known.is_some_and(|known| known.number == newest);
    let is_over = known.clone().all(|known| known.map_or(newest == 0, |it| it.number == newest && it.is_over()));
    let goes_on = !is_over && known.filter(is_newest).flatten().all(|known| known.mapping == mapping);
    if goes_on { newest } else { newest + 1 }
}

impl Rereads for Rereading {
    fn from(&self, input: TopicPartition) -> Option<i64> {
        self.far(input).map(|far| far.next)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Says, *};

    fn known(number: u32, mapping: u64, is_over: bool) -> Option<Known> {
        let begun = Known::begun(Reading { spoke: "s", number, mapping });
        Some(if is_over { Known { phase: Phase::default(), ..begun } } else { begun })
    }

    #[test]
    fn an_unfinished_reading_goes_on_and_another_mapping_begins_the_next() {
        let (a, b) = (0xa, 0xb);
        let table: [(&[Option<Known>], u64, u32); 8] = [
            (&[None, None], a, 1),
            // Begun, interrupted before all had heard of it: the same mapping goes on …
            (&[known(1, a, false), None], a, 1),
            (&[known(1, a, true), known(1, a, false)], a, 1),
            (&[known(2, a, false), known(1, b, true)], a, 2),
            // … another begins again.
            (&[known(1, a, false), None], b, 2),
            (&[known(1, a, true), known(1, a, false)], b, 2),
            // What is over is over, also when the mapping is the same: retention may have moved, or schemas have come.
            (&[known(1, a, true), known(1, a, true)], a, 2),
            (&[known(3, b, true), known(3, b, true)], a, 4),
        ];
        for (known, mapping, expected) in table {
            assert_eq!(decide(mapping, known.iter().map(Option::as_ref)), expected, "{known:?} by {mapping}");
        }
    }

    #[test]
    fn nothing_is_decided_before_all_have_answered_and_what_was_read_is_not_read_again() {
        let input = |partition| TopicPartition { topic: TopicIndex(0), partition };
        let wanted = Wanted { topic: TopicIndex(0), partitions: 2, mapping: 7, is_compacted: false };
        let rereading = Rereading::new([("s".to_owned(), wanted)].into(), BTreeSet::new(), 2, false);
        rereading.tell(0, &BTreeMap::new());
        rereading.answered(0);
        assert_eq!(rereading.from(input(0)), None);
        let mut begun = known(1, 7, false).expect("one");
        let reading = Reading { spoke: "s", number: 1, mapping: 7 };
        let far = Far { next: 40, missing: 3 };
        assert!(begun.hear(Says::Progress { reading, partition: 1, far }, 9));
        rereading.tell(1, &[("s".to_owned(), begun)].into());
        rereading.answered(1);
        assert_eq!(rereading.reading("s"), Some(reading));
        assert_eq!((rereading.from(input(0)), rereading.far(input(1))), (Some(0), Some(far)));
        assert!(!rereading.is_over(0) && !rereading.is_over(1));
    }
}

//! The topics of a topology: how each is made, and how the engine refers to them.

use std::sync::Arc;

const DAY_MS: i64 = 86_400_000;

/// Within how long no byte is left of what was deleted, and what has to happen by when for that. Each part of it is given a
/// share; together they come to three quarters:
///
/// ```text
/// deleted ──── its file is closed ──── cleaned: the value is gone ──── kept_deletions ──── cleaned: its key is gone too
///         2 × lag: it was begun just                              1/4                 2 × lag
///         before, and is noticed then
/// ```
/// The last quarter is for what is late: a cleaner that is busy, a hub that stood still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErasedWithin(i64);

impl Default for ErasedWithin {
    /// 30 days.
    fn default() -> Self {
        ErasedWithin::ms(30 * DAY_MS)
    }
}

impl ErasedWithin {
    /// The whole bound, in milliseconds.
    pub const fn ms(within_ms: i64) -> ErasedWithin {
        ErasedWithin(if within_ms < 8 { 8 } else { within_ms })
    }

    /// All of it, in milliseconds.
    pub const fn whole_ms(self) -> i64 {
        self.0
    }

    /// A file that is written to is closed after so long, and what is closed is cleaned after so long, in milliseconds.
    pub const fn lag_ms(self) -> i64 {
        self.0 / 8
    }

    /// How long changelogs keep deletions, in milliseconds. A store that was away for longer could miss one.
    pub const fn changelog_deletions_kept_ms(self) -> i64 {
        self.kept_deletions_ms(30 * DAY_MS)
    }

    /// How long feeds keep deletions, in milliseconds: a day, Kafka's default, so that a subscriber who comes once a day
    /// sees them; or less.
    pub const fn feed_deletions_kept_ms(self) -> i64 {
        self.kept_deletions_ms(DAY_MS)
    }

    const fn kept_deletions_ms(self, wanted_ms: i64) -> i64 {
        if wanted_ms < self.0 / 4 { wanted_ms } else { self.0 / 4 }
    }

    /// What goes by its age may be kept so long, in milliseconds.
    pub const fn retention_max_ms(self) -> i64 {
        self.0 / 2
    }

    /// For so long after a deletion it is looked after what may still have it, in milliseconds.
    pub const fn watched_ms(self) -> i64 {
        self.0 / 4 * 3
    }
}

/// A topic's place in the topology's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicIndex(pub u16);

/// What a topic keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cleanup {
    /// The newest value of each key.
    Compact,
    /// Everything, for a time (`None`: for ever), in milliseconds.
    Delete {
        /// How long.
        retention_ms: Option<i64>,
    },
}

/// Whose a topic is, and so who creates it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// A department's: read, never created.
    Spoke,
    /// Between two stages; records below the committed offset are deleted. One without a value says nothing.
    Repartition,
    /// The history of a stage's stores.
    Changelog,
    /// A public feed.
    Feed,
}

/// One topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSpec {
    /// Its full name.
    pub name: Arc<str>,
    /// Whose it is.
    pub ownership: Ownership,
    /// How many partitions; for a spoke's topic, whatever it has.
    pub partitions: i32,
    /// What it keeps.
    pub cleanup: Cleanup,
}

/// Every topic that a topology reads or writes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topics {
    list: Vec<TopicSpec>,
    /// Within how long nothing is left in them of what was deleted.
    pub erased_within: ErasedWithin,
}

impl Topics {
    /// No topics yet.
    pub fn new(erased_within: ErasedWithin) -> Topics {
        Topics { list: Vec::new(), erased_within }
    }

    /// Adds a topic and says how to refer to it.
    pub fn add(&mut self, topic: TopicSpec) -> TopicIndex {
        self.list.push(topic);
        TopicIndex(u16::try_from(self.list.len() - 1).expect("a topology has fewer than 65,536 topics"))
    }

    /// The topic.
    pub fn get(&self, index: TopicIndex) -> &TopicSpec {
        &self.list[usize::from(index.0)]
    }

    /// The topic of a name.
    pub fn find(&self, name: &str) -> Option<TopicIndex> {
        let position = self.list.iter().position(|topic| &*topic.name == name)?;
        Some(TopicIndex(u16::try_from(position).expect("a topology has fewer than 65,536 topics")))
    }

    /// Every topic with its index.
    pub fn iter(&self) -> impl Iterator<Item = (TopicIndex, &TopicSpec)> {
        (0_u16..).map(TopicIndex).zip(&self.list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_of_the_bound_come_to_less_than_all_of_it() {
        for within_ms in [0, 8, 60_000, 3_600_000, 30 * DAY_MS, 3_650 * DAY_MS] {
            let within = ErasedWithin::ms(within_ms);
            assert!(within.lag_ms() > 0, "{within:?}");
            for kept_ms in [within.changelog_deletions_kept_ms(), within.feed_deletions_kept_ms()] {
                assert!(4 * within.lag_ms() + kept_ms <= within.whole_ms() / 4 * 3 + 3, "{within:?}");
            }
            assert!(within.lag_ms() + within.retention_max_ms() <= within.whole_ms() / 4 * 3, "{within:?}");
        }
        assert_eq!(ErasedWithin::default().feed_deletions_kept_ms(), DAY_MS);
    }
}

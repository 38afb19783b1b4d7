//! The topics of a topology: how each is made, and how the engine refers to them.

use std::sync::Arc;

/// How long changelogs keep deletions, in milliseconds: 30 days. A store that was away for longer could miss one.
pub const DELETIONS_KEPT_MS: u64 = 30 * 86_400_000;

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
    /// Between two stages; records below the committed offset are deleted.
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
pub struct Topics(Vec<TopicSpec>);

impl Topics {
    /// Adds a topic and says how to refer to it.
    pub fn add(&mut self, topic: TopicSpec) -> TopicIndex {
        self.0.push(topic);
        TopicIndex(u16::try_from(self.0.len() - 1).expect("a topology has fewer than 65,536 topics"))
    }

    /// The topic.
    pub fn get(&self, index: TopicIndex) -> &TopicSpec {
        &self.0[usize::from(index.0)]
    }

    /// The topic of a name.
    pub fn find(&self, name: &str) -> Option<TopicIndex> {
        let position = self.0.iter().position(|topic| &*topic.name == name)?;
        Some(TopicIndex(u16::try_from(position).expect("a topology has fewer than 65,536 topics")))
    }

    /// Every topic with its index.
    pub fn iter(&self) -> impl Iterator<Item = (TopicIndex, &TopicSpec)> {
        (0_u16..).map(TopicIndex).zip(&self.0)
    }
}

//! Compiled spokes → all spokes of a hub, each with its own topic and name.

use std::collections::HashMap;

use super::{Spoke, SpokeError};
use crate::wire::registry::Registry;

/// All spokes, by topic.
#[derive(Debug, Default)]
pub struct SpokeSet {
    by_topic: HashMap<String, Spoke, ahash::RandomState>,
}

impl SpokeSet {
    /// Takes compiled spokes; each has its own topic and its own name.
    pub fn new(spokes: impl IntoIterator<Item = Spoke>) -> Result<SpokeSet, SpokeError> {
        let mut set = SpokeSet::default();
        for spoke in spokes {
            let error = |key: &str, problem: &str| SpokeError {
                spoke: spoke.name.clone(),
                line: None,
                key: key.to_owned(),
                problem: problem.to_owned(),
            };
            if set.by_topic.contains_key(&spoke.topic) {
                return Err(error("topic", "another spoke reads this topic; give each its own"));
            }
            if set.by_topic.values().any(|other| other.name == spoke.name) {
                return Err(error("spoke", "another file has this name; a touchpoint's id is unique within its spoke"));
            }
            set.by_topic.insert(spoke.topic.clone(), spoke);
        }
        Ok(set)
    }

    /// The schema registry that their records are read by, if there is one.
    pub fn registry(&self) -> Option<Registry> {
        self.by_topic.values().find_map(|spoke| spoke.decoder.registry())
    }

    /// The spoke that a topic belongs to.
    pub fn of_topic(&self, topic: &str) -> Option<&Spoke> {
        self.by_topic.get(topic)
    }

    /// The spoke of a name.
    pub fn of_name(&self, name: &str) -> Option<&Spoke> {
        self.by_topic.values().find(|spoke| spoke.name == name)
    }

    /// Every spoke, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Spoke> {
        let mut spokes: Vec<&Spoke> = self.by_topic.values().collect();
        spokes.sort_by(|a, b| a.name.cmp(&b.name));
        spokes.into_iter()
    }
}

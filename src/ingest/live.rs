//! The spokes as they are now, for those who take records: a reload puts others in their place while records come.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

use super::{Spoke, SpokeSet};

/// Spokes that can be replaced while the hub runs. Whoever takes records asks between two transactions, so that each record
/// of a transaction is mapped by the same version, and keeps what it was given until the next.
#[derive(Debug)]
pub struct LiveSpokes(RwLock<Arc<SpokeSet>>);

impl LiveSpokes {
    /// Spokes to begin with.
    pub fn new(spokes: SpokeSet) -> LiveSpokes {
        LiveSpokes(RwLock::new(Arc::new(spokes)))
    }

    /// The spokes as they are now.
    pub fn now(&self) -> Arc<SpokeSet> {
        // Nothing is half-changed when a thread panics here.
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on these. They must have the same names and topics ([`SpokeSet::changes`]): the topology was made of those.
    pub fn replace(&self, spokes: SpokeSet) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(spokes);
    }
}

/// How spokes differ from those that run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpokeChanges {
    /// Spokes of which only the mapping is another: it can be replaced while the hub runs.
    pub mappings: Vec<String>,
    /// What else differs, in words that name the spoke: the hub's topics are made of it.
    pub others: Vec<String>,
}

impl SpokeSet {
    /// How `new` differs from these.
    pub fn changes(&self, new: &SpokeSet) -> SpokeChanges {
        let by_name = |set: &'_ SpokeSet| -> BTreeMap<String, (String, u64)> {
            let key = |spoke: &Spoke| (spoke.name().to_owned(), (spoke.topic().to_owned(), spoke.fingerprint()));
            set.iter().map(key).collect()
        };
        let (old, new) = (by_name(self), by_name(new));
        let mut changes = SpokeChanges::default();
        for (name, (topic, fingerprint)) in &old {
            match new.get(name) {
                None => changes.others.push(format!("spoke {name} (removed)")),
                Some((other, _)) if other != topic => changes.others.push(format!("topic of spoke {name}")),
                Some((_, other)) if other != fingerprint => changes.mappings.push(name.clone()),
                Some(_) => {}
            }
        }
        let added = new.keys().filter(|name| !old.contains_key(*name));
        changes.others.extend(added.map(|name| format!("spoke {name} (new)")));
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ingest::{Options, SpokeFile},
        wire::Schemas,
    };

    fn set(spokes: &[(&str, &str, &str)]) -> SpokeSet {
        let compiled = spokes.iter().map(|(name, topic, condition)| {
            let text = format!(
                "spoke = \"{name}\"\ntopic = \"{topic}\"\nformat = \"touchpoint-json\"\ncondition = \"{condition}\""
            );
            let file = SpokeFile::parse(name, &text).expect("a spoke file of this test");
            Spoke::compile(&file, Options::default(), &Arc::new(Schemas::default())).expect("a spoke of this test")
        });
        SpokeSet::new(compiled).expect("spokes of this test")
    }

    #[test]
    fn mappings_are_told_from_what_the_topology_is_made_of() {
        let old = set(&[("a", "a.events", "true"), ("b", "b.events", "true"), ("c", "c.events", "true")]);
        assert_eq!(old.changes(&old), SpokeChanges::default());
        let new = set(&[("a", "a.events", "false"), ("b", "b.orders", "false"), ("d", "c.events", "true")]);
        let others = ["topic of spoke b", "spoke c (removed)", "spoke d (new)"].map(str::to_owned).to_vec();
        assert_eq!(old.changes(&new), SpokeChanges { mappings: vec!["a".to_owned()], others });
    }

    #[test]
    fn who_asked_before_keeps_what_was_there_and_who_asks_after_gets_the_others() {
        let live = LiveSpokes::new(set(&[("a", "a.events", "true")]));
        let before = live.now();
        live.replace(set(&[("a", "a.events", "false")]));
        let fingerprint = |spokes: &SpokeSet| spokes.iter().map(Spoke::fingerprint).collect::<Vec<_>>();
        assert_ne!(fingerprint(&before), fingerprint(&live.now()));
    }
}

//! Callers in; places for what they keep open out: so many for each, so that none takes all.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

type Taken = Arc<Mutex<BTreeMap<String, usize>>>;

/// So many places for each caller.
#[derive(Debug)]
pub struct Places {
    each: usize,
    taken: Taken,
}

/// A place; it is free again when this is dropped.
#[derive(Debug)]
pub struct Place {
    caller: String,
    taken: Taken,
}

impl Places {
    /// `each`: how many one caller may have at a time.
    pub fn new(each: usize) -> Places {
        Places { each, taken: Arc::default() }
    }

    /// A place for a caller; `None`: it has as many as it may.
    pub fn take(&self, caller: &str) -> Option<Place> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.get(caller).copied().unwrap_or_default();
        if count >= self.each {
            return None;
        }
        taken.insert(caller.to_owned(), count + 1);
        Some(Place { caller: caller.to_owned(), taken: Arc::clone(&self.taken) })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.caller) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.caller);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_has_so_many_places_and_takes_none_of_anothers() {
        let places = Places::new(2);
        let (first, second) = (places.take("one"), places.take("one"));
        assert!(first.is_some() && second.is_some() && places.take("one").is_none());
        assert!(places.take("other").is_some());
        drop(first);
        assert!(places.take("one").is_some(), "a place that was left is free");
        drop(second);
        assert!(places.taken.lock().expect("nobody panics").is_empty(), "nothing is kept of callers that are gone");
    }
}

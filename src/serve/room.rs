//! Bytes that somebody wants to hold in; room for them out, as long as there is some: of all, and of what one caller may have.
//!
//! What is held is what has come, or is announced to come, and not what might. So that whoever sends slowly, or much, never takes all
//! of it, nobody has more than a share.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

type Held = Arc<Mutex<BTreeMap<String, usize>>>;

/// Room for so many bytes.
#[derive(Clone, Debug)]
pub struct Rooms {
    all: Arc<Semaphore>,
    /// What one caller may have.
    share: usize,
    held: Held,
}

/// Room that somebody has, until this is dropped.
#[derive(Debug)]
pub struct Room {
    of: Rooms,
    caller: String,
    bytes: usize,
    permit: Option<OwnedSemaphorePermit>,
}

impl Rooms {
    /// `bytes`: of all; `share`: of one caller.
    pub fn new(bytes: u32, share: u32) -> Rooms {
        Rooms { all: Arc::new(Semaphore::new(bytes as usize)), share: share as usize, held: Arc::default() }
    }

    /// Room for so many bytes of a caller; `None`: there is not so much now.
    pub fn take(&self, caller: &str, bytes: usize) -> Option<Room> {
        let mut room = Room { of: self.clone(), caller: caller.to_owned(), bytes: 0, permit: None };
        room.grow(bytes).then_some(room)
    }
}

impl Room {
    /// Takes more; whether there is so much.
    pub fn grow(&mut self, bytes: usize) -> bool {
        let Ok(permits) = u32::try_from(bytes) else { return false };
        let mut held = self.of.held.lock().unwrap_or_else(PoisonError::into_inner);
        let of_caller = held.get(&self.caller).copied().unwrap_or_default();
        if of_caller + bytes > self.of.share {
            return false;
        }
        let Ok(more) = Arc::clone(&self.of.all).try_acquire_many_owned(permits) else { return false };
        if bytes > 0 {
            held.insert(self.caller.clone(), of_caller + bytes);
            self.bytes += bytes;
        }
        match &mut self.permit {
            Some(permit) => permit.merge(more),
            none => *none = Some(more),
        }
        true
    }

    /// Gives back what is more than so much.
    pub fn shrink_to(&mut self, bytes: usize) {
        let more = self.bytes.saturating_sub(bytes);
        if let Some(permit) = &mut self.permit {
            drop(permit.split(more));
        }
        self.give_back(more);
    }

    /// How much it is.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn give_back(&mut self, bytes: usize) {
        self.bytes -= bytes;
        let mut held = self.of.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(of_caller) = held.get_mut(&self.caller) {
            *of_caller = of_caller.saturating_sub(bytes);
            if *of_caller == 0 {
                held.remove(&self.caller);
            }
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.give_back(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_takes_all_of_it_and_what_is_given_back_is_there_again() {
        let rooms = Rooms::new(100, 75);
        let first = rooms.take("a", 70).expect("there is room");
        assert!(rooms.take("a", 6).is_none(), "its share");
        let mut second = rooms.take("b", 20).expect("others have room");
        assert!(second.grow(10) && !second.grow(1), "all of it");
        assert!(rooms.take("c", 1).is_none());
        second.shrink_to(5);
        assert_eq!(second.bytes(), 5);
        let third = rooms.take("c", 25).expect("what was given back");
        drop((first, second));
        assert_eq!(rooms.held.lock().expect("nobody panics").keys().collect::<Vec<_>>(), ["c"]);
        assert!(rooms.take("c", 51).is_none() && rooms.take("c", 50).is_some());
        drop(third);
        assert!(rooms.take("a", 75).is_some() && rooms.take("a", usize::MAX).is_none());
        assert!(rooms.held.lock().expect("nobody panics").is_empty());
        assert_eq!(rooms.all.available_permits(), 100);
    }
}

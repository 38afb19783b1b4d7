//! The keys of one object → which of them a text is, by looking at one candidate or two.

use std::sync::atomic::{AtomicU8, Ordering};

/// Tries of another multiplier before the table is made larger, and how large it may become for each key.
const TRIES: u64 = 64;
const PLACES_A_KEY_MAX: usize = 32;

/// A table without collisions: a text's outline, multiplied and shifted, is the place of the only key that it can be.
#[derive(Clone, Debug, Default)]
pub(super) struct KeyIndex {
    multiplier: u64,
    shift: u32,
    /// The number of a key and one; 0: none. Empty: the keys are too much alike, and are looked at one by one.
    places: Box<[u8]>,
    next: Guesses,
}

/// Which key came after each, the last time: producers write them in the same order again and again. The processor looks at
/// what is guessed before it has seen the text; a place that is computed from the text it has to wait for.
#[derive(Debug, Default)]
struct Guesses(Box<[AtomicU8]>);

impl Clone for Guesses {
    fn clone(&self) -> Guesses {
        Guesses(self.0.iter().map(|_| AtomicU8::new(0)).collect())
    }
}

impl KeyIndex {
    pub(super) fn of<T>(keys: &[(Box<str>, T)]) -> KeyIndex {
        let smallest = (keys.len() * 2).next_power_of_two().max(2);
        let sizes = std::iter::successors(Some(smallest), |size| Some(size * 2));
        for size in sizes.take_while(|size| keys.len() < usize::from(u8::MAX) && *size <= keys.len() * PLACES_A_KEY_MAX)
        {
            let shift = 64 - size.trailing_zeros();
            for attempt in 1..=TRIES {
                // Odd, and with bits everywhere (the golden ratio's, as D. Knuth takes for multiplicative hashing).
                let multiplier = attempt.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
                let mut places = vec![0; size].into_boxed_slice();
                let is_free = |(number, (key, _)): (usize, &(Box<str>, T))| {
                    let place = &mut places[place(key, multiplier, shift)];
                    let is_free = *place == 0;
                    *place = u8::try_from(number + 1).unwrap_or(u8::MAX);
                    is_free
                };
                if keys.iter().enumerate().all(is_free) {
                    // One more for the first.
                    let next = Guesses((0..=keys.len()).map(|_| AtomicU8::new(0)).collect());
                    return KeyIndex { multiplier, shift, places, next };
                }
            }
        }
        KeyIndex::default()
    }

    /// Which of the keys that the index is of a text is. `after`: 0 for the first of an object, then what was found last and
    /// one; only a help.
    #[inline]
    pub(super) fn find<T>(&self, keys: &[(Box<str>, T)], after: usize, text: &str) -> Option<usize> {
        let Some(guess) = self.next.0.get(after) else {
            return keys.iter().position(|(key, _)| **key == *text);
        };
        let guessed = usize::from(guess.load(Ordering::Relaxed));
        if keys.get(guessed).is_some_and(|(key, _)| is_same(key, text)) {
            return Some(guessed);
        }
        let place = self.places.get(place(text, self.multiplier, self.shift))?;
        let number = place.checked_sub(1)?;
        let found = usize::from(number);
        if keys.get(found).is_some_and(|(key, _)| is_same(key, text)) {
            guess.store(number, Ordering::Relaxed);
            return Some(found);
        }
        None
    }
}

#[inline]
fn place(text: &str, multiplier: u64, shift: u32) -> usize {
    (outline(text).wrapping_mul(multiplier) >> (shift & 63)) as usize
}

/// A number that tells nearly all words apart: the length and the bytes at both ends. Words of up to eight bytes with one length
/// and one outline are the same.
#[inline]
pub fn outline(word: &str) -> u64 {
    let bytes = word.as_bytes();
    let ends = match (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        (Some(&first), Some(&last)) => u64::from(u32::from_le_bytes(first)) << 32 | u64::from(u32::from_le_bytes(last)),
        _ => bytes.iter().fold(0, |number, &byte| number << 8 | u64::from(byte)),
    };
    ends ^ (bytes.len() as u64).rotate_right(8)
}

/// Whether two texts are equal, which short ones are seen to be without a call.
#[inline]
pub fn is_same(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len() != b.len() {
        return false;
    }
    match (a.first_chunk::<8>(), b.first_chunk::<8>(), a.last_chunk::<8>(), b.last_chunk::<8>()) {
        (Some(a_first), Some(b_first), Some(a_last), Some(b_last)) => {
            a_first == b_first && a_last == b_last && (a.len() <= 16 || a == b)
        }
        _ => match (a.first_chunk::<4>(), b.first_chunk::<4>(), a.last_chunk::<4>(), b.last_chunk::<4>()) {
            (Some(a_first), Some(b_first), Some(a_last), Some(b_last)) => a_first == b_first && a_last == b_last,
            _ => a.iter().zip(b).all(|(a, b)| a == b),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_finds_what_a_search_one_by_one_finds(
            keys in prop::collection::btree_set("[ab]{0,6}|[a-z_]{1,12}", 0..300),
            others in prop::collection::vec("[ab]{0,6}|[a-z_]{1,12}|.{0,4}", 0..20),
        ) {
            let keys: Vec<(Box<str>, ())> = keys.into_iter().map(|key| (key.into_boxed_str(), ())).collect();
            let index = KeyIndex::of(&keys);
            for _ in 0..2 {
                let mut after = 0;
                for text in keys.iter().map(|(key, ())| &**key).chain(others.iter().map(String::as_str)) {
                    let found = index.find(&keys, after, text);
                    prop_assert_eq!(found, keys.iter().position(|(key, ())| **key == *text), "{}", text);
                    after = found.map_or(after, |found| found + 1);
                }
            }
        }
    }

    proptest! {
        #[test]
        fn texts_are_the_same_if_they_are(a in "[ab]{0,40}", b in "[ab]{0,40}", at in 0_usize..40) {
            prop_assert!(is_same(&a, &a.clone()));
            prop_assert_eq!(is_same(&a, &b), a == b);
            if at < a.len() {
                let mut other = a.clone().into_bytes();
                other[at] ^= 3; // a and b change places
                prop_assert!(!is_same(&a, std::str::from_utf8(&other).expect("ASCII")));
            }
        }
    }

    #[test]
    fn the_canonical_touchpoint_is_found_without_a_search() {
        let keys = [
            "id",
            "spoke",
            "kind",
            "label",
            "occurred_at",
            "identifiers",
            "channel",
            "subject",
            "product",
            "region",
            "segment",
            "campaign",
            "content",
            "account",
            "amount",
            "cost",
            "score",
            "promised_at",
            "initiator",
            "visibility",
            "sentiment",
            "referrer",
            "effort",
            "properties",
        ];
        let keys: Vec<(Box<str>, ())> = keys.iter().map(|key| (Box::from(*key), ())).collect();
        assert!((48..=256).contains(&KeyIndex::of(&keys).places.len()));
    }

    #[test]
    fn the_keys_of_usual_events_have_a_small_table() {
        let keys = ["id", "event", "ts", "profile", "cmp", "asset", "medium", "segment", "market", "product", "mood"];
        let keys: Vec<(Box<str>, ())> = keys.iter().map(|key| (Box::from(*key), ())).collect();
        let places = KeyIndex::of(&keys).places.len();
        assert!((22..=128).contains(&places), "{places}");
    }
}

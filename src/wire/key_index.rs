//! The keys of one object → which of them a text is, by looking at one candidate.

/// Tries of another multiplier before the table is made larger, and how large it may become for each key.
const TRIES: u32 = 64;
const PLACES_A_KEY_MAX: usize = 32;

/// A table without collisions: a text's outline, multiplied and shifted, is the place of the only key that it can be.
#[derive(Clone, Debug, Default)]
pub(super) struct KeyIndex {
    multiplier: u32,
    shift: u32,
    /// The number of a key and one; 0: none. Empty: the keys are too much alike, and are looked at one by one.
    places: Box<[u8]>,
}

impl KeyIndex {
    pub(super) fn of<T>(keys: &[(Box<str>, T)]) -> KeyIndex {
        let smallest = (keys.len() * 2).next_power_of_two().max(2);
        let sizes = std::iter::successors(Some(smallest), |size| Some(size * 2));
        for size in sizes.take_while(|size| keys.len() < usize::from(u8::MAX) && *size <= keys.len() * PLACES_A_KEY_MAX)
        {
            let shift = 32 - size.trailing_zeros();
            for attempt in 1..=TRIES {
                // Odd, and with bits everywhere (the golden ratio's, as D. Knuth takes for multiplicative hashing).
                let multiplier = attempt.wrapping_mul(0x9E37_79B9) | 1;
                let mut places = vec![0; size].into_boxed_slice();
                let is_free = |(number, (key, _)): (usize, &(Box<str>, T))| {
                    let place = &mut places[place(key, multiplier, shift)];
                    let is_free = *place == 0;
                    *place = u8::try_from(number + 1).unwrap_or(u8::MAX);
                    is_free
                };
                if keys.iter().enumerate().all(is_free) {
                    return KeyIndex { multiplier, shift, places };
                }
            }
        }
        KeyIndex::default()
    }

    /// Which of the keys that the index is of a text is.
    #[inline]
    pub(super) fn find<T>(&self, keys: &[(Box<str>, T)], text: &str) -> Option<usize> {
        if self.places.is_empty() {
            return keys.iter().position(|(key, _)| **key == *text);
        }
        let number = usize::from(self.places[place(text, self.multiplier, self.shift)]).checked_sub(1)?;
        (*keys[number].0 == *text).then_some(number)
    }
}

#[inline]
fn place(text: &str, multiplier: u32, shift: u32) -> usize {
    let bytes = text.as_bytes();
    let byte = |at: usize| bytes.get(at).copied().map_or(0, u32::from);
    let outline =
        byte(0) | byte(bytes.len() / 2) << 8 | byte(bytes.len().wrapping_sub(1)) << 16 | (bytes.len() as u32) << 24;
    (outline.wrapping_mul(multiplier) >> shift) as usize
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
            for text in keys.iter().map(|(key, ())| &**key).chain(others.iter().map(String::as_str)) {
                prop_assert_eq!(index.find(&keys, text), keys.iter().position(|(key, ())| **key == *text), "{}", text);
            }
        }
    }

    #[test]
    fn the_keys_of_usual_events_have_a_small_table() {
        let keys = ["id", "event", "ts", "profile", "cmp", "asset", "medium", "segment", "market", "product", "mood"];
        let keys: Vec<(Box<str>, ())> = keys.iter().map(|key| (Box::from(*key), ())).collect();
        let places = KeyIndex::of(&keys).places.len();
        assert!((22..=128).contains(&places), "{places}");
    }
}

//! A department's words → what they mean to us.

use crate::wire::{is_same, outline};

/// Words in an order in which one is found by comparing numbers.
#[derive(Debug)]
pub(super) struct Words<T>(Vec<(u64, Box<str>, T)>);

impl<T> Default for Words<T> {
    fn default() -> Words<T> {
        Words(Vec::new())
    }
}

impl<T> FromIterator<(Box<str>, T)> for Words<T> {
    fn from_iter<I: IntoIterator<Item = (Box<str>, T)>>(words: I) -> Words<T> {
        let mut words: Vec<_> = words.into_iter().map(|(word, meaning)| (outline(&word), word, meaning)).collect();
        words.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
        Words(words)
    }
}

impl<T> Words<T> {
    /// Whether there are none.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What a word means, if it is one of them.
    #[inline]
    pub(super) fn get(&self, word: &str) -> Option<&T> {
        if self.is_empty() {
            return None;
        }
        let outline = outline(word);
        let start = self.0.partition_point(|(known, ..)| *known < outline);
        let alike = self.0[start..].iter().take_while(|(known, ..)| *known == outline);
        alike.into_iter().find(|(_, known, _)| is_same(known, word)).map(|(.., meaning)| meaning)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_found_and_no_other() {
        let known = ["", "a", "ab", "abc", "abcd", "abcde", "Opened", "OpenXened", "Open and ened", "OpenYened", "é"];
        let words: Words<usize> = known.iter().enumerate().map(|(index, word)| (Box::from(*word), index)).collect();
        for (index, word) in known.iter().enumerate() {
            assert_eq!(words.get(word), Some(&index), "{word}");
        }
        // The same length and the same ends.
        for other in ["b", "ba", "OpenZened", "opened", "abcdef", "ab\0", "\0", "\0\0\0a"] {
            assert_eq!(words.get(other), None, "{other}");
        }
        assert_eq!(Words::<usize>::default().get(""), None);
    }
}

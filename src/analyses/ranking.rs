//! Many candidates in, the first few in order out, and how much the rest comes to.

use std::{cmp::Ordering, collections::BinaryHeap};

/// What is shown of many, first things first, and how many there were in all.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranked<T, O = Rest> {
    /// The first ones, in order.
    pub shown: Vec<T>,
    /// What the others come to together.
    pub other: O,
}

/// What is not shown, summed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rest {
    /// How many different ones.
    pub kinds: usize,
    /// How many observations they hold together.
    pub n: i64,
}

impl Rest {
    /// One more of them.
    pub(super) fn add(&mut self, n: i64) {
        self.kinds += 1;
        self.n = self.n.wrapping_add(n);
    }

    /// What one of them holds was `before`, and is `after`; nothing, and less than nothing, is none of them.
    pub(super) fn change(&mut self, before: i64, after: i64) {
        self.kinds = self.kinds + usize::from(after > 0) - usize::from(before > 0);
        self.n = self.n.wrapping_add(after.max(0)).wrapping_sub(before.max(0));
    }

    /// Without those that are shown.
    pub(super) fn without(self, shown: impl ExactSizeIterator<Item = i64>) -> Rest {
        Rest { kinds: self.kinds - shown.len(), n: shown.fold(self.n, i64::wrapping_sub) }
    }
}

/// The first `limit` of the candidates by `order`, in order; the others are not kept in the meantime, so that a million
/// candidates cost no more memory than the few. `order` must be total and leave no two of them equal: then it does not matter
/// how they come in.
pub(super) fn first<T>(
    candidates: impl Iterator<Item = T>,
    limit: usize,
    order: impl Fn(&T, &T) -> Ordering,
) -> Vec<T> {
    struct Entry<'o, T, F>(T, &'o F);
    impl<T, F: Fn(&T, &T) -> Ordering> PartialEq for Entry<'_, T, F> {
        fn eq(&self, other: &Self) -> bool {
            self.cmp(other) == Ordering::Equal
        }
    }
    impl<T, F: Fn(&T, &T) -> Ordering> Eq for Entry<'_, T, F> {}
    impl<T, F: Fn(&T, &T) -> Ordering> PartialOrd for Entry<'_, T, F> {
        fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
            Some(self.cmp(other))
        }
    }
    impl<T, F: Fn(&T, &T) -> Ordering> Ord for Entry<'_, T, F> {
        fn cmp(&self, other: &Self) -> Ordering {
            (self.1)(&self.0, &other.0)
        }
    }

    // The last of the first ones is on top, to be pushed out.
    let mut heap: BinaryHeap<Entry<'_, T, _>> = BinaryHeap::with_capacity(limit.min(1_024) + 1);
    for candidate in candidates {
        if heap.len() < limit {
            heap.push(Entry(candidate, &order));
        } else if let Some(mut last) = heap.peek_mut()
            && order(&candidate, &last.0) == Ordering::Less
        {
            last.0 = candidate;
        }
    }
    heap.into_sorted_vec().into_iter().map(|entry| entry.0).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_first_are_those_of_a_whole_sort(
            mut numbers in prop::collection::btree_set(any::<u16>(), 0..50).prop_map(Vec::from_iter).prop_shuffle(),
            limit in 0_usize..60,
        ) {
            let few = first(numbers.iter().copied(), limit, |a, b| b.cmp(a));
            numbers.sort_unstable_by(|a, b| b.cmp(a));
            numbers.truncate(limit);
            prop_assert_eq!(few, numbers);
        }
    }
}

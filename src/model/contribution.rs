//! Contributions: signed integers for cells, elements of an abelian group, so that everything can be taken back.

use serde::{Deserialize, Serialize};

use super::{
    kind::vocabulary,
    time::Window,
    touchpoint::{Currency, Money},
};

vocabulary! {
    /// What a cell is about besides its metric and window: the whole company, or one value of one dimension.
    Dimension {
        Company => "company",
        Spoke => "spoke",
        Channel => "channel",
        Segment => "segment",
        Region => "region",
        Product => "product",
        Subject => "subject",
        Campaign => "campaign",
        Account => "account",
        Phase => "phase",
        Item => "item",
    }
}

impl Dimension {
    /// What most metrics are published for: all but the item of a pair of answers.
    pub const COMMON: &'static [Dimension] = Dimension::ALL.split_at(Dimension::Item as usize).0;
}

/// A cell: metric × window × dimension value (× currency).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CellKey<'a> {
    /// The metric's index in the catalogue (`metrics::catalogue`), part of the internal format.
    pub metric: u8,
    /// The currency, for metrics in money.
    pub currency: Option<Currency>,
    /// Which dimension.
    pub dimension: Dimension,
    /// Its value; empty for [`Dimension::Company`].
    pub value: &'a str,
    /// The window. Level metrics contribute changes to [`super::WindowKind::Day`] windows only.
    pub window: Window,
}

impl CellKey<'_> {
    /// Where the cell is placed: cells that are looked at together share a partition, which are every window and value of
    /// metric × currency × dimension, and all analyses. XXH3-64, part of the internal format.
    pub fn placement(&self) -> u64 {
        if self.is_of_family() {
            // Analyses look at each other's families.
            return 0;
        }
        let [first, second, third] = self.currency.map_or([0; 3], |currency| currency.0);
        xxhash_rust::xxh3::xxh3_64(&[self.metric, self.dimension as u8, first, second, third])
    }
}

/// What a cell holds and a contribution adds: integers only. Arithmetic is modulo 2⁶⁴ (2¹²⁸ for squares), so that adding
/// and taking back is exact whatever the input.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accumulator {
    /// How many observations.
    pub n: i64,
    /// A count or sum with the meaning that the metric's definition gives it (promoters, satisfied, on time, …).
    pub a: i64,
    /// A second one (detractors, …).
    pub b: i64,
    /// The sum of the observed values (minor units, milliseconds, points).
    pub sum: i64,
    /// The sum of their squares.
    pub squares: i128,
    /// Counts by [`log_bucket`], ascending, no zeros.
    pub buckets: Vec<(i16, i64)>,
}

impl Accumulator {
    /// Whether nothing is left: the neutral element.
    pub fn is_zero(&self) -> bool {
        self.n == 0 && self.a == 0 && self.b == 0 && self.sum == 0 && self.squares == 0 && self.buckets.is_empty()
    }

    /// `n` observations and nothing else.
    pub fn count(n: i64) -> Accumulator {
        Accumulator { n, ..Accumulator::default() }
    }

    /// One observation of a value with its square.
    pub fn observe(value: i64) -> Accumulator {
        Accumulator { n: 1, sum: value, squares: i128::from(value) * i128::from(value), ..Accumulator::default() }
    }

    /// One observation of a value with its square and its bucket.
    pub fn observe_distribution(value: i64) -> Accumulator {
        Accumulator { buckets: vec![(log_bucket(value), 1)], ..Accumulator::observe(value) }
    }

    /// One amount of money for a cell that holds those of every currency: in the buckets `number` the sum of a currency's
    /// minor units, in the bucket `−1 − number` how many amounts there were ([`Currency::number`]).
    pub fn money(amount: Money) -> Accumulator {
        let number = amount.currency.number();
        let mut buckets = vec![(-1 - number, 1)];
        if amount.minor != 0 {
            buckets.push((number, amount.minor));
        }
        Accumulator { buckets, ..Accumulator::default() }
    }

    /// The sum of each currency of which there are amounts, in minor units: of a cell of [`Accumulator::money`].
    pub fn sums_of_money(&self) -> impl Iterator<Item = (Currency, i64)> + '_ {
        let counted = self.buckets.iter().take_while(|(bucket, _)| *bucket < 0);
        counted.filter_map(|&(bucket, _)| {
            let number = -1 - bucket;
            let sum = self.buckets.binary_search_by_key(&number, |&(bucket, _)| bucket);
            Some((Currency::of_number(number)?, sum.map_or(0, |index| self.buckets[index].1)))
        })
    }

    /// Adds `times` times another element: `1` to contribute, `-1` to take back.
    pub fn add(&mut self, other: &Accumulator, times: i64) {
        self.n = self.n.wrapping_add(other.n.wrapping_mul(times));
        self.a = self.a.wrapping_add(other.a.wrapping_mul(times));
        self.b = self.b.wrapping_add(other.b.wrapping_mul(times));
        self.sum = self.sum.wrapping_add(other.sum.wrapping_mul(times));
        self.squares = self.squares.wrapping_add(other.squares.wrapping_mul(i128::from(times)));
        for &(bucket, count) in &other.buckets {
            let count = count.wrapping_mul(times);
            match self.buckets.binary_search_by_key(&bucket, |&(bucket, _)| bucket) {
                Ok(index) => {
                    self.buckets[index].1 = self.buckets[index].1.wrapping_add(count);
                    if self.buckets[index].1 == 0 {
                        self.buckets.remove(index);
                    }
                }
                Err(index) if count != 0 => self.buckets.insert(index, (bucket, count)),
                Err(_) => {}
            }
        }
    }
}

/// A cell's key with what to add to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contribution<'a> {
    /// The cell.
    #[serde(borrow)]
    pub cell: CellKey<'a>,
    /// What to add.
    pub add: Accumulator,
}

/// The bucket of a value: exact below 128, then 64 buckets per power of two, mirrored for negative values. The middle of a
/// bucket ([`log_bucket_middle`]) is within 1/128 (0.8 %) of every value in it (after G. Tene's HdrHistogram).
pub fn log_bucket(value: i64) -> i16 {
    let magnitude = value.unsigned_abs();
    let index = if magnitude < 128 {
        magnitude as i16
    } else {
        let shift = 57 - magnitude.leading_zeros() as i16; // keeps the 7 leading bits: 64..=127
        shift * 64 + (magnitude >> shift) as i16
    };
    if value < 0 { -index } else { index }
}

/// The value that stands for a bucket: the middle of its integers.
pub fn log_bucket_middle(bucket: i16) -> f64 {
    let index = i64::from(bucket.unsigned_abs());
    let middle = if index < 128 {
        index as f64
    } else {
        let shift = (index - 64) / 64;
        let lowest = ((index - shift * 64) as u64) << shift;
        lowest as f64 + ((1_u64 << shift) - 1) as f64 / 2.0
    };
    if bucket < 0 { -middle } else { middle }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_bucket_stands_for_its_values_within_one_percent(value in prop_oneof![-1_000_000_i64..1_000_000, any::<i64>()]) {
            let middle = log_bucket_middle(log_bucket(value));
            prop_assert!((middle - value as f64).abs() <= (value as f64).abs() / 100.0);
        }

        #[test]
        fn money_of_many_currencies_is_summed_and_taken_back(
            amounts in prop::collection::vec(("[A-Z]{3}", -1_000_000_i64..1_000_000), 0..20), back in any::<prop::sample::Index>(),
        ) {
            let amounts: Vec<Money> = amounts.iter()
                .map(|(code, minor)| Money { minor: *minor, currency: Currency::parse(code).expect("a code") }).collect();
            let mut cell = Accumulator::default();
            for &amount in &amounts { cell.add(&Accumulator::money(amount), 1); }
            let mut sums = std::collections::BTreeMap::new();
            for amount in &amounts { *sums.entry(amount.currency).or_insert(0) += amount.minor; }
            prop_assert_eq!(cell.sums_of_money().collect::<std::collections::BTreeMap<_, _>>(), sums);
            if let Some(&one) = amounts.get(back.index(amounts.len().max(1))) {
                cell.add(&Accumulator::money(one), -1);
                let left = amounts.iter().filter(|amount| amount.currency == one.currency).count() - 1;
                prop_assert_eq!(cell.sums_of_money().any(|(currency, _)| currency == one.currency), left > 0);
            }
        }

        #[test]
        fn buckets_keep_the_order_of_values(a in any::<i64>(), b in any::<i64>()) {
            if a <= b { prop_assert!(log_bucket(a) <= log_bucket(b)); }
        }

        #[test]
        fn what_is_added_can_be_taken_back(values in prop::collection::vec(any::<i64>(), 0..20), other in any::<i64>()) {
            let mut sum = Accumulator::observe_distribution(other);
            for &value in &values { sum.add(&Accumulator::observe_distribution(value), 1); }
            for &value in values.iter().rev() { sum.add(&Accumulator::observe_distribution(value), -1); }
            prop_assert_eq!(sum, Accumulator::observe_distribution(other));
        }
    }
}

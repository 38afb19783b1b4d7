//! Reproducible randomness: integers only, the same on every platform and in every release.

/// SplitMix64 (G. Steele, D. Lea, C. Flood, "Fast splittable pseudorandom number generators", 2014). The generators of
/// `rand` do not promise the same numbers in later versions; fixtures and benchmarks need that.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// An independent sequence for a part of a whole: a customer, a journey.
    pub const fn of_part(seed: u64, part: u64) -> Random {
        Random(mix(mix(seed.wrapping_add(0x9E37_79B9_7F4A_7C15)) ^ part.wrapping_mul(0xD6E8_FEB8_6659_FD93)))
    }

    /// The next 64 bits.
    pub const fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    /// A number below `limit` (0 if `limit` is 0). The bias of the multiplication is below limit / 2⁶⁴.
    pub const fn below(&mut self, limit: u64) -> u64 {
        ((self.bits() as u128 * limit as u128) >> 64) as u64
    }

    /// A number from `low` to `high`, both included.
    pub const fn between(&mut self, low: i64, high: i64) -> i64 {
        low + self.below((high - low + 1) as u64) as i64
    }

    /// True with a chance in millionths.
    pub const fn chance(&mut self, millionths: u32) -> bool {
        self.below(1_000_000) < millionths as u64
    }

    /// True with a chance in percent.
    pub const fn percent(&mut self, percent: u32) -> bool {
        self.chance(percent * 10_000)
    }

    /// One of several.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }

    /// The index of one of several weights.
    pub fn weighted(&mut self, weights: &[u64]) -> usize {
        let mut at = self.below(weights.iter().sum());
        for (index, &weight) in weights.iter().enumerate() {
            if at < weight {
                return index;
            }
            at -= weight;
        }
        weights.len() - 1
    }
}

const fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}

/// Draws ranks from 0 with weight 1 / (rank + 1)^exponent, in constant time (M. Vose, "A linear algorithm for generating
/// random numbers with a given distribution", 1991).
#[derive(Clone, Debug)]
pub struct Zipf {
    /// Per rank: below this (of 2³²) the rank itself is drawn, otherwise its alias.
    columns: Vec<(u32, u32)>,
}

impl Zipf {
    /// `exponent_hundredths`: 0 is uniform, 100 is Zipf's law proper. At least one rank.
    pub fn new(ranks: u32, exponent_hundredths: u32) -> Zipf {
        let ranks = ranks.max(1);
        let weights: Vec<u64> = (1..=ranks).map(|rank| weight(rank, exponent_hundredths)).collect();
        let total: u128 = weights.iter().map(|weight| u128::from(*weight)).sum();
        let mut columns: Vec<(u32, u32)> = (0..ranks).map(|rank| (u32::MAX, rank)).collect();
        // In units of total / ranks: a column is full at `total`.
        let mut heights: Vec<u128> = weights.iter().map(|weight| u128::from(*weight) * u128::from(ranks)).collect();
        let (mut small, mut large): (Vec<u32>, Vec<u32>) = (0..ranks).partition(|rank| heights[*rank as usize] < total);
        while let (Some(low), Some(high)) = (small.pop(), large.last().copied()) {
            let height = heights[low as usize];
            columns[low as usize] = (((height << 32) / total) as u32, high);
            heights[high as usize] -= total - height;
            if heights[high as usize] < total {
                large.pop();
                small.push(high);
            }
        }
        Zipf { columns }
    }

    /// One rank.
    pub fn draw(&self, random: &mut Random) -> u32 {
        let bits = random.bits();
        let column = (((bits >> 32) * self.columns.len() as u64) >> 32) as u32;
        let (threshold, alias) = self.columns[column as usize];
        if (bits as u32) <= threshold { column } else { alias }
    }
}

/// 2⁴⁰ / rank^exponent. Only multiplication, division and square roots, which IEEE 754 rounds alike everywhere (`powf`
/// is the platform's).
fn weight(rank: u32, exponent_hundredths: u32) -> u64 {
    let rank = f64::from(rank);
    let mut power = 1.0;
    for _ in 0..exponent_hundredths / 100 {
        power *= rank;
    }
    // The fraction of the exponent in binary: rank^(1/2), rank^(1/4), …
    let mut fraction = exponent_hundredths % 100;
    let mut root = rank;
    for _ in 0..24 {
        root = root.sqrt();
        fraction *= 2;
        if fraction >= 100 {
            fraction -= 100;
            power *= root;
        }
    }
    ((1_u64 << 40) as f64 / power).max(1.0) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_the_published_one() {
        // The reference implementation's first numbers for seed 1234567.
        let mut random = Random(1_234_567);
        assert_eq!(
            [random.bits(), random.bits(), random.bits()],
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]
        );
    }

    #[test]
    fn ranks_are_drawn_by_their_weight() {
        let zipf = Zipf::new(1_000, 100);
        let mut random = Random(5);
        let mut drawn = vec![0_u32; 1_000];
        (0..1_000_000).for_each(|_| drawn[zipf.draw(&mut random) as usize] += 1);
        // H(1000) = 7.485: rank 1 has 13.36 %, rank 10 has 1.336 %.
        assert!((132_500..134_700).contains(&drawn[0]), "{}", drawn[0]);
        assert!((12_900..13_900).contains(&drawn[9]), "{}", drawn[9]);
        let uniform = Zipf::new(4, 0);
        let mut drawn = [0_u32; 4];
        (0..400_000).for_each(|_| drawn[uniform.draw(&mut random) as usize] += 1);
        assert!(drawn.iter().all(|count| (98_500..101_500).contains(count)), "{drawn:?}");
        // 4^1.5 = 8.
        assert_eq!(weight(4, 150), (1 << 40) / 8);
    }
}

//! Observations in, what they differ by and within which 95 % interval out.

/// The fewest observations on each side.
const FEWEST: usize = 30;
const Z: f64 = 1.959963984540054;

/// Wilson's interval of a share of `n`.
pub fn wilson(a: i64, n: i64) -> Option<(f64, f64)> {
    if n <= 0 || !(0..=n).contains(&a) {
        return None;
    }
    let (size, p) = (n as f64, a as f64 / n as f64);
    let half = Z * (size * p * (1.0 - p) + Z * Z / 4.0).sqrt();
    let bound = |half: f64| (size * p + Z * Z / 2.0 + half) / (size + Z * Z);
    Some((bound(-half), bound(half)))
}

/// The first share (some of so many) less the second, with Newcombe's interval: value, low, high.
pub fn difference_of_shares(one: (i64, i64), other: (i64, i64)) -> Option<[f64; 3]> {
    let share = |(a, n): (i64, i64)| a as f64 / n as f64;
    let ((p_low, p_high), (q_low, q_high)) = (wilson(one.0, one.1)?, wilson(other.0, other.1)?);
    let (p, q) = (share(one), share(other));
    let apart = |x: f64, y: f64| (x * x + y * y).sqrt();
    Some([p - q, p - q - apart(p - p_low, q_high - q), p - q + apart(p_high - p, q - q_low)])
}

/// The same with enough on each side.
pub fn shares(one: (i64, i64), other: (i64, i64)) -> Option<[f64; 3]> {
    if one.1.min(other.1) < FEWEST as i64 { None } else { difference_of_shares(one, other) }
}

/// The first mean less the second by Welch's test, with enough on each side that are not all the same: value, low, high.
pub fn means(one: &[i64], other: &[i64]) -> Option<[f64; 3]> {
    if one.len().min(other.len()) < FEWEST {
        return None;
    }
    let of = |values: &[i64]| {
        let n = values.len() as f64;
        let mean = values.iter().sum::<i64>() as f64 / n;
        let spread: f64 = values.iter().map(|&value| (value as f64 - mean).powi(2)).sum();
        (n, mean, spread / (n - 1.0) / n)
    };
    let ((n, mean_one, a), (m, mean_other, b)) = (of(one), of(other));
    if a + b <= 0.0 {
        return None;
    }
    let freedom = (a + b).powi(2) / (a * a / (n - 1.0) + b * b / (m - 1.0));
    let half = student(freedom) * (a + b).sqrt();
    let value = mean_one - mean_other;
    Some([value, value - half, value + half])
}

/// Within which 95 % of Student's t distribution lie: its density becomes a power of a cosine on an angle, which is
/// integrated by Simpson's rule.
fn student(freedom: f64) -> f64 {
    let within = |angle: f64| {
        let steps = 4_000;
        let step = angle / f64::from(steps);
        let at = |number: i32| (step * f64::from(number)).cos().powf(freedom - 1.0);
        let weight = |number: i32| if number % 2 == 1 { 4.0 } else { 2.0 };
        let inside: f64 = (1..steps).map(|number| weight(number) * at(number)).sum();
        (at(0) + inside + at(steps)) * step / 3.0
    };
    // Beyond, nothing is left that counts.
    let all = within((14.0 / freedom.sqrt()).min(std::f64::consts::FRAC_PI_2));
    let (mut low, mut high) = (1.9, 13.0);
    for _ in 0..50 {
        let middle: f64 = (low + high) / 2.0;
        if within((middle / freedom.sqrt()).atan()) < 0.95 * all { low = middle } else { high = middle }
    }
    low
}

#[test]
fn students_percentiles_are_those_of_the_tables() {
    for (freedom, expected) in [(30.0, 2.042_272_456), (60.0, 2.000_297_822), (1_000.0, 1.962_339_081)] {
        assert!((student(freedom) - expected).abs() < 1e-8, "{freedom}: {}", student(freedom));
    }
}

//! Usual ranges by hand.

use super::close;
use crate::analyses::range::Usual;

#[test]
fn the_range_is_a_prediction_interval() {
    // Mean 50, squares 8·4: s² = 32/7; t with 7 degrees of freedom 5.408.
    let before = [48.0, 52.0, 48.0, 52.0, 48.0, 52.0, 48.0, 52.0];
    let usual = Usual::of(&before, None).expect("eight windows");
    let half = 5.407_9 * (32.0_f64 / 7.0).sqrt() * (9.0_f64 / 8.0).sqrt();
    close(usual.mean, 50.0, 1e-12);
    close(usual.high - 50.0, half, 1e-3);
    close(50.0 - usual.low, half, 1e-3);
    assert!(usual.holds(62.0) && usual.holds(38.0) && !usual.holds(62.5) && !usual.holds(37.0));
    assert_eq!(usual.windows, 8);
    assert_eq!(Usual::of(&before[1..], None), None, "seven are too few");
}

#[test]
fn what_few_observations_scatter_by_is_not_unusual() {
    let before = [100.0; 12];
    assert_eq!(Usual::of(&before, None), None, "what never differed has no range");
    let usual = Usual::of(&before, Some(2.0)).expect("its own error is a range");
    assert!(usual.holds(94.0) && !usual.holds(93.0));
    let scattered = [90.0, 110.0, 90.0, 110.0, 90.0, 110.0, 90.0, 110.0];
    let wide = Usual::of(&scattered, None).expect("eight windows");
    assert_eq!(Usual::of(&scattered, Some(1.0)), Some(wide), "the wider of both counts");
}

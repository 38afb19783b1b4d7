//! Rubbish on every department's topic: each record is accounted for, the rest comes through, and memory stays small.

use std::time::Duration;

use insight_hub::company::{SPOKES, SourceEvent};

use super::house::{Dice, House, company};
use crate::{
    harness::{kafka::Broker, writer::Writer},
    world::{events, truth},
};

/// Peak resident memory that bad input may cause, in KiB.
const MEMORY_KIB_MAX: u64 = 256 * 1024;

/// A record that no decoder takes, of a kind that `index` names: cut off, huge, deeply nested, random, of the wrong type.
fn rubbish(index: usize, sample: &[u8], dice: &mut Dice) -> Vec<u8> {
    let below = |dice: &mut Dice, bound: usize| usize::try_from(dice.below(bound as u64)).unwrap();
    match index % 8 {
        0 => sample[..below(dice, sample.len() - 1)].to_vec(),
        1 => (0..below(dice, 2_000)).map(|_| dice.below(256) as u8).collect(),
        2 => vec![b'['; 1 + below(dice, 200_000)],
        3 => b"{\"a\":".repeat(1 + below(dice, 100_000)),
        4 if index % 64 == 4 => [&b"{\"id\":\""[..], &vec![b'x'; 900_000], b"\"}"].concat(),
        // The marker of Avro's single-object encoding, and that of a registry, before nothing that fits.
        5 => [&[0xc3, 0x01][..], &(0..40).map(|_| dice.below(256) as u8).collect::<Vec<_>>()].concat(),
        6 => [&[0, 0, 0, 0, 1][..], &[0xff; 60]].concat(),
        _ => b"\"neither an object nor a list\"".to_vec(),
    }
}

#[test]
fn rubbish_is_accounted_for_in_little_memory() {
    let good = events(company(8, 300, 4_000));
    let expected = truth(&good);
    let house = House::new(&Broker::shared().bootstrap(), "hostile");
    let mut dice = Dice(29);
    let sample = &good[0].payload;
    let bad: Vec<SourceEvent> = (0..6_000)
        .map(|index| SourceEvent {
            spoke: SPOKES[index % SPOKES.len()],
            payload: rubbish(index / SPOKES.len(), sample, &mut dice),
            ..good[index % good.len()].clone()
        })
        .collect();
    let bytes: usize = bad.iter().map(|event| event.payload.len()).sum();
    // Half of it before, half of it after what is good.
    let (before, after) = bad.split_at(bad.len() / 2);
    // Repetitions would be compressed to a hundredth, and a fetch swells to what the producer made of them: that is not the
    // decoders' memory.
    let writer = Writer::uncompressed(house.bootstrap());
    for part in [before, &good, after] {
        house.write_by(&writer, part);
    }
    let mut hubs = [house.start("a", &[], None)];
    house.assert_feeds_become(&expected.feeds, &mut hubs, Duration::from_secs(240));
    let rejected: u64 = house.rejected().values().sum();
    let rejected_of_good: u64 = expected.rejected.values().sum();
    assert_eq!(rejected, rejected_of_good + bad.len() as u64, "each has its dead letter");
    let outcomes: f64 = ["accepted", "skipped", "rejected"]
        .map(|outcome| format!("outcome=\"{outcome}\""))
        .iter()
        .map(|label| hubs[0].labelled_figure("insight_hub_outcomes_total", label).unwrap())
        .sum();
    assert_eq!(outcomes as usize, good.len() + bad.len(), "each has one outcome");
    let peak = hubs[0].process().peak_memory_kib().expect("it is running");
    println!("{} records of {bytes} bytes rejected; peak memory {} MiB", bad.len(), peak / 1024);
    assert!(peak < MEMORY_KIB_MAX, "peak memory {peak} KiB");
    assert_eq!(hubs[0].process().terminate(Duration::from_secs(20)).code(), Some(0));
}

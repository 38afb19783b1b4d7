//! A department is read again: what its mapping makes of it now takes the place of what it made, whatever happens meanwhile.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{
    properties::any_touchpoint,
    world::{World, touchpoint},
};
use crate::{customers::readings::unmark, model::*};

/// What is read again; the other department's touchpoints stay.
const AGAIN: &str = "sales";

/// What happens after a batch or a part of a sweep.
#[derive(Clone, Copy, Debug)]
enum Then {
    Nothing,
    Commit,
    RollBack,
    Restart,
    Restore,
}

/// A world whose stage is told again, when it starts anew, what the store's owner knows of readings.
struct Reading {
    world: World,
    number: u32,
    /// Where the sweep goes on, as of the last commit.
    next: Option<PersonId>,
    older: u64,
}

impl Reading {
    /// Returns whether what was done since the last commit is lost.
    fn then(&mut self, then: Then) -> bool {
        match then {
            Then::Nothing => return false,
            Then::Commit => {
                self.world.commit();
                return false;
            }
            Then::RollBack => self.world.roll_back(),
            Then::Restart => self.world.restart(),
            Then::Restore => self.world.restore(),
        }
        self.world.stage.readings.set(AGAIN, self.number);
        true
    }

    fn take(&mut self, touchpoints: &[Touchpoint<'_>], thens: &[Then]) {
        let (mut done, mut committed) = (0, 0);
        for &then in thens {
            let until = touchpoints.len().min(done + 4);
            self.world.batch(&touchpoints[done..until].iter().collect::<Vec<_>>());
            done = until;
            if self.then(then) {
                done = committed;
            } else if matches!(then, Then::Commit) {
                committed = done;
            }
        }
        self.world.batch(&touchpoints[done..].iter().collect::<Vec<_>>());
        self.world.commit();
    }

    fn sweep(&mut self, keeps: bool, thens: &[Then]) {
        let (mut next, mut older) = (self.next, self.older);
        for then in thens.iter().copied().chain(std::iter::repeat(Then::Commit)) {
            let World { stage, store, told, .. } = &mut self.world;
            let swept = stage.sweep(AGAIN, keeps, next, 3, store, told).expect("a map never fails");
            (next, older) = (swept.next, older + swept.older);
            if next.is_none() {
                break;
            }
            if self.then(then) {
                (next, older) = (self.next, self.older);
            } else if matches!(then, Then::Commit) {
                (self.next, self.older) = (next, older);
            }
        }
        self.world.commit();
        (self.next, self.older) = (None, older);
    }
}

/// Heads and touchpoints, without their readings.
fn kept(world: &World) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let entries = world.store.iter().filter(|(key, _)| matches!(key[0], b'h' | b't'));
    entries
        .map(|(key, value)| {
            let value = if key[0] == b't' { unmark(value).0 } else { value };
            (key.clone(), super::world::without_revision(key, value))
        })
        .collect()
}

fn check(before: &[Touchpoint<'_>], again: &[Touchpoint<'_>], schedules: &[Vec<Then>; 2], heads_max: usize) -> Reading {
    let mut reading = Reading { world: World::new(heads_max), number: 0, next: None, older: 0 };
    reading.take(before, &[]);
    reading.number = 1;
    reading.world.stage.readings.set(AGAIN, 1);
    reading.take(again, &schedules[0]);
    reading.sweep(false, &schedules[1]);

    let others = before.iter().filter(|it| it.spoke != AGAIN);
    let expected: Vec<&Touchpoint<'_>> = others.chain(again).collect();
    let mut fresh = World::new(10);
    if let Some(at) = before.iter().map(|it| it.occurred_at).max() {
        fresh.advance(Calendar::utc().day(at)); // time does not go back
    }
    fresh.batch(&expected);
    fresh.commit();
    let (told, expected) = (&reading.world.told, &fresh.told);
    assert_eq!(told.cells, expected.cells);
    assert_eq!(told.records, expected.records);
    assert_eq!(told.touchpoints, expected.touchpoints);
    assert_eq!(kept(&reading.world), kept(&fresh));
    reading
}

fn any_schedule() -> impl Strategy<Value = Vec<Then>> {
    const THEN: &[Then] = &[Then::Nothing, Then::Commit, Then::Commit, Then::RollBack, Then::Restart, Then::Restore];
    prop::collection::vec(prop::sample::select(THEN), 0..25)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn what_is_read_again_takes_the_place_of_what_was_there(
        before in prop::collection::vec(any_touchpoint(), 0..50),
        again in prop::collection::vec(any_touchpoint(), 0..40),
        same in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        schedules in [any_schedule(), any_schedule()],
        heads_max in 1..4_usize,
    ) {
        let mut again = again;
        // Most mappings change little: some of what was there is met again as it was.
        again.extend(same.iter().filter(|_| !before.is_empty()).map(|index| index.get(&before).clone()));
        again.retain(|it| it.spoke == AGAIN);
        check(&before, &again, &schedules, heads_max);
    }
}

#[test]
fn timelines_with_snapshots_are_swept_too() {
    let views = |from: usize, step: usize| -> Vec<Touchpoint<'static>> {
        let line = |n: usize| touchpoint(&format!("sales page_viewed by customer_id:c{} at {}d09:00", n % 3, n / 8), n);
        (from..600).step_by(step).map(line).collect()
    };
    let reading = check(&views(0, 1), &views(5, 7), &[Vec::new(), Vec::new()], 2);
    assert_eq!(reading.older, 600 - 85);
    // Of one person nothing is left in the end.
    let lines = ["sales page_viewed by customer_id:ann at 09:00", "sales page_viewed by customer_id:bob at 10:00"];
    let both: Vec<_> = (0..).zip(lines).map(|(number, line)| touchpoint(line, number)).collect();
    let reading = check(&both, &both[1..], &[Vec::new(), Vec::new()], 2);
    assert_eq!((reading.world.told.records.len(), reading.world.told.touchpoints.len()), (1, 1));
}

#[test]
fn what_is_kept_is_counted_and_gives_way_to_what_comes_later() {
    let at_nine = touchpoint("sales order_placed O1 #1 by customer_id:ann for 100EUR at 09:00", 1);
    let gone = touchpoint("sales order_placed O2 #2 by customer_id:ann for 200EUR at 10:00", 2);
    let mut reading = Reading { world: World::new(2), number: 0, next: None, older: 0 };
    reading.take(&[at_nine.clone(), gone.clone()], &[]);
    reading.number = 1;
    reading.world.stage.readings.set(AGAIN, 1);
    reading.take(std::slice::from_ref(&at_nine), &[]);
    reading.sweep(true, &[]);
    assert_eq!((reading.older, reading.world.told.touchpoints.len()), (1, 2));
    // Whatever its content: one of the two would have lost by it.
    for region in ["north", "south"] {
        let mut world = World::new(2);
        world.batch(&[&at_nine, &gone]);
        world.commit();
        world.stage.readings.set(AGAIN, 1);
        let later = Touchpoint { region: Some(region), ..gone.clone() };
        world.batch(&[&later]);
        world.commit();
        let mut encoded = Vec::new();
        later.encode_into(&mut encoded);
        assert!(world.told.touchpoints.values().any(|known| *known == encoded), "{region}");
        assert_eq!(world.told.outcomes.last(), Some(&("sales".to_owned(), Outcome::Conflicting)));
    }
}

//! The promise: the same set of touchpoints in, identical insight out.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::world::{MONDAY, World, person_of, plain, without_revision};
use crate::{
    customers::{
        fold::{Head, head::HEAD_VERSION},
        record,
    },
    model::*,
};

fn pick<T: Copy + std::fmt::Debug>(values: &'static [T]) -> impl Strategy<Value = T> {
    prop::sample::select(values)
}

/// Touchpoints from alphabets small enough that orders, cases, ids and windows meet.
pub fn any_touchpoint() -> impl Strategy<Value = Touchpoint<'static>> {
    const KINDS: &[Kind] = &[
        Kind::OrderPlaced,
        Kind::OrderPlaced,
        Kind::OrderCancelled,
        Kind::DeliveryPromised,
        Kind::OrderShipped,
        Kind::OrderDelivered,
        Kind::OrderReturned,
        Kind::SubscriptionStarted,
        Kind::SubscriptionRenewed,
        Kind::SubscriptionCancelled,
        Kind::CaseOpened,
        Kind::CaseReplied,
        Kind::CaseResolved,
        Kind::CaseReopened,
        Kind::MessageSent,
        Kind::PageViewed,
        Kind::ContentConsumed,
        Kind::SurveyAnswered,
        Kind::ComplaintMade,
        Kind::FollowUpMade,
        Kind::RefundIssued,
        Kind::SocialMentioned,
    ];
    const SCORES: &[Score<'static>] = &[
        Score { scale: ScoreScale::Nps, value: 9, item: None },
        Score { scale: ScoreScale::Nps, value: 3, item: None },
        Score { scale: ScoreScale::Csat, value: 4, item: None },
        Score { scale: ScoreScale::Perception, value: 2, item: Some("speed") },
        Score { scale: ScoreScale::Expectation, value: 6, item: Some("speed") },
        Score { scale: ScoreScale::Expectation, value: 3, item: Some("price") },
    ];
    const AMOUNTS: &[Money] = &[
        Money { minor: 100, currency: Currency(*b"EUR") },
        Money { minor: 250, currency: Currency(*b"EUR") },
        Money { minor: 300, currency: Currency(*b"USD") },
    ];
    let who = (
        pick(&["ann", "bob"]),
        pick(&["1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15"]),
        pick(&["sales", "support"]),
    );
    // Some are about several.
    let thing = || pick(&["x", "y", "z"]);
    let things = prop::option::weighted(0.9, (thing(), prop::option::weighted(0.3, thing())));
    let when = (0..40_i64 * 24, prop::option::of(-24..30_i64 * 24));
    let figures = (
        prop::option::of(pick(AMOUNTS)),
        prop::option::weighted(0.2, pick(SCORES)),
        prop::option::weighted(0.2, -100..=100_i8),
        prop::option::weighted(0.2, pick(AMOUNTS)),
    );
    let how = (
        prop::option::of(pick(&["north", "south"])),
        prop::option::of(pick(&[Channel::Web, Channel::Phone])),
        pick(&[None, None, Some(Initiator::Bot), Some(Initiator::Agent)]),
        prop::bool::weighted(0.2),
        prop::option::of(pick(&["delivery", "invoice"])),
        prop::bool::weighted(0.1),
        prop::option::of(-1..9_i32),
    );
    (pick(KINDS), who, things, when, figures, how).prop_map(|(kind, who, thing, when, figures, how)| {
        let hour = |hours: i64| EventTime((i64::from(MONDAY.0) * 24 + hours) * 3_600_000);
        let mut touchpoint = plain(kind, who.1, hour(when.0));
        touchpoint.spoke = who.2;
        touchpoint.identifiers.push(Identifier { kind: IdentifierType::CustomerId, value: who.0 });
        if let Some((one, other)) = thing {
            let values: BTreeSet<&str> = [one, other.unwrap_or(one)].into();
            for kind in [IdentifierType::Order, IdentifierType::Case, IdentifierType::Contract] {
                touchpoint.identifiers.extend(values.iter().map(|&value| Identifier { kind, value }));
            }
        }
        touchpoint.promised_at = when.1.map(|hours| hour(when.0 + hours));
        (touchpoint.amount, touchpoint.score, touchpoint.sentiment, touchpoint.cost) = figures;
        touchpoint.region = how.0;
        touchpoint.channel = how.1;
        touchpoint.initiator = how.2.unwrap_or(touchpoint.initiator);
        if how.3 {
            touchpoint.visibility = Visibility::Internal;
        }
        touchpoint.subject = how.4;
        touchpoint.effort = how.6;
        touchpoint.referrer = how.5.then_some(Identifier { kind: IdentifierType::CustomerId, value: "bob" });
        touchpoint
    })
}

/// What happens after a batch.
#[derive(Clone, Copy, Debug)]
enum Then {
    Nothing,
    Commit,
    /// The commit fails after everything was staged.
    FailedCommit,
    RollBack,
    Restart,
    Restore,
}

fn any_schedule(touchpoints: usize) -> impl Strategy<Value = (Vec<usize>, Vec<(usize, Then)>)> {
    const THEN: &[Then] = &[
        Then::Nothing,
        Then::Nothing,
        Then::Commit,
        Then::Commit,
        Then::FailedCommit,
        Then::RollBack,
        Then::Restart,
        Then::Restore,
    ];
    let indexes: Vec<usize> = (0..touchpoints).collect();
    let copies = prop::collection::vec(0..touchpoints.max(1), 0..10);
    (Just(indexes), copies).prop_flat_map(move |(mut indexes, copies)| {
        if touchpoints > 0 {
            indexes.extend(copies);
        }
        let steps = prop::collection::vec((1..12_usize, pick(THEN)), 1..40);
        (Just(indexes).prop_shuffle(), steps)
    })
}

fn by_schedule(touchpoints: &[Touchpoint<'_>], order: &[usize], steps: &[(usize, Then)], heads_max: usize) -> World {
    let mut world = World::new(heads_max);
    let mut next = 0;
    let mut committed = 0;
    for &(size, then) in steps.iter() {
        let batch: Vec<_> =
            order[next..usize::min(next + size, order.len())].iter().map(|&index| &touchpoints[index]).collect();
        next += batch.len();
        world.batch(&batch);
        match then {
            Then::Nothing => continue,
            Then::Commit => {
                world.commit();
                committed = next;
            }
            Then::FailedCommit => {
                world.fire(1);
                world.before_commit();
                world.roll_back();
            }
            Then::RollBack => world.roll_back(),
            Then::Restart => world.restart(),
            Then::Restore => world.restore(),
        }
        // Whatever was not committed is read again.
        next = committed;
    }
    let rest: Vec<_> = order[next..].iter().map(|&index| &touchpoints[index]).collect();
    world.batch(&rest);
    world.commit();
    world
}

fn check_promise(touchpoints: &[Touchpoint<'_>], order: &[usize], steps: &[(usize, Then)], heads_max: usize) {
    let mut sorted: Vec<_> = touchpoints.iter().collect();
    sorted.sort_by_key(|touchpoint| touchpoint.timeline_key());
    let mut expected = World::new(10);
    expected.batch(&sorted);
    expected.commit();
    let world = by_schedule(touchpoints, order, steps, heads_max);
    assert_eq!(world.told.cells, expected.told.cells);
    assert_eq!(world.told.records, expected.told.records);
    assert_eq!(world.told.touchpoints, expected.told.touchpoints);
    assert_eq!(world.told.alerts, expected.told.alerts);
    // How often an alert was published is history.
    let kept = |world: &World| -> Vec<_> {
        world.store.iter().map(|(key, value)| (key.clone(), without_revision(key, value))).collect()
    };
    assert_eq!(kept(&world), kept(&expected));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn order_copies_batches_commits_aborts_restarts_and_restores_do_not_matter(
        (touchpoints, (order, steps), heads_max) in prop::collection::vec(any_touchpoint(), 0..60)
            .prop_flat_map(|touchpoints| {
                let schedule = any_schedule(touchpoints.len());
                (Just(touchpoints), schedule, 1..4_usize)
            })
    ) {
        check_promise(&touchpoints, &order, &steps, heads_max);
    }

    #[test]
    fn the_next_change_of_a_record_is_the_first_that_closing_days_finds(
        touchpoints in prop::collection::vec(any_touchpoint(), 1..30),
        closed in -5..60,
    ) {
        let mut world = World::new(10);
        world.batch(&touchpoints.iter().collect::<Vec<_>>());
        world.commit();
        let person = person_of(touchpoints[0].home());
        let closed = MONDAY.plus(closed);
        let now = world.rendered(person, closed);
        let found = (1..120)
            .map(|days| closed.plus(days))
            .find(|&day| world.rendered(person, day) != now);
        prop_assert_eq!(record::next_change(&world.head(person), closed), found);
    }

    #[test]
    fn a_head_survives_its_encoding(touchpoints in prop::collection::vec(any_touchpoint(), 1..50)) {
        let mut world = World::new(10);
        world.batch(&touchpoints.iter().collect::<Vec<_>>());
        world.commit();
        let head = world.head(person_of(touchpoints[0].home()));
        let mut bytes = Vec::new();
        head.encode_into(&mut bytes);
        prop_assert_eq!(&Head::decode(&bytes).expect("just encoded"), &head);
        for length in 0..bytes.len() {
            prop_assert!(Head::decode(&bytes[..length]).is_err());
        }
    }

    #[test]
    fn a_head_of_any_bytes_is_an_error_and_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut with_version = vec![HEAD_VERSION];
        with_version.extend_from_slice(&bytes);
        let _ = Head::decode(&with_version);
        prop_assert!(bytes.first() == Some(&HEAD_VERSION) || Head::decode(&bytes).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// Timelines with many snapshots, thinned.
    #[test]
    fn long_timelines_keep_the_promise_too(
        mut touchpoints in prop::collection::vec(any_touchpoint(), 900..1_500),
        seed in any::<u64>(),
        sizes in prop::collection::vec((1..200_usize, pick(&[Then::Nothing, Then::Commit, Then::Restart])), 5..20),
    ) {
        for (number, touchpoint) in touchpoints.iter_mut().enumerate() {
            touchpoint.id = format!("{}-{}", touchpoint.id, number % 700).leak();
        }
        let mut order: Vec<usize> = (0..touchpoints.len()).collect();
        order.sort_by_key(|&index| {
            let jitter = (seed.rotate_left(index as u32 % 64) ^ index as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
            let late = if jitter.is_multiple_of(20) { 20 * 86_400_000 } else { 0 };
            touchpoints[index].occurred_at.0 + late
        });
        check_promise(&touchpoints, &order, &sizes, 1);
    }
}

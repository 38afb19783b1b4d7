//! A person as a first-time buyer: the first purchase, what had led to it, and how soon the next one came. Derived from the
//! purchases that the head remembers, before and after each that changes it.

use super::{
    facts::{Buyer, BuyerChange, Facts},
    head::{Head, Purchase},
    place::{KeptDimensions, KeptPlace},
};
use crate::model::{Day, EventTime};

/// No metric asks for a purchase later than this after the first, in milliseconds.
const AGAIN_WITHIN_MS: i64 = 90 * 86_400_000;

/// A purchase that is not cancelled.
#[derive(Clone, Copy)]
struct Bought<'a> {
    ordinal: u64,
    at: EventTime,
    day: Day,
    dimensions: &'a KeptDimensions,
}

/// The person as a first-time buyer; `None` without a purchase.
pub(super) fn buyer(head: &Head) -> Option<Buyer> {
    let orders = head.orders.iter().filter_map(|order| match &order.purchase {
        Purchase::Live(it) => Some(Bought { ordinal: it.ordinal, at: it.at, day: it.day, dimensions: &it.dimensions }),
        Purchase::Unplaced | Purchase::Cancelled | Purchase::Withdrawn => None,
    });
    let anchors = head.anchors.iter();
    let anchors = anchors.map(|it| Bought { ordinal: it.ordinal, at: it.at, day: it.day, dimensions: &it.dimensions });
    // Two anchors are enough: before a third one there are always two purchases.
    let (mut first, mut second) = (None::<Bought<'_>>, None::<Bought<'_>>);
    for bought in orders.chain(anchors) {
        if first.is_none_or(|first| bought.ordinal < first.ordinal) {
            second = first.replace(bought);
        } else if second.is_none_or(|second| bought.ordinal < second.ordinal) {
            second = Some(bought);
        }
    }
    let first = first?;
    let was_referred = head.referred_since.is_some_and(|since| since <= first.ordinal);
    Some(Buyer {
        place: KeptPlace { day: first.day, dimensions: first.dimensions.clone() },
        again_after_ms: second.map(|second| second.at.0 - first.at.0).filter(|&after_ms| after_ms <= AGAIN_WITHIN_MS),
        was_referred,
        had_heard: was_referred || head.heard_since.is_some_and(|since| since < first.ordinal),
    })
}

/// After a purchase, which is the newest: only the first and the second change anything.
pub(super) fn bought(head: &Head, facts: &mut Facts<'_, '_>) {
    match head.purchases {
        1 => changed(None, head, facts),
        2 => {
            let is = buyer(head);
            let was = is.clone().map(|is| Buyer { again_after_ms: None, ..is });
            facts.buyer = (was != is).then(|| Box::new(BuyerChange { was, is }));
        }
        _ => {}
    }
}

/// Says what changed since the person was as given, or, of a touchpoint that changed something before, since then.
pub(super) fn changed(was: Option<Buyer>, head: &Head, facts: &mut Facts<'_, '_>) {
    let was = facts.buyer.take().map_or(was, |earlier| earlier.was);
    let is = buyer(head);
    facts.buyer = (was != is).then(|| Box::new(BuyerChange { was, is }));
}

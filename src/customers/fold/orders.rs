//! Orders and subscriptions: purchases, cancellations, promises, deliveries and returns of one person.

use super::{
    FoldOptions, buyers,
    facts::{Delivery, Ended, Facts, Gained, Subscription},
    head::{Anchor, Contract, Head, Level, ORDERS_MAX, Order, Placing, Promise, Purchase, REFUNDS_MAX, Refund},
    place::{KeptDimensions, KeptPlace},
    visits,
};
use crate::model::{AlertMark, EventTime, IdentifierType, Kind, Money};

/// So many purchases that cannot be cancelled are kept: the first, and the one after it if that was the first.
const ANCHORS: usize = 2;

/// A touchpoint about orders: about each that it names. It has one amount, and is one purchase: of the first.
pub(super) fn observe_orders(head: &mut Head, facts: &mut Facts<'_, '_>, options: &FoldOptions) {
    let mut ids = facts.touchpoint.all(IdentifierType::Order);
    let Some(first) = ids.next() else {
        observe_order_without_id(head, facts, options);
        return;
    };
    observe_order(head, (first, true), facts, options);
    for id in ids {
        facts.observe_further(|facts| observe_order(head, (id, false), facts, options));
    }
}

fn observe_order(head: &mut Head, (id, is_first): (&str, bool), facts: &mut Facts<'_, '_>, options: &FoldOptions) {
    let touchpoint = facts.touchpoint;
    let index = mention(head, id, facts);
    match touchpoint.kind {
        Kind::OrderPlaced => {
            if is_first && matches!(head.orders[index].purchase, Purchase::Unplaced | Purchase::Withdrawn) {
                let placing = Placing {
                    ordinal: head.touchpoints,
                    at: touchpoint.occurred_at,
                    day: facts.place.day,
                    dimensions: KeptDimensions::of(facts.place),
                    amount: touchpoint.amount,
                    journeys: Vec::new(),
                };
                let order = &mut head.orders[index];
                order.purchase = Purchase::Live(placing);
                if !order.delivered {
                    head.undelivered += 1;
                }
                buy(head, facts, true);
            }
            promise(&mut head.orders[index], facts, options);
        }
        Kind::DeliveryPromised | Kind::OrderShipped => promise(&mut head.orders[index], facts, options),
        Kind::OrderDelivered => {
            let order = &mut head.orders[index];
            if !order.delivered {
                order.delivered = true;
                if matches!(order.purchase, Purchase::Live(_)) {
                    head.undelivered -= 1;
                }
                let kept = end_promise(order, facts);
                let promised_at = touchpoint.promised_at.or(kept);
                deliver(head, facts, promised_at, options);
            }
        }
        Kind::OrderCancelled => cancel(head, index, facts),
        Kind::OrderReturned => {
            facts.thing.returned = !head.orders[index].returned;
            head.orders[index].returned = true;
        }
        Kind::RefundIssued if is_first => refund(&mut head.orders[index], facts),
        _ => {}
    }
}

/// An order that nobody named: it cannot be cancelled, what is paid back counts, and any delivery without a name delivers the oldest
/// of its kind.
fn observe_order_without_id(head: &mut Head, facts: &mut Facts<'_, '_>, options: &FoldOptions) {
    match facts.touchpoint.kind {
        Kind::OrderPlaced => {
            head.undelivered_without_id += 1;
            anchor(head, facts);
            buy(head, facts, false);
        }
        Kind::OrderDelivered => {
            head.undelivered_without_id = head.undelivered_without_id.saturating_sub(1);
            deliver(head, facts, facts.touchpoint.promised_at, options);
        }
        Kind::OrderReturned => facts.thing.returned = true,
        Kind::RefundIssued => facts.refund = paid_back(facts.touchpoint.amount),
        _ => {}
    }
}

/// Subscriptions that start, are renewed, or are cancelled, each that is named: what was paid until then stays paid. Whatever starts is
/// one purchase.
pub(super) fn observe_subscriptions(head: &mut Head, facts: &mut Facts<'_, '_>) {
    let touchpoint = facts.touchpoint;
    let mut contracts = touchpoint.all(IdentifierType::Contract);
    let first = contracts.next();
    match touchpoint.kind {
        Kind::SubscriptionStarted => {
            let mut is_start = first.is_none_or(|id| start(head, id, facts));
            for id in contracts {
                facts.observe_further(|facts| is_start |= start(head, id, facts));
            }
            if is_start {
                anchor(head, facts);
                buy(head, facts, false);
            }
        }
        Kind::SubscriptionRenewed => {
            if let Some(amount) = touchpoint.amount {
                head.revenue.add(amount);
            }
        }
        Kind::SubscriptionCancelled => {
            if let Some(id) = first {
                stop(head, id, facts);
            }
            for id in contracts {
                facts.observe_further(|facts| stop(head, id, facts));
            }
        }
        _ => {}
    }
}

/// Starts a subscription by its contract: also one that was cancelled. Returns whether it did not run.
fn start(head: &mut Head, id: &str, facts: &mut Facts<'_, '_>) -> bool {
    let known = head.contracts.iter().rposition(|contract| *contract.id == *id);
    if known.is_some_and(|index| head.contracts[index].running.is_some()) {
        return false;
    }
    facts.thing.subscription_started = true;
    let running = Some(Level { start: facts.place.day, dimensions: KeptDimensions::of(facts.place) });
    if let Some(index) = known {
        head.contracts[index].running = running;
        return true;
    }
    if head.contracts.len() == ORDERS_MAX {
        facts.capped = true;
        // No cancellation would be known as one: it runs no longer, and nobody has cancelled it.
        let running = head.contracts.pop_front().and_then(|forgotten| forgotten.running);
        facts.thing.subscription_forgotten = running.map(|level| Ended::of(level, facts.place.day));
    }
    head.contracts.push_back(Contract { id: id.into(), running });
    true
}

fn stop(head: &mut Head, id: &str, facts: &mut Facts<'_, '_>) {
    let known = head.contracts.iter_mut().rfind(|contract| *contract.id == *id);
    facts.thing.subscription_ended = known
        .and_then(|contract| contract.running.take())
        .map(|running| Subscription { started: running.start, ended: Ended::of(running, facts.place.day) });
}

/// The index of an order thing; it becomes the newest if it is not known, and the oldest is forgotten if there are too
/// many.
fn mention(head: &mut Head, id: &str, facts: &mut Facts<'_, '_>) -> usize {
    if let Some(index) = head.orders.iter().rposition(|order| *order.id == *id) {
        return index;
    }
    if head.orders.len() == ORDERS_MAX {
        facts.capped = true;
        if let Some(mut forgotten) = head.orders.pop_front() {
            // No delivery would be known to keep it: what was promised is open no more.
            end_promise(&mut forgotten, facts);
            if let Purchase::Live(placing) = forgotten.purchase {
                if !forgotten.delivered {
                    head.undelivered -= 1;
                }
                // Nobody can cancel what is not known: it anchors the relationship.
                let Placing { ordinal, at, day, dimensions, journeys, amount: _ } = placing;
                head.buying.fix(day);
                keep_anchor(head, Anchor { ordinal, at, day, dimensions, journeys });
            }
        }
    }
    head.orders.push_back(Order {
        id: id.into(),
        purchase: Purchase::Unplaced,
        delivered: false,
        returned: false,
        promise: None,
        refunds: Vec::new(),
    });
    head.orders.len() - 1
}

/// A purchase that cannot be cancelled.
fn anchor(head: &mut Head, facts: &Facts<'_, '_>) {
    if head.anchors.len() < ANCHORS {
        head.anchors.push(Anchor {
            ordinal: head.touchpoints,
            at: facts.touchpoint.occurred_at,
            day: facts.place.day,
            dimensions: KeptDimensions::of(facts.place),
            journeys: Vec::new(),
        });
    }
}

fn keep_anchor(head: &mut Head, anchor: Anchor) {
    let index = head.anchors.partition_point(|other| other.ordinal < anchor.ordinal);
    head.anchors.insert(index, anchor);
    head.anchors.truncate(ANCHORS);
}

fn buy(head: &mut Head, facts: &mut Facts<'_, '_>, can_be_cancelled: bool) {
    facts.purchase = true;
    head.purchases += 1;
    if let Some(amount) = facts.touchpoint.amount {
        head.revenue.add(amount);
        head.purchase_amounts.add(amount);
    }
    if head.first_purchase.is_none() {
        head.first_purchase = Some(head.touchpoints);
        facts.thing.customer_gained = Some(Gained::Here);
    }
    buyers::bought(head, facts);
    visits::reach(head, facts, can_be_cancelled);
}

fn promise(order: &mut Order, facts: &mut Facts<'_, '_>, options: &FoldOptions) {
    let Some(promised_at) = facts.touchpoint.promised_at else {
        return;
    };
    if order.delivered || order.purchase.is_off() {
        return;
    }
    if order.promise.as_ref().is_some_and(|standing| standing.promised_at == promised_at) {
        return; // it is told once more, by whomever
    }
    let day = facts.place.day;
    let start = day.max(options.calendar.day(promised_at));
    end_promise(order, facts);
    facts.thing.promise_made = Some(start);
    order.promise = Some(Promise {
        promised_at,
        mark: AlertMark::of_promise(&order.id, promised_at),
        overdue: Level { start, dimensions: KeptDimensions::of(facts.place) },
    });
}

/// The open promise of an order, if there is one, is open no more. Returns by when it was to be delivered. An order that another
/// had to be forgotten for has none: one thing of a touchpoint ends one promise at most.
fn end_promise(order: &mut Order, facts: &mut Facts<'_, '_>) -> Option<EventTime> {
    let Promise { promised_at, overdue, .. } = order.promise.take()?;
    facts.thing.promise_ended = Some(Ended::of(overdue, facts.place.day));
    Some(promised_at)
}

fn deliver(head: &mut Head, facts: &mut Facts<'_, '_>, promised_at: Option<EventTime>, options: &FoldOptions) {
    let on_time = promised_at.is_some_and(|promised_at| {
        facts.touchpoint.occurred_at.0 <= promised_at.0.saturating_add(options.on_time_tolerance_ms)
    });
    if promised_at.is_some() {
        if on_time {
            head.deliveries_on_time += 1;
        } else {
            head.deliveries_late += 1;
        }
    }
    facts.thing.delivery = Some(Delivery { promised_at, on_time });
}

/// Departments write it as money that goes back, or as its size.
fn paid_back(amount: Option<Money>) -> Option<Money> {
    // Every integer has a negative absolute value.
    amount.map(|paid| Money { minor: if paid.minor > 0 { -paid.minor } else { paid.minor }, ..paid })
}

/// What is paid back for an order, unless it is cancelled: then nothing was earned by it, and nothing is lost.
fn refund(order: &mut Order, facts: &mut Facts<'_, '_>) {
    if order.purchase.is_off() {
        return;
    }
    facts.refund = paid_back(facts.touchpoint.amount);
    let Some(amount) = facts.refund else { return };
    if order.refunds.len() < REFUNDS_MAX {
        order.refunds.push(Refund { place: KeptPlace::of(facts.place), amount });
    } else {
        facts.capped = true;
    }
}

fn cancel(head: &mut Head, index: usize, facts: &mut Facts<'_, '_>) {
    let buyer_was = buyers::buyer(head);
    let order = &mut head.orders[index];
    end_promise(order, facts);
    facts.thing.refunds_revoked = std::mem::take(&mut order.refunds);
    let placing = match std::mem::replace(&mut order.purchase, Purchase::Cancelled) {
        Purchase::Live(placing) => placing,
        Purchase::Cancelled => return,
        Purchase::Unplaced | Purchase::Withdrawn => {
            order.purchase = Purchase::Withdrawn;
            return;
        }
    };
    if !order.delivered {
        head.undelivered -= 1;
    }
    head.purchases -= 1;
    if let Some(amount) = placing.amount {
        head.revenue.remove(amount);
        head.purchase_amounts.remove(amount);
    }
    if head.first_purchase == Some(placing.ordinal) {
        facts.thing.customer_lost = true;
        let earliest = head
            .orders
            .iter()
            .filter_map(|order| match &order.purchase {
                Purchase::Live(placing) => Some((placing.ordinal, placing.day, &placing.dimensions)),
                _ => None,
            })
            .chain(head.anchors.iter().map(|anchor| (anchor.ordinal, anchor.day, &anchor.dimensions)))
            .min_by_key(|&(ordinal, ..)| ordinal);
        head.first_purchase = earliest.map(|(ordinal, ..)| ordinal);
        facts.thing.customer_gained = earliest.map(|(_, day, dimensions)| Gained::Earlier(day, dimensions.clone()));
    }
    buyers::changed(buyer_was, head, facts);
    visits::withdraw(head, facts, placing.ordinal);
    facts.thing.cancelled = Some(placing);
}

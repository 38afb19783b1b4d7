//! One person's timeline in; what was bought, promised, delivered, returned and paid back out, by positions.

use std::collections::{BTreeSet, HashMap, VecDeque};

use super::sources::Touch;

/// A position that is never reached.
pub(super) const NEVER: usize = usize::MAX;
const ORDERS_MAX: usize = 256;
const REFUNDS_MAX: usize = 16;

/// An order, case or contract from its first mention until it was pushed out of memory.
pub struct Thing<'a> {
    pub name: &'a str,
    pub mentions: Vec<usize>,
    pub forgotten: usize,
}

/// Groups mentions (position, name, whether it may begin a thing) into things; at most `cap` are remembered at a time.
pub fn things<'a>(mentions: impl Iterator<Item = (usize, &'a str, bool)>, cap: usize) -> Vec<Thing<'a>> {
    let mut all: Vec<Thing<'a>> = Vec::new();
    let mut known: HashMap<&str, usize> = HashMap::new();
    let mut by_age: VecDeque<&str> = VecDeque::new();
    for (position, name, begins) in mentions {
        match known.get(name) {
            Some(&index) => all[index].mentions.push(position),
            None if begins => {
                known.insert(name, all.len());
                by_age.push_back(name);
                all.push(Thing { name, mentions: vec![position], forgotten: NEVER });
                if by_age.len() > cap {
                    let oldest = known.remove(by_age.pop_front().unwrap()).unwrap();
                    all[oldest].forgotten = position;
                }
            }
            None => {}
        }
    }
    all
}

/// Something bought, by positions.
pub(super) struct Purchase {
    pub placed: usize,
    pub cancelled: usize,
    pub delivered: usize,
    pub forgotten: usize,
}

/// A promise of an order, from the touchpoint that made it to the position where it was kept, replaced, cancelled or forgotten.
pub(super) struct Promise {
    pub order: String,
    pub made: usize,
    pub due: i64,
    pub ended: usize,
}

pub(super) struct Delivery {
    pub at: usize,
    pub promise: Option<i64>,
}

/// Money that was paid back, by the position where it counts and the one that takes it back.
#[derive(Clone)]
pub struct Refund {
    pub at: usize,
    pub taken_back: usize,
}

/// What happened with orders.
#[derive(Default)]
pub(super) struct Trade {
    /// In order.
    pub purchases: Vec<Purchase>,
    pub promises: Vec<Promise>,
    pub deliveries: Vec<Delivery>,
    pub returns: Vec<usize>,
    pub refunds: Vec<Refund>,
}

/// What happened with orders and subscriptions.
pub(super) fn trade(timeline: &[Touch]) -> Trade {
    let mut trade = Trade::default();
    let kind = |position: usize| timeline[position].kind.as_str();
    let order_kinds = [
        "order_placed",
        "delivery_promised",
        "order_shipped",
        "order_delivered",
        "order_cancelled",
        "order_returned",
        "refund_issued",
    ];
    let mentions = timeline.iter().enumerate().filter(|(_, touch)| order_kinds.contains(&touch.kind.as_str()));
    let named = mentions.flat_map(|(position, touch)| touch.named("order").map(move |name| (position, name, true)));
    for order in things(named, ORDERS_MAX) {
        let first = |wanted: &str, after: Option<usize>| {
            let mut found = order.mentions.iter().copied();
            found.find(|&at| kind(at) == wanted && after.is_none_or(|after| at > after)).unwrap_or(NEVER)
        };
        // Whatever else a touchpoint names, it is one purchase, and has one amount: of the first that it names.
        let is_its_own = |at: usize| timeline[at].thing("order") == Some(order.name);
        let placings = order.mentions.iter().copied().find(|&at| kind(at) == "order_placed" && is_its_own(at));
        let placed = placings.unwrap_or(NEVER);
        let cancelled = if placed == NEVER { NEVER } else { first("order_cancelled", Some(placed)) };
        let delivered = first("order_delivered", None);
        if placed != NEVER {
            trade.purchases.push(Purchase { placed, cancelled, delivered, forgotten: order.forgotten });
        }
        // From where what was said is off: the cancellation, of whatever came before the placing the first one of all.
        let off = |at: usize| if placed != NEVER && at >= placed { cancelled } else { first("order_cancelled", None) };
        let mut promises: Vec<(usize, i64)> = order
            .mentions
            .iter()
            .filter(|&&at| at < delivered.min(off(at)))
            .filter(|&&at| matches!(kind(at), "order_placed" | "delivery_promised" | "order_shipped"))
            .filter_map(|&at| Some((at, timeline[at].promised_at?)))
            .collect();
        // Told once more, it is the same promise, unless the one before was off by then.
        promises.dedup_by_key(|(at, due)| (off(*at), *due));
        for (index, &(made, due)) in promises.iter().enumerate() {
            let replaced = promises.get(index + 1).map_or(NEVER, |next| next.0);
            let ended = off(made).min(delivered).min(replaced).min(order.forgotten);
            trade.promises.push(Promise { order: order.name.to_owned(), made, due, ended });
        }
        if delivered != NEVER {
            let kept = promises.last().filter(|(made, _)| off(*made) > delivered).map(|(_, due)| *due);
            let promise = timeline[delivered].promised_at.or(kept);
            trade.deliveries.push(Delivery { at: delivered, promise });
        }
        let returned = first("order_returned", None);
        if returned != NEVER {
            trade.returns.push(returned);
        }
        let all = order.mentions.iter().copied();
        let is_paid_back = |at: usize| kind(at) == "refund_issued" && timeline[at].amount.is_some();
        let refunds: Vec<usize> = all.filter(|&at| is_paid_back(at) && is_its_own(at)).collect();
        for (index, &at) in refunds.iter().enumerate() {
            // Of a cancelled order none counts; of a long row only the first are remembered until then.
            if at < off(at) {
                let number = refunds[..index].iter().filter(|&&earlier| off(earlier) == off(at)).count();
                let taken_back = if number < REFUNDS_MAX { off(at) } else { NEVER };
                trade.refunds.push(Refund { at, taken_back });
            }
        }
    }
    nameless(timeline, &mut trade);
    subscriptions(timeline, &mut trade);
    trade.purchases.sort_by_key(|purchase| purchase.placed);
    trade
}

/// Orders, deliveries, returns and refunds that name no order.
fn nameless(timeline: &[Touch], trade: &mut Trade) {
    let of = |wanted: &str| -> Vec<usize> {
        let matching = timeline.iter().enumerate();
        let matching = matching.filter(|(_, touch)| touch.kind == wanted && touch.thing("order").is_none());
        matching.map(|(position, _)| position).collect()
    };
    let mut purchases: Vec<Purchase> = of("order_placed")
        .into_iter()
        .map(|placed| Purchase { placed, cancelled: NEVER, delivered: NEVER, forgotten: NEVER })
        .collect();
    for at in of("order_delivered") {
        trade.deliveries.push(Delivery { at, promise: timeline[at].promised_at });
        if let Some(oldest) = purchases.iter_mut().find(|order| order.placed < at && order.delivered == NEVER) {
            oldest.delivered = at;
        }
    }
    trade.purchases.append(&mut purchases);
    trade.returns.extend(of("order_returned"));
    let refunds = of("refund_issued").into_iter().filter(|&at| timeline[at].amount.is_some());
    trade.refunds.extend(refunds.map(|at| Refund { at, taken_back: NEVER }));
}

/// From where contracts ran, where they were cancelled and where forgotten: a start of what runs already is none.
pub fn contracts(timeline: &[Touch]) -> Vec<(usize, usize, usize)> {
    let starts = |at: usize| timeline[at].kind == "subscription_started";
    let said = (0..timeline.len()).filter(|&at| starts(at) || timeline[at].kind == "subscription_cancelled");
    let named = said.flat_map(|at| timeline[at].named("contract").map(move |name| (at, name, starts(at))));
    let mut found = Vec::new();
    for contract in things(named, ORDERS_MAX) {
        let mut left = contract.mentions.as_slice();
        while let Some(from) = left.iter().position(|&at| starts(at)) {
            let until = left[from..].iter().position(|&at| !starts(at));
            found.push((left[from], until.map_or(NEVER, |until| left[from + until]), contract.forgotten));
            left = until.map_or(&[], |until| &left[from + until..]);
        }
    }
    found
}

fn subscriptions(timeline: &[Touch], trade: &mut Trade) {
    let unnamed = timeline.iter().enumerate();
    let unnamed =
        unnamed.filter(|(_, touch)| touch.kind == "subscription_started" && touch.thing("contract").is_none());
    // Whatever starts with one touchpoint is bought once.
    let named: BTreeSet<usize> = contracts(timeline).into_iter().map(|(start, ..)| start).collect();
    for placed in named.into_iter().chain(unnamed.map(|(at, _)| at)) {
        trade.purchases.push(Purchase { placed, cancelled: NEVER, delivered: placed, forgotten: NEVER });
    }
}

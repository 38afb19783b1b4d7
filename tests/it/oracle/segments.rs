//! A person's timeline in, the same with the segments that the rules of the tests put it into out.

use super::{cells::World, sources::Touch, trade::Trade};

/// The rules, as the hub is told them.
pub const RULES: &str = r#"
at risk: has(record.csat) && record.csat <= 2

# Buyers.
loyal: record.orders >= 2
pressed: record.contacts_30_days >= 2 && touchpoint.initiator == "customer"
curious: record.touchpoints_by_kind.page_viewed >= 2 && record.scores.nps.n == 0
new: record.touchpoints == 0 || (record.days_known < 2 && touchpoint.spoke in ["marketing", "sales"])
"#;

/// The segment of the person whose timeline it is, at its end.
pub(super) fn at_the_end(timeline: &[Touch]) -> Option<&str> {
    match &timeline.last()?.standing {
        Some(standing) => standing.as_deref(),
        None => timeline.iter().rev().find_map(|touch| touch.segment.as_deref()),
    }
}

/// What the rules say of each touchpoint, given all that came before it; where none does, the touchpoint's own.
pub(super) fn by_rule(timeline: &[Touch], trade: &Trade, world: &World) -> Vec<Touch> {
    let first = timeline.first().map_or(0, |touch| touch.occurred_at);
    let (mut csat, mut named) = (None, None);
    let mut found = Vec::with_capacity(timeline.len());
    for (at, touch) in timeline.iter().enumerate() {
        let orders = trade.purchases.iter().filter(|purchase| purchase.placed < at && purchase.cancelled >= at).count();
        let is_new = at == 0
            || (touch.occurred_at - first < 2 * 86_400_000 && matches!(touch.spoke.as_str(), "marketing" | "sales"));
        let before = &timeline[..at];
        let of = |kind: &'static str| before.iter().filter(move |touch| touch.kind == kind);
        let today = world.day(touch.occurred_at);
        let messages = of("message_sent").map(|touch| world.day(touch.occurred_at));
        let messages = messages.filter(|day| today - 30 <= *day && *day < today).count();
        let answered = before.iter().filter_map(|touch| touch.score.as_ref());
        let has_nps = answered.filter(|(scale, _, item)| scale == "nps" && item.is_none()).count() > 0;
        let segment = match csat {
            Some(score) if score <= 2 => Some("at risk"),
            _ if orders >= 2 => Some("loyal"),
            _ if messages >= 2 && touch.initiator == "customer" => Some("pressed"),
            _ if of("page_viewed").count() >= 2 && !has_nps => Some("curious"),
            _ if is_new => Some("new"),
            _ => touch.segment.as_deref(),
        };
        named = touch.segment.as_deref().or(named);
        let standing = Some(segment.or(named).map(str::to_owned));
        found.push(Touch { segment: segment.map(str::to_owned), standing, ..touch.clone() });
        if let Some((scale, value, None)) = &touch.score
            && scale == "csat"
        {
            csat = Some(*value);
        }
    }
    found
}

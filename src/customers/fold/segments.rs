//! A head and a touchpoint → the segment that the organisation's rules put the customer into.

use super::{FoldOptions, Head, facts::remember_newest};
use crate::model::{Known, Touchpoint};

/// The segment that counts at a touchpoint, before the head takes it: by rule, or as the touchpoint says.
pub(super) fn segment<'a>(head: &Head, touchpoint: &Touchpoint<'a>, options: &'a FoldOptions) -> Option<&'a str> {
    let by_rule = options.segments.as_ref().and_then(|rules| rules.segment(touchpoint, &known(head, options)));
    by_rule.or(touchpoint.segment)
}

/// Keeps the segment that the customer is in from a touchpoint on. Where rules are, nobody stays in a segment of theirs that they
/// do not put them into any more.
pub(super) fn remember(head: &mut Head, touchpoint: &Touchpoint<'_>, segment: Option<&str>, options: &FoldOptions) {
    if options.segments.is_none() {
        return remember_newest(&mut head.segment, segment);
    }
    remember_newest(&mut head.named_segment, touchpoint.segment);
    if segment.or(head.named_segment.as_deref()) != head.segment.as_deref() {
        head.segment = segment.map(Into::into).or_else(|| head.named_segment.clone());
    }
}

fn known<'h>(head: &'h Head, options: &FoldOptions) -> Known<'h> {
    let revenue = head.revenue.0.iter().find(|(currency, _)| *currency == options.currency);
    Known {
        touchpoints: i64::try_from(head.touchpoints).unwrap_or(i64::MAX),
        seen: (head.touchpoints > 0).then_some((head.first_seen, head.last_seen)),
        phase: head.phase(),
        orders: head.purchases,
        revenue: revenue.map_or(0, |(_, sum)| sum.sum),
        open_cases: head.cases.iter().filter(|case| case.open).count() as i64,
        deliveries: (head.deliveries_on_time, head.deliveries_late),
        scores: head
            .scores
            .iter()
            .filter(|answers| answers.item.is_none())
            .map(|answers| (answers.scale.as_str(), answers.last))
            .collect(),
        sentiment: head.sentiment.map(|(_, last)| last),
        segment: head.segment.as_deref(),
        region: head.region.as_deref(),
        account: head.account.as_deref(),
    }
}

//! A head and a touchpoint → the segment that the organisation's rules put the customer into.

use std::borrow::Cow;

use super::{
    FoldOptions, Head,
    facts::remember_newest,
    head::{MoneySums, Sum},
};
use crate::{
    customers::{record::AtClose, rhythm::rhythm},
    model::{
        AnswersPart, BuyingPart, Currency, Day, DurationPart, EventTime, Known, Record, RecordPlace, RhythmPart,
        StepPart, Touchpoint,
    },
};

const DAY_MS: i64 = 86_400_000;

/// The segment that counts at a touchpoint, before the head takes it: by rule, or as the touchpoint says.
pub(super) fn segment<'a>(head: &Head, touchpoint: &Touchpoint<'a>, options: &'a FoldOptions) -> Option<&'a str> {
    let by_rule =
        options.segments.as_ref().and_then(|rules| rules.segment(touchpoint, &before(head, touchpoint, options)));
    by_rule.or(touchpoint.segment)
}

/// What is known of a person before a touchpoint.
pub(in crate::customers) fn before<'h>(
    head: &'h Head,
    touchpoint: &Touchpoint<'_>,
    options: &FoldOptions,
) -> impl Record + use<'h> {
    let at = touchpoint.occurred_at;
    Before { head, at, day: options.calendar.day(at), currency: options.currency }
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

/// A head just before a touchpoint.
struct Before<'h> {
    head: &'h Head,
    /// When that happened, …
    at: EventTime,
    /// … and on which day: those before it are closed.
    day: Day,
    currency: Currency,
}

impl Before<'_> {
    /// A moment of the head's touchpoints: none before the first.
    fn seen(&self, at: EventTime) -> Option<EventTime> {
        (self.head.touchpoints > 0).then_some(at)
    }

    fn days_since(&self, at: EventTime) -> Known<'_> {
        self.seen(at).map_or(Known::Nothing, |at| Known::Int((self.at.0 - at.0).max(0) / DAY_MS))
    }

    fn at_close(&self) -> AtClose {
        AtClose::of(self.head, self.day.previous())
    }

    fn money(&self, sums: &MoneySums, currency: Option<Currency>) -> Sum {
        let currency = currency.unwrap_or(self.currency);
        sums.0.iter().find(|(of, _)| *of == currency).map(|(_, sum)| *sum).unwrap_or_default()
    }
}

fn count(n: u64) -> Known<'static> {
    Known::Int(i64::try_from(n).unwrap_or(i64::MAX))
}

/// Counted by something that has a number once it came up.
fn counted<T: PartialEq>(of: &[(T, u64)], is: impl Fn(&T) -> bool) -> Known<'static> {
    count(of.iter().find(|(it, _)| is(it)).map_or(0, |(_, n)| *n))
}

fn text(value: Option<&str>) -> Known<'_> {
    value.map_or(Known::Nothing, |value| Known::Text(Cow::Borrowed(value)))
}

fn shown(value: Option<impl std::fmt::Display>) -> Known<'static> {
    value.map_or(Known::Nothing, |value| Known::Text(Cow::Owned(value.to_string())))
}

fn mean(sum: Sum, unit: f64) -> Known<'static> {
    if sum.n > 0 { Known::Float(sum.sum as f64 / sum.n as f64 / unit) } else { Known::Nothing }
}

fn answers(known: Option<(Sum, i64)>, part: AnswersPart) -> Known<'static> {
    match (known, part) {
        (known, AnswersPart::N) => Known::Int(known.map_or(0, |(sum, _)| sum.n)),
        (Some((_, last)), AnswersPart::Last) => Known::Int(last),
        (Some((sum, _)), AnswersPart::Mean) => mean(sum, 1.0),
        (None, AnswersPart::Last | AnswersPart::Mean) => Known::Nothing,
    }
}

/// What took so many milliseconds.
fn duration(took: Sum, part: DurationPart) -> Known<'static> {
    match part {
        DurationPart::N => Known::Int(took.n),
        DurationPart::MeanSeconds => mean(took, 1_000.0),
    }
}

impl Record for Before<'_> {
    fn known(&self, place: &RecordPlace) -> Known<'_> {
        let head = self.head;
        match place {
            RecordPlace::Touchpoints => count(head.touchpoints),
            RecordPlace::OfSpoke(spoke) => counted(&head.spokes, |of| of == spoke),
            RecordPlace::OfKind(kind) => counted(&head.kinds, |of| of == kind),
            RecordPlace::OfChannel(channel) => counted(&head.channels, |of| of == channel),
            RecordPlace::FirstSeen => shown(self.seen(head.first_seen)),
            RecordPlace::DaysKnown => self.days_since(head.first_seen),
            RecordPlace::LastSeen => shown(self.seen(head.last_seen)),
            RecordPlace::DaysSilent => self.days_since(head.last_seen),
            RecordPlace::Phase => text(Some(head.phase().as_str())),
            RecordPlace::Orders => Known::Int(head.purchases),
            RecordPlace::Frequency => Known::Int((head.purchases - 1).max(0)),
            RecordPlace::Revenue(currency) => Known::Int(self.money(&head.revenue, *currency).sum),
            RecordPlace::MonetaryValue(currency) => mean(self.money(&head.purchase_amounts, *currency), 1.0),
            RecordPlace::Buying(part) => {
                let Some(bought) = head.buying.history() else {
                    return if *part == BuyingPart::Days { Known::Int(0) } else { Known::Nothing };
                };
                match part {
                    BuyingPart::FirstOn => shown(Some(bought.first)),
                    BuyingPart::LastOn => shown(Some(bought.last)),
                    BuyingPart::Days => Known::Int(i64::from(bought.days)),
                    BuyingPart::DaysSince => Known::Int(i64::from(self.day.0) - i64::from(bought.last.0)),
                    BuyingPart::RepeatPaidDays => Known::Int(i64::from(bought.repeat_paid_days)),
                    BuyingPart::RepeatPaid => Known::Int(bought.repeat_paid),
                }
            }
            RecordPlace::Rhythm(part) => {
                let Some(rhythm) = rhythm(head) else { return Known::Nothing };
                match part {
                    RhythmPart::Days => Known::Int(rhythm.gaps + 1),
                    RhythmPart::MeanGapDays => Known::Float(rhythm.mean_gap_days()),
                    RhythmPart::LimitDays => Known::Int(rhythm.limit_days),
                    RhythmPart::LapsesOn => shown(Some(rhythm.lapse())),
                    RhythmPart::Lapsed => Known::Bool(self.at_close().lapsed),
                }
            }
            RecordPlace::OpenCases => Known::Int(head.cases.iter().filter(|case| case.open).count() as i64),
            RecordPlace::Score(scale, item, part) => {
                let of = head.scores.iter().find(|answers| answers.scale == *scale && answers.item == *item);
                answers(of.map(|answers| (answers.sum, answers.last)), *part)
            }
            RecordPlace::Sentiment(part) => answers(head.sentiment, *part),
            RecordPlace::FirstResponse(part) => duration(head.first_response_ms, *part),
            RecordPlace::Resolution(part) => duration(head.resolution_ms, *part),
            RecordPlace::DeliveriesOnTime => Known::Int(head.deliveries_on_time),
            RecordPlace::DeliveriesLate => Known::Int(head.deliveries_late),
            RecordPlace::OpenPromises => {
                Known::Int(head.orders.iter().filter(|order| order.promise.is_some()).count() as i64)
            }
            RecordPlace::OverduePromises => Known::Int(self.at_close().overdue_promises),
            RecordPlace::Contacts30Days => Known::Int(self.at_close().contacts_30_days),
            RecordPlace::JourneySteps => Known::Int(head.journey.len() as i64),
            RecordPlace::LastStep(part) => {
                let Some(step) = head.journey.back() else { return Known::Nothing };
                text(match part {
                    StepPart::Spoke => head.spokes.get(step.spoke as usize).map(|(spoke, _)| &**spoke),
                    StepPart::Kind => Some(step.kind.as_str()),
                    StepPart::Channel => step.channel.map(|channel| channel.as_str()),
                })
            }
            RecordPlace::Segment => text(head.segment.as_deref()),
            RecordPlace::Region => text(head.region.as_deref()),
            RecordPlace::Account => text(head.account.as_deref()),
        }
    }
}

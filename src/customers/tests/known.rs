//! What rules of segments are told of a customer is the record as it would have been published just before.

use proptest::prelude::*;

use super::properties::any_touchpoint;
use crate::{
    customers::{
        fold::{FoldOptions, Head, Silence, segments::before, step},
        record,
    },
    model::*,
};

/// What a record says at a place.
fn said(record: &InsightRecord, place: &RecordPlace, at: EventTime, day: Day) -> Known<'static> {
    let text = |text: Option<String>| text.map_or(Known::Nothing, |text| Known::Text(text.into()));
    let is_known = record.touchpoints > 0;
    let full_days = |since: EventTime| match is_known {
        true => Known::Int((at.0 - since.0) / 86_400_000),
        false => Known::Nothing,
    };
    let counted = |n: Option<&i64>| Known::Int(n.copied().unwrap_or(0));
    let answers = |summary: Option<&ScoreSummary>, part: AnswersPart| match (summary, part) {
        (summary, AnswersPart::N) => counted(summary.map(|summary| &summary.n)),
        (Some(summary), AnswersPart::Last) => Known::Int(summary.last),
        (Some(summary), AnswersPart::Mean) => Known::Float(summary.mean),
        (None, _) => Known::Nothing,
    };
    let duration = |summary: &DurationSummary, part: DurationPart| match part {
        DurationPart::N => Known::Int(summary.n),
        DurationPart::MeanSeconds => summary.mean_seconds.map_or(Known::Nothing, Known::Float),
    };
    let money = |currency: &Option<Currency>| currency.unwrap_or(Currency(*b"EUR")).as_str().to_owned();
    match place {
        RecordPlace::Touchpoints => Known::Int(record.touchpoints),
        RecordPlace::OfSpoke(spoke) => counted(record.touchpoints_by_spoke.get(&**spoke)),
        RecordPlace::OfKind(kind) => counted(record.touchpoints_by_kind.get(kind.as_str())),
        RecordPlace::OfChannel(channel) => counted(record.touchpoints_by_channel.get(channel.as_str())),
        RecordPlace::FirstSeen => text(is_known.then(|| record.first_seen.to_string())),
        RecordPlace::DaysKnown => full_days(record.first_seen),
        RecordPlace::LastSeen => text(is_known.then(|| record.last_seen.to_string())),
        RecordPlace::DaysSilent => full_days(record.last_seen),
        RecordPlace::Phase => text(Some(record.phase.to_string())),
        RecordPlace::Orders => Known::Int(record.orders),
        RecordPlace::Frequency => Known::Int(record.frequency),
        RecordPlace::Revenue(currency) => counted(record.revenue.get(&money(currency))),
        RecordPlace::MonetaryValue(currency) => {
            record.monetary_value.get(&money(currency)).map_or(Known::Nothing, |mean| Known::Float(*mean))
        }
        RecordPlace::Buying(part) => match (&record.buying, part) {
            (None, BuyingPart::Days) => Known::Int(0),
            (None, _) => Known::Nothing,
            (Some(buying), BuyingPart::FirstOn) => text(Some(buying.first_on.to_string())),
            (Some(buying), BuyingPart::LastOn) => text(Some(buying.last_on.to_string())),
            (Some(buying), BuyingPart::Days) => Known::Int(buying.days),
            (Some(buying), BuyingPart::DaysSince) => Known::Int(i64::from(day.0 - buying.last_on.0)),
            (Some(buying), BuyingPart::RepeatPaidDays) => Known::Int(buying.repeat_paid_days),
            (Some(buying), BuyingPart::RepeatPaid) => Known::Int(buying.repeat_paid),
        },
        RecordPlace::Rhythm(part) => match (&record.rhythm, part) {
            (None, _) => Known::Nothing,
            (Some(rhythm), RhythmPart::Days) => Known::Int(rhythm.days),
            (Some(rhythm), RhythmPart::MeanGapDays) => Known::Float(rhythm.mean_gap_days),
            (Some(rhythm), RhythmPart::LimitDays) => Known::Int(rhythm.limit_days),
            (Some(rhythm), RhythmPart::LapsesOn) => text(Some(rhythm.lapses_on.to_string())),
            (Some(rhythm), RhythmPart::Lapsed) => Known::Bool(rhythm.lapsed),
        },
        RecordPlace::OpenCases => Known::Int(record.open_cases),
        RecordPlace::Score(scale, item, part) => {
            let key = item.as_ref().map_or_else(|| scale.to_string(), |item| format!("{scale}:{item}"));
            answers(record.scores.get(&key), *part)
        }
        RecordPlace::Sentiment(part) => answers(record.sentiment.as_ref(), *part),
        RecordPlace::FirstResponse(part) => duration(&record.first_response_time, *part),
        RecordPlace::Resolution(part) => duration(&record.resolution_time, *part),
        RecordPlace::DeliveriesOnTime => Known::Int(record.deliveries_on_time),
        RecordPlace::DeliveriesLate => Known::Int(record.deliveries_late),
        RecordPlace::OpenPromises => Known::Int(record.open_promises),
        RecordPlace::OverduePromises => Known::Int(record.overdue_promises),
        RecordPlace::Contacts30Days => Known::Int(record.contacts_30_days),
        RecordPlace::JourneySteps => Known::Int(record.journey.len() as i64),
        RecordPlace::LastStep(part) => text(record.journey.last().and_then(|step| match part {
            StepPart::Spoke => Some(step.spoke.clone()),
            StepPart::Kind => Some(step.kind.to_string()),
            StepPart::Channel => step.channel.map(|channel| channel.to_string()),
        })),
        RecordPlace::Segment => text(record.segment.clone()),
        RecordPlace::Region => text(record.region.clone()),
        RecordPlace::Account => text(record.account.clone()),
    }
}

/// Each place, with each part that it has.
fn places() -> Vec<RecordPlace> {
    use RecordPlace as P;
    let parts = [AnswersPart::N, AnswersPart::Last, AnswersPart::Mean];
    let mut places = vec![
        P::Touchpoints,
        P::OfSpoke("sales".into()),
        P::OfKind(Kind::CaseOpened),
        P::OfChannel(Channel::Phone),
        P::FirstSeen,
        P::DaysKnown,
        P::LastSeen,
        P::DaysSilent,
        P::Phase,
        P::Orders,
        P::Frequency,
        P::Revenue(None),
        P::Revenue(Some(Currency(*b"USD"))),
        P::MonetaryValue(None),
        P::MonetaryValue(Some(Currency(*b"USD"))),
        P::OpenCases,
        P::DeliveriesOnTime,
        P::DeliveriesLate,
        P::OpenPromises,
        P::OverduePromises,
        P::Contacts30Days,
        P::JourneySteps,
        P::Segment,
        P::Region,
        P::Account,
    ];
    places.extend(parts.map(|part| P::Score(ScoreScale::Csat, None, part)));
    places.extend(parts.map(|part| P::Score(ScoreScale::Perception, Some("speed".into()), part)));
    places.extend(parts.map(P::Sentiment));
    for part in [DurationPart::N, DurationPart::MeanSeconds] {
        places.extend([P::FirstResponse(part), P::Resolution(part)]);
    }
    places.extend([StepPart::Spoke, StepPart::Kind, StepPart::Channel].map(P::LastStep));
    use BuyingPart as B;
    places.extend([B::FirstOn, B::LastOn, B::Days, B::DaysSince, B::RepeatPaidDays, B::RepeatPaid].map(P::Buying));
    use RhythmPart as R;
    places.extend([R::Days, R::MeanGapDays, R::LimitDays, R::LapsesOn, R::Lapsed].map(P::Rhythm));
    places
}

proptest! {
    #[test]
    fn what_rules_are_told_is_the_record_as_the_day_before_left_it(
        mut timeline in prop::collection::vec(any_touchpoint(), 1..60),
    ) {
        timeline.sort_by_key(Touchpoint::timeline_key);
        let (mut head, options) = (Head::default(), FoldOptions::default());
        for touchpoint in &timeline {
            let day = options.calendar.day(touchpoint.occurred_at);
            let record = record::render(PersonId([0; 16]), &head, day.previous());
            {
                let known = before(&head, touchpoint, &options);
                for place in places() {
                    prop_assert_eq!(known.known(&place), said(&record, &place, touchpoint.occurred_at, day), "{:?}", place);
                }
            }
            step(&mut head, touchpoint, &options, &mut Silence);
        }
    }
}

//! What a rule of segments names → where it is looked up: a part of the touchpoint, or of what was known of the customer.

use std::borrow::Cow;

use crate::{
    ingest::keys::suggestion,
    model::{
        AnswersPart, BuyingPart, Channel, Currency, DurationPart, Kind, Known, Record, RecordPlace, RhythmPart,
        ScoreScale, StepPart, Touchpoint,
    },
    wire::{Scalar, path},
};

/// Where something is looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A part of the touchpoint, by its place in [`PARTS`].
    Part(usize),
    /// A property of the touchpoint.
    Property(Box<str>),
    /// A part of what was known.
    Record(RecordPlace),
}

/// A part of a touchpoint.
type Take = for<'a> fn(&'a Touchpoint<'a>) -> Scalar<'a>;

/// The parts of a touchpoint, but for whom it names: a segment is no name.
const PARTS: [(&str, Take); 24] = [
    ("occurred_at", |it| Scalar::Text(it.occurred_at.to_string().into())),
    ("spoke", |it| text(Some(it.spoke))),
    ("kind", |it| text(Some(it.kind.as_str()))),
    ("label", |it| text(it.label)),
    ("channel", |it| text(it.channel.map(|channel| channel.as_str()))),
    ("subject", |it| text(it.subject)),
    ("product", |it| text(it.product)),
    ("region", |it| text(it.region)),
    ("segment", |it| text(it.segment)),
    ("campaign", |it| text(it.campaign)),
    ("content", |it| text(it.content)),
    ("account", |it| text(it.account)),
    ("amount", |it| number(it.amount.map(|amount| amount.minor))),
    ("currency", |it| text(it.amount.as_ref().map(|amount| amount.currency.as_str()))),
    ("cost", |it| number(it.cost.map(|cost| cost.minor))),
    ("cost_currency", |it| text(it.cost.as_ref().map(|cost| cost.currency.as_str()))),
    ("scale", |it| text(it.score.as_ref().map(|score| score.scale.as_str()))),
    ("score", |it| number(it.score.map(|score| score.value.into()))),
    ("item", |it| text(it.score.and_then(|score| score.item))),
    ("promised_at", |it| it.promised_at.map_or(Scalar::Missing, |at| Scalar::Text(at.to_string().into()))),
    ("initiator", |it| text(Some(it.initiator.as_str()))),
    ("visibility", |it| text(Some(it.visibility.as_str()))),
    ("sentiment", |it| number(it.sentiment.map(i64::from))),
    ("effort", |it| number(it.effort.map(i64::from))),
];

/// What there is of the record under a name of the hub's own.
const RECORD: [(&str, RecordPlace); 45] = [
    ("touchpoints", RecordPlace::Touchpoints),
    ("first_seen", RecordPlace::FirstSeen),
    ("days_known", RecordPlace::DaysKnown),
    ("last_seen", RecordPlace::LastSeen),
    ("days_silent", RecordPlace::DaysSilent),
    ("phase", RecordPlace::Phase),
    ("orders", RecordPlace::Orders),
    ("frequency", RecordPlace::Frequency),
    ("revenue", RecordPlace::Revenue(None)),
    ("monetary_value", RecordPlace::MonetaryValue(None)),
    ("buying.first_on", RecordPlace::Buying(BuyingPart::FirstOn)),
    ("buying.last_on", RecordPlace::Buying(BuyingPart::LastOn)),
    ("buying.days", RecordPlace::Buying(BuyingPart::Days)),
    ("buying.days_since", RecordPlace::Buying(BuyingPart::DaysSince)),
    ("buying.repeat_paid_days", RecordPlace::Buying(BuyingPart::RepeatPaidDays)),
    ("buying.repeat_paid", RecordPlace::Buying(BuyingPart::RepeatPaid)),
    ("rhythm.days", RecordPlace::Rhythm(RhythmPart::Days)),
    ("rhythm.mean_gap_days", RecordPlace::Rhythm(RhythmPart::MeanGapDays)),
    ("rhythm.limit_days", RecordPlace::Rhythm(RhythmPart::LimitDays)),
    ("rhythm.lapses_on", RecordPlace::Rhythm(RhythmPart::LapsesOn)),
    ("rhythm.lapsed", RecordPlace::Rhythm(RhythmPart::Lapsed)),
    ("open_cases", RecordPlace::OpenCases),
    // The newest answer of each that is about no item.
    ("nps", RecordPlace::Score(ScoreScale::Nps, None, AnswersPart::Last)),
    ("csat", RecordPlace::Score(ScoreScale::Csat, None, AnswersPart::Last)),
    ("ces", RecordPlace::Score(ScoreScale::Ces, None, AnswersPart::Last)),
    ("sentiment", RecordPlace::Sentiment(AnswersPart::Last)),
    ("sentiment.n", RecordPlace::Sentiment(AnswersPart::N)),
    ("sentiment.last", RecordPlace::Sentiment(AnswersPart::Last)),
    ("sentiment.mean", RecordPlace::Sentiment(AnswersPart::Mean)),
    ("first_response_time.n", RecordPlace::FirstResponse(DurationPart::N)),
    ("first_response_time.mean_seconds", RecordPlace::FirstResponse(DurationPart::MeanSeconds)),
    ("resolution_time.n", RecordPlace::Resolution(DurationPart::N)),
    ("resolution_time.mean_seconds", RecordPlace::Resolution(DurationPart::MeanSeconds)),
    ("deliveries_on_time", RecordPlace::DeliveriesOnTime),
    ("deliveries_late", RecordPlace::DeliveriesLate),
    ("open_promises", RecordPlace::OpenPromises),
    ("overdue_promises", RecordPlace::OverduePromises),
    ("contacts_30_days", RecordPlace::Contacts30Days),
    ("journey.steps", RecordPlace::JourneySteps),
    ("journey.last.spoke", RecordPlace::LastStep(StepPart::Spoke)),
    ("journey.last.kind", RecordPlace::LastStep(StepPart::Kind)),
    ("journey.last.channel", RecordPlace::LastStep(StepPart::Channel)),
    ("segment", RecordPlace::Segment),
    ("region", RecordPlace::Region),
    ("account", RecordPlace::Account),
];

/// And under names that are asked for.
const BY_NAME: [&str; 11] = [
    "touchpoint.properties.NAME",
    "record.touchpoints_by_spoke.SPOKE",
    "record.touchpoints_by_kind.KIND",
    "record.touchpoints_by_channel.CHANNEL",
    "record.revenue.CURRENCY",
    "record.monetary_value.CURRENCY",
    "record.scores.SCALE.n",
    "record.scores.SCALE.last",
    "record.scores.SCALE.mean",
    "record.scores[\"SCALE:ITEM\"].last",
    "record.scores[\"SCALE:ITEM\"].mean",
];

impl Place {
    /// Reads a path, as a spoke file would write it.
    ///
    /// # Errors
    /// What is wrong with it, and what to write instead.
    pub(super) fn parse(path: &str) -> Result<Place, String> {
        let keys = path::keys(path).unwrap_or_default();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let found = match keys.as_slice() {
            ["touchpoint", "properties", name] => Some(Place::Property((*name).into())),
            ["touchpoint", part] => PARTS.iter().position(|(name, _)| name == part).map(Place::Part),
            ["record", rest @ ..] => of_record(rest)?.map(Place::Record),
            _ => None,
        };
        found.ok_or_else(|| {
            // As it is written in a rule.
            let path = path.strip_prefix("$.").unwrap_or(path);
            let names = names();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            match suggestion(path, &names) {
                near if near.is_empty() => format!("there is no {path}; there are {}", names.join(", ")),
                near => format!("there is no {path}{near}"),
            }
        })
    }

    /// What stands there.
    pub(super) fn scalar<'a>(&self, touchpoint: &'a Touchpoint<'a>, record: &'a dyn Record) -> Scalar<'a> {
        match self {
            Place::Part(part) => PARTS[*part].1(touchpoint),
            Place::Property(name) => {
                let found = touchpoint.properties.iter().find(|(key, _)| *key == &**name);
                text(found.map(|(_, value)| *value))
            }
            Place::Record(place) => match record.known(place) {
                Known::Nothing => Scalar::Missing,
                Known::Bool(value) => Scalar::Bool(value),
                Known::Int(value) => Scalar::Int(value),
                Known::Float(value) => Scalar::Float(value),
                Known::Text(value) => Scalar::Text(value),
            },
        }
    }
}

/// Everything that can be asked for.
fn names() -> Vec<String> {
    let parts = PARTS.iter().map(|(name, _)| format!("touchpoint.{name}"));
    let record = RECORD.iter().map(|(name, _)| format!("record.{name}"));
    parts.chain(record).chain(BY_NAME.map(str::to_owned)).collect()
}

fn of_record(keys: &[&str]) -> Result<Option<RecordPlace>, String> {
    fn word<T>(word: &str, parse: fn(&str) -> Option<T>, what: &str) -> Result<T, String> {
        parse(word).ok_or_else(|| format!("{word:?} is no {what} that is known"))
    }
    let currency = |code: &str| word(code, Currency::known, "currency of ISO 4217");
    Ok(Some(match keys {
        ["touchpoints_by_spoke", spoke] => RecordPlace::OfSpoke((*spoke).into()),
        ["touchpoints_by_kind", kind] => RecordPlace::OfKind(word(kind, Kind::parse, "kind")?),
        ["touchpoints_by_channel", channel] => RecordPlace::OfChannel(word(channel, Channel::parse, "channel")?),
        ["revenue", code] => RecordPlace::Revenue(Some(currency(code)?)),
        ["monetary_value", code] => RecordPlace::MonetaryValue(Some(currency(code)?)),
        ["scores", of, part] => {
            let (scale, item) = of.split_once(':').map_or((*of, None), |(scale, item)| (scale, Some(item.into())));
            let part = match *part {
                "n" => AnswersPart::N,
                "last" => AnswersPart::Last,
                "mean" => AnswersPart::Mean,
                _ => return Ok(None),
            };
            RecordPlace::Score(word(scale, ScoreScale::parse, "scale")?, item, part)
        }
        keys => {
            let path = keys.join(".");
            return Ok(RECORD.iter().find(|(name, _)| *name == path).map(|(_, place)| place.clone()));
        }
    }))
}

fn text(value: Option<&str>) -> Scalar<'_> {
    value.map_or(Scalar::Missing, |value| Scalar::Text(Cow::Borrowed(value)))
}

fn number(value: Option<i64>) -> Scalar<'static> {
    value.map_or(Scalar::Missing, Scalar::Int)
}

//! The organisation's rules of segments in; for a touchpoint and what was known of the customer, a segment out.

mod places;

use super::condition::Condition;
use crate::{
    model::{Record, Segmenting, Touchpoint},
    wire::{Capture, Slot},
};
use places::Place;

/// More rules are refused: each is asked for each touchpoint.
pub const RULES_MAX: usize = 32;
/// Characters of a segment's name.
pub const NAME_CHARACTERS_MAX: usize = 64;

/// Rules by CEL, in their order: the first that holds counts. What a condition cannot decide does not hold.
#[derive(Debug)]
pub struct Segments {
    source: String,
    /// What the rules ask for, by slot.
    asked: Vec<Place>,
    rules: Vec<(Box<str>, Condition)>,
}

impl Segments {
    /// Reads rules, one a line: `name: condition`. Empty lines, and those that begin with `#`, say nothing. `None`: there are none.
    ///
    /// # Errors
    /// Which line is wrong, and what to do.
    pub fn parse(source: &str) -> Result<Option<Segments>, String> {
        let (mut asked, mut rules) = (Vec::new(), Vec::new());
        for (number, line) in source.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = |problem: String| format!("line {}: {problem}", number + 1);
            let (name, condition) = line.split_once(':').ok_or_else(|| {
                wrong("it is not of the form name: condition, as in loyal: record.orders >= 3".into())
            })?;
            let name = name.trim();
            if name.is_empty() || name.chars().count() > NAME_CHARACTERS_MAX || name.contains(char::is_control) {
                return Err(wrong(format!("a segment's name has 1 to {NAME_CHARACTERS_MAX} characters")));
            }
            if rules.len() == RULES_MAX {
                return Err(wrong(format!("there are more than {RULES_MAX} rules")));
            }
            let mut slot = |path: &str| slot(path, &mut asked);
            let condition = Condition::compile(condition.trim(), false, &mut slot).map_err(wrong)?;
            rules.push((name.into(), condition));
        }
        Ok((!rules.is_empty()).then(|| Segments { source: source.to_owned(), asked, rules }))
    }
}

/// The slot of a path among what is asked for.
fn slot(path: &str, asked: &mut Vec<Place>) -> Result<Slot, String> {
    let place = Place::parse(path)?;
    let at = asked.iter().position(|known| *known == place).unwrap_or_else(|| {
        asked.push(place);
        asked.len() - 1
    });
    // A rule has few parts, and rules are few.
    u16::try_from(at).map(Slot::numbered).map_err(|_| "the rules ask for too much; say it shorter".to_owned())
}

impl Segmenting for Segments {
    fn segment(&self, touchpoint: &Touchpoint<'_>, record: &dyn Record) -> Option<&str> {
        let capture = Capture::of_scalars(self.asked.iter().map(|place| place.scalar(touchpoint, record)).collect());
        self.rules.iter().find(|(_, rule)| rule.holds(&capture) == Ok(true)).map(|(name, _)| &**name)
    }

    fn source(&self) -> &str {
        &self.source
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        AnswersPart, BuyingPart, Channel, Currency, EventTime, Identifier, IdentifierType, Initiator, Kind, Known,
        Money, RecordPlace, RhythmPart, ScoreScale, StepPart, Visibility,
    };

    fn touchpoint() -> Touchpoint<'static> {
        Touchpoint {
            occurred_at: EventTime(10 * 86_400_000),
            id: "1",
            spoke: "sales",
            kind: Kind::OrderPlaced,
            label: None,
            identifiers: vec![Identifier { kind: IdentifierType::CustomerId, value: "ann" }],
            channel: None,
            subject: None,
            product: Some("socks"),
            region: None,
            segment: Some("own"),
            campaign: None,
            content: None,
            account: None,
            amount: Some(Money { minor: 4_999, currency: Currency(*b"EUR") }),
            cost: None,
            score: None,
            promised_at: None,
            initiator: Initiator::Customer,
            visibility: Visibility::Public,
            sentiment: None,
            referrer: None,
            effort: None,
            properties: vec![("carrier", "north-post")],
        }
    }

    /// What is known, place by place.
    struct Told(Vec<(RecordPlace, Known<'static>)>);

    impl Record for Told {
        fn known(&self, place: &RecordPlace) -> Known<'_> {
            self.0.iter().find(|(known, _)| known == place).map_or(Known::Nothing, |(_, value)| value.clone())
        }
    }

    fn known() -> Told {
        let text = |text: &'static str| Known::Text(text.into());
        Told(vec![
            (RecordPlace::Touchpoints, Known::Int(4)),
            (RecordPlace::OfSpoke("support".into()), Known::Int(2)),
            (RecordPlace::OfKind(Kind::PageViewed), Known::Int(1)),
            (RecordPlace::OfChannel(Channel::Web), Known::Int(3)),
            (RecordPlace::DaysKnown, Known::Int(10)),
            (RecordPlace::DaysSilent, Known::Int(1)),
            (RecordPlace::Phase, text("after")),
            (RecordPlace::Orders, Known::Int(3)),
            (RecordPlace::Revenue(None), Known::Int(12_000)),
            (RecordPlace::Revenue(Some(Currency(*b"USD"))), Known::Int(700)),
            (RecordPlace::MonetaryValue(None), Known::Float(4_000.5)),
            (RecordPlace::Buying(BuyingPart::FirstOn), text("2026-01-31")),
            (RecordPlace::Rhythm(RhythmPart::Lapsed), Known::Bool(true)),
            (RecordPlace::OpenCases, Known::Int(1)),
            (RecordPlace::DeliveriesOnTime, Known::Int(2)),
            (RecordPlace::DeliveriesLate, Known::Int(1)),
            (RecordPlace::Score(ScoreScale::Csat, None, AnswersPart::Last), Known::Int(2)),
            (RecordPlace::Score(ScoreScale::Csat, None, AnswersPart::Mean), Known::Float(3.5)),
            (RecordPlace::Score(ScoreScale::Perception, Some("fast: yes".into()), AnswersPart::N), Known::Int(2)),
            (RecordPlace::LastStep(StepPart::Kind), text("case_opened")),
            (RecordPlace::Segment, text("loyal")),
            (RecordPlace::Region, text("north")),
        ])
    }

    fn segment(rules: &str) -> Option<String> {
        let rules = Segments::parse(rules).expect("rules").expect("at least one");
        rules.segment(&touchpoint(), &known()).map(str::to_owned)
    }

    #[test]
    fn the_first_rule_that_holds_counts_and_what_cannot_be_decided_does_not() {
        for (rules, expected) in [
            ("a: record.orders > 3\n# no rule\n\n b : record.orders == 3 \nc: true", Some("b")),
            ("a: record.nps > 8\nb: has(record.nps)", None),
            ("a: record.csat <= 2 && touchpoint.amount > 4000 && touchpoint.currency == 'EUR'", Some("a")),
            ("a: record.days_known == 10 && record.days_silent == 1", Some("a")),
            ("a: record.phase == 'after' && record.segment == 'loyal' && record.region != 'south'", Some("a")),
            ("a: touchpoint.segment in ['own'] && record.deliveries_late * 2 == record.deliveries_on_time", Some("a")),
            (
                "a: touchpoint.kind.startsWith('order_') && touchpoint.product == 'socks' && touchpoint.spoke == 'sales'",
                Some("a"),
            ),
            ("a: record.touchpoints_by_spoke.support == 2 && record.touchpoints_by_kind.page_viewed == 1", Some("a")),
            (
                "a: record.touchpoints_by_channel.web == 3 && record.revenue.USD == 700 && !has(record.revenue.EUR)",
                Some("a"),
            ),
            (
                "a: record.monetary_value > 4000.0 && record.buying.first_on < '2026-02-01' && record.rhythm.lapsed",
                Some("a"),
            ),
            ("a: record.scores.csat.mean == 3.5 && record.scores.csat.last == record.csat", Some("a")),
            ("a: record.scores['perception:fast: yes'].n == 2 && record.journey.last.kind == 'case_opened'", Some("a")),
            ("a: touchpoint.properties.carrier == 'north-post' && !has(touchpoint.properties.other)", Some("a")),
            ("a: touchpoint.initiator == 'customer' && touchpoint.visibility == 'public'", Some("a")),
            ("a: timestamp(touchpoint.occurred_at) == timestamp('1970-01-11T00:00:00Z')", Some("a")),
        ] {
            assert_eq!(segment(rules).as_deref(), expected, "{rules}");
        }
        assert!(Segments::parse(" \n# nothing\n").expect("no rules").is_none());
    }

    #[test]
    fn what_is_no_rule_says_where_and_what_to_do() {
        for (rules, problem) in [
            ("loyal", "line 1: it is not of the form name: condition"),
            ("\n: true", "line 2: a segment's name has 1 to 64 characters"),
            ("a: record.order > 1", "line 1: there is no record.order; did you mean \"record.orders\"?"),
            ("a: customer", "line 1: there is no customer; there are touchpoint.occurred_at,"),
            ("a: touchpoint.identifiers.email == 'ann'", "line 1: there is no touchpoint.identifiers.email"),
            ("a: record.identifiers.email == 'ann'", "line 1: there is no record.identifiers.email"),
            ("a: record.touchpoints_by_kind.viewed > 1", "line 1: \"viewed\" is no kind that is known"),
            ("a: record.touchpoints_by_channel.fax > 1", "line 1: \"fax\" is no channel that is known"),
            ("a: record.revenue.euro > 1", "line 1: \"euro\" is no currency of ISO 4217 that is known"),
            ("a: record.scores.stars.n > 1", "line 1: \"stars\" is no scale that is known"),
            ("a: record.scores.csat.median > 1", "line 1: there is no record.scores.csat.median"),
            (
                "a: record.rhythm.lapse",
                "line 1: there is no record.rhythm.lapse; did you mean \"record.rhythm.lapsed\"?",
            ),
            ("a: record.journey[0] == 'x'", "line 1: there is no record.journey[0]"),
            ("a: record.orders", ""),
            ("a: record.orders >", "line 1: it is not readable as CEL"),
            ("a: 1", "line 1: its outcome is a number"),
        ] {
            match Segments::parse(rules) {
                Ok(_) => assert_eq!(problem, "", "{rules}"),
                Err(error) => assert!(error.starts_with(problem) && !problem.is_empty(), "{rules}: {error}"),
            }
        }
        let many: String = (0..33).map(|number| format!("s{number}: true\n")).collect();
        assert_eq!(Segments::parse(&many).map(|_| ()), Err("line 33: there are more than 32 rules".into()));
    }
}

//! The organisation's rules of segments in; for a touchpoint and what was known of the customer, a segment out.

use std::borrow::Cow;

use super::condition::Condition;
use crate::{
    model::{Known, Segmenting, Touchpoint},
    wire::{Capture, Scalar, Slot},
};

/// More rules are refused: each is asked for each touchpoint.
pub const RULES_MAX: usize = 32;
/// Characters of a segment's name.
pub const NAME_CHARACTERS_MAX: usize = 64;

/// What a condition can ask for, by slot.
const NAMES: [&str; 30] = [
    "touchpoint.spoke",
    "touchpoint.kind",
    "touchpoint.channel",
    "touchpoint.segment",
    "touchpoint.region",
    "touchpoint.product",
    "touchpoint.subject",
    "touchpoint.campaign",
    "touchpoint.account",
    "touchpoint.amount",
    "touchpoint.currency",
    "touchpoint.scale",
    "touchpoint.score",
    "touchpoint.sentiment",
    "record.touchpoints",
    "record.days_known",
    "record.days_silent",
    "record.phase",
    "record.orders",
    "record.revenue",
    "record.open_cases",
    "record.deliveries_on_time",
    "record.deliveries_late",
    "record.nps",
    "record.csat",
    "record.ces",
    "record.sentiment",
    "record.segment",
    "record.region",
    "record.account",
];

const DAY_MS: i64 = 86_400_000;

/// Rules by CEL, in their order: the first that holds counts. What a condition cannot decide does not hold.
#[derive(Debug)]
pub struct Segments {
    source: String,
    rules: Vec<(Box<str>, Condition)>,
}

impl Segments {
    /// Reads rules, one a line: `name: condition`. Empty lines, and those that begin with `#`, say nothing. `None`: there are none.
    ///
    /// # Errors
    /// Which line is wrong, and what to do.
    pub fn parse(source: &str) -> Result<Option<Segments>, String> {
        let mut rules: Vec<(Box<str>, Condition)> = Vec::new();
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
            let condition = Condition::compile(condition.trim(), false, &mut slot).map_err(wrong)?;
            rules.push((name.into(), condition));
        }
        Ok((!rules.is_empty()).then(|| Segments { source: source.to_owned(), rules }))
    }
}

fn slot(path: &str) -> Result<Slot, String> {
    // As a spoke file would write it: from the root.
    let path = path.strip_prefix("$.").unwrap_or(path);
    match NAMES.iter().position(|name| *name == path) {
        Some(position) => Ok(Slot::numbered(u16::try_from(position).expect("there are few names"))),
        None => match super::keys::suggestion(path, &NAMES) {
            near if near.is_empty() => Err(format!("there is no {path}; there are {}", NAMES.join(", "))),
            near => Err(format!("there is no {path}{near}")),
        },
    }
}

fn text(value: Option<&str>) -> Scalar<'_> {
    value.map_or(Scalar::Missing, |value| Scalar::Text(Cow::Borrowed(value)))
}

fn number(value: Option<i64>) -> Scalar<'static> {
    value.map_or(Scalar::Missing, Scalar::Int)
}

fn capture<'a>(touchpoint: &'a Touchpoint<'a>, known: &'a Known<'a>) -> Capture<'a> {
    let since = |at: i64| number(Some((touchpoint.occurred_at.0 - at).max(0) / DAY_MS));
    let newest = |scale: &str| number(known.scores.iter().find(|(of, _)| *of == scale).map(|(_, last)| *last));
    Capture::of_scalars(vec![
        text(Some(touchpoint.spoke)),
        text(Some(touchpoint.kind.as_str())),
        text(touchpoint.channel.map(|channel| channel.as_str())),
        text(touchpoint.segment),
        text(touchpoint.region),
        text(touchpoint.product),
        text(touchpoint.subject),
        text(touchpoint.campaign),
        text(touchpoint.account),
        number(touchpoint.amount.map(|amount| amount.minor)),
        text(touchpoint.amount.as_ref().map(|amount| amount.currency.as_str())),
        text(touchpoint.score.as_ref().map(|score| score.scale.as_str())),
        number(touchpoint.score.as_ref().map(|score| score.value.into())),
        number(touchpoint.sentiment.map(i64::from)),
        number(Some(known.touchpoints)),
        known.seen.map_or(Scalar::Missing, |(first, _)| since(first.0)),
        known.seen.map_or(Scalar::Missing, |(_, last)| since(last.0)),
        text(Some(known.phase.as_str())),
        number(Some(known.orders)),
        number(Some(known.revenue)),
        number(Some(known.open_cases)),
        number(Some(known.deliveries.0)),
        number(Some(known.deliveries.1)),
        newest("nps"),
        newest("csat"),
        newest("ces"),
        number(known.sentiment),
        text(known.segment),
        text(known.region),
        text(known.account),
    ])
}

impl Segmenting for Segments {
    fn segment(&self, touchpoint: &Touchpoint<'_>, known: &Known<'_>) -> Option<&str> {
        let capture = capture(touchpoint, known);
        self.rules.iter().find(|(_, rule)| rule.holds(&capture) == Ok(true)).map(|(name, _)| &**name)
    }

    fn source(&self) -> &str {
        &self.source
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Currency, EventTime, Identifier, IdentifierType, Initiator, Kind, Money, Phase, Visibility};

    fn touchpoint() -> Touchpoint<'static> {
        Touchpoint {
            occurred_at: EventTime(10 * DAY_MS),
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
            properties: Vec::new(),
        }
    }

    fn known() -> Known<'static> {
        Known {
            touchpoints: 4,
            seen: Some((EventTime(0), EventTime(8 * DAY_MS + 1))),
            phase: Phase::After,
            orders: 3,
            revenue: 12_000,
            open_cases: 1,
            deliveries: (2, 1),
            scores: vec![("csat", 2)],
            sentiment: None,
            segment: Some("loyal"),
            region: Some("north"),
            account: None,
        }
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
            ("a: customer", "line 1: there is no customer; there are touchpoint.spoke,"),
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

//! The text of a spoke file that is wrong → every mistake of it that can be found in one go, for whoever is writing it.
//!
//! A file is read and compiled as always, which ends at its first mistake. What that blames is taken out, or something that is
//! right put in its place, and the rest is looked at again, until nothing is wrong. What only follows from a mend (of what was
//! taken out that it is missing) is no mistake of the file's and is not told.

use std::{collections::BTreeMap, sync::Arc};

use toml::{
    Table, Value,
    de::{DeTable, Error},
};

use super::{Options, Spoke, SpokeError, SpokeFile, spoke_file::is_of_mapping};
use crate::wire::Schemas;

/// The most that are told: nobody mends more before looking again.
pub const MISTAKES_MAX: usize = 50;
/// Mends of one file. Each takes out or replaces something, so that only a file of very many mistakes has as many.
const MENDS_MAX: usize = 4 * MISTAKES_MAX;
/// Mends of one key before what holds it is mended.
const TRIES_MAX: u32 = 2;

/// What is wrong with a spoke file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mistakes {
    /// By their lines.
    pub found: Vec<SpokeError>,
    /// Whether the rest could not be looked at.
    pub may_be_more: bool,
}

impl Mistakes {
    /// Looks for them in a file's text; none if it is right. `name` is the file's.
    pub fn of(name: &str, text: &str, options: &Options, schemas: &Arc<Schemas>) -> Mistakes {
        let (_, errors) = DeTable::parse_recoverable(text);
        let mut mistakes = match errors.is_empty() {
            true => mapped(name, text, options, schemas),
            false => written(name, text, &errors),
        };
        mistakes.found.sort_by_key(|mistake| mistake.line);
        mistakes
    }
}

/// What is no TOML. What the rest of it means nobody can tell.
fn written(name: &str, text: &str, errors: &[Error]) -> Mistakes {
    let mut found: Vec<SpokeError> = Vec::new();
    for error in errors.iter().take(MISTAKES_MAX) {
        let mistake = SpokeFile::no_toml(name, text, error);
        // Of one line the first says what is wrong, and the others what followed from it.
        if found.iter().all(|known| known.line != mistake.line) {
            found.push(mistake);
        }
    }
    Mistakes { found, may_be_more: true }
}

fn mapped(name: &str, text: &str, options: &Options, schemas: &Arc<Schemas>) -> Mistakes {
    let mut mistakes = Mistakes { may_be_more: true, ..Mistakes::default() };
    let Ok(mut table) = toml::from_str::<Table>(text) else {
        return mistakes;
    };
    let mut mended: BTreeMap<String, Mended> = BTreeMap::new();
    let mut tries: BTreeMap<String, u32> = BTreeMap::new();
    for _ in 0..MENDS_MAX {
        let compiled = SpokeFile::of_table(name, text, &table)
            .and_then(|file| Spoke::compile(&file, options.clone(), schemas).map(|_| ()));
        let Err(mut mistake) = compiled else {
            mistakes.may_be_more = false;
            break;
        };
        let key = mistake.key.clone();
        if !follows(&mended, &key) {
            if mistakes.found.len() == MISTAKES_MAX {
                break;
            }
            if let Some(first) = mistakes.found.first() {
                mistake.spoke.clone_from(&first.spoke); // whose name may be mended
            }
            let is_surplus = mistake.problem.starts_with("there is no such key");
            mended.insert(key.clone(), if is_surplus { Mended::Surplus } else { Mended::Wrong });
            mistakes.found.push(mistake);
        }
        // Where neither something right nor nothing will do, what it is in is to blame.
        let tries = tries.entry(key.clone()).and_modify(|tries| *tries += 1).or_insert(1);
        let at = if *tries <= TRIES_MAX { &*key } else { key.rsplit_once('.').map_or(&*key, |(holder, _)| holder) };
        if !mend(&mut table, at, at) {
            break;
        }
    }
    mistakes
}

/// Why something was mended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mended {
    /// Nobody misses it.
    Surplus,
    Wrong,
}

/// Whether a mistake may follow from what was mended: there, or in what it holds.
fn follows(mended: &BTreeMap<String, Mended>, key: &str) -> bool {
    let is_inside = |inner: &str| inner.strip_prefix(key).is_some_and(|rest| rest.starts_with(['.', '[']));
    mended.contains_key(key) || mended.iter().any(|(inner, why)| *why == Mended::Wrong && is_inside(inner))
}

/// Puts something right where a key leads, or takes out what is there. `whole`: the key from the top; `key`: from this table.
/// False if there was nothing to be done.
fn mend(table: &mut Table, whole: &str, key: &str) -> bool {
    let fits = |name: &str| {
        let rest = key.strip_prefix(name);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    let name = table.keys().filter(|name| fits(name)).max_by_key(|name| name.len()).cloned();
    let Some(name) = name else {
        return match stand_in(table, whole) {
            Some(value) if !key.contains(['.', '[']) => table.insert(key.to_owned(), value).is_none(),
            _ => false,
        };
    };
    let rest = &key[name.len()..];
    let is_mended = match (table.get_mut(&name), rest.split_at_checked(1)) {
        (Some(Value::Table(inner)), Some((".", rest))) => mend(inner, whole, rest),
        (Some(Value::Array(items)), Some(("[", rest))) => mend_item(items, whole, rest),
        _ => false,
    };
    if is_mended {
        return true;
    }
    // It is this one that is to blame.
    let whole = whole.strip_suffix(rest).unwrap_or(whole);
    match stand_in(table, whole) {
        Some(value) if table.get(&name) != Some(&value) => table.insert(name, value).is_some(),
        _ => table.remove(&name).is_some(),
    }
}

/// `key`: behind the opening bracket. Nothing is taken out of a list: the others would have other numbers.
fn mend_item(items: &mut [Value], whole: &str, key: &str) -> bool {
    let Some((index, rest)) = key.split_once(']') else { return false };
    let Some(item) = index.parse::<usize>().ok().and_then(|index| items.get_mut(index)) else { return false };
    if let (Value::Table(inner), Some(rest)) = (&mut *item, rest.strip_prefix('.'))
        && mend(inner, whole, rest)
    {
        return true;
    }
    let right = Value::Table(Table::from_iter([text("sample", "{}"), ("expect_skipped".into(), Value::Boolean(true))]));
    std::mem::replace(item, right.clone()) != right
}

fn text(key: &str, value: &str) -> (String, Value) {
    (key.to_owned(), value.into())
}

/// Something that is right where a key leads, which must not be missing. `table`: what it is in.
fn stand_in(table: &Table, key: &str) -> Option<Value> {
    let constant = |word: &str| Value::Table(Table::from_iter([text("constant", word)]));
    let last = key.rsplit(['.', ']']).next().unwrap_or(key);
    Some(match (key, last) {
        ("format", _) if table.contains_key("reader_schema") => "avro".into(),
        ("format", _) if table.keys().any(|key| is_of_mapping(key)) => "json".into(),
        ("format", _) => "touchpoint-json".into(),
        ("spoke" | "topic" | "each", _) => "x".into(),
        ("id", _) => "position".into(),
        ("kind", _) => constant("other"),
        ("occurred_at", _) => Value::Table(Table::from_iter([text("path", "x"), text("format", "rfc3339")])),
        ("identifiers", _) => Value::Table(Table::from_iter([text("customer_id", "x")])),
        ("each.key", _) => ".x".into(),
        ("score.scale", _) => constant("nps"),
        ("referrer.type", _) => "customer_id".into(),
        ("amount.value" | "cost.value" | "score.value" | "referrer.value", _) => "x".into(),
        ("amount.currency" | "cost.currency", _) => constant("EUR"),
        ("amount.unit" | "cost.unit", _) => "minor".into(),
        (_, "format") if table.contains_key("zone") => "local".into(),
        (_, "format") => "rfc3339".into(),
        (_, "zone") => "UTC".into(),
        (_, "sample") => "{}".into(),
        (_, "path") => "x".into(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is told of a file, line and key and problem.
    fn found(text: &str) -> Vec<String> {
        let mistakes = Mistakes::of("web.toml", text, &Options::default(), &Arc::default());
        mistakes.found.iter().map(|mistake| mistake.to_string().replacen("spoke web, ", "", 1)).collect()
    }

    const RIGHT: &str = "spoke = \"web\"\ntopic = \"t\"\nformat = \"json\"\nid = \"i\"\nkind = \"k\"\n\
        occurred_at = { path = \"at\", format = \"rfc3339\" }\nidentifiers = { customer_id = \"c\" }\n";

    #[test]
    fn every_mistake_of_a_file_is_told_with_its_line_and_what_could_be_meant() {
        let text = "spoke = \"web\"\ntopic = \"a topic\"\nformat = \"jsn\"\ncondition = \"x ==\"\nchanel = \"c\"\n\
            region = \"a..b\"\nid = \"i\"\npromised_at = { path = \"p\", format = \"local\", zone = \"Europe/Amsterdm\" }\n\
            sentiment = { constant = \"very\" }\n[occurred_at]\npath = \"at\"\nformat = \"rfc339\"\n[kind]\npath = \"k\"\n\
            unmaped = \"reject\"\n[kind.map]\nbought = \"order_plcaed\"\nsold = \"order_placed\"\nleft = \"refund_isued\"\n\
            [identifiers]\ncustomer = \"c\"\nemail = \"m\"\n[amount]\nvalue = \"v\"\ncurrency = { constant = \"EURO\" }\n\
            [[tests]]\nsample = '{}'\nexpect = { knd = \"x\", regoin = \"y\" }\n[[tests]]\nexpect_rejected = \"missing_feld\"\n";
        let found = found(text);
        let expected = [
            ("line 2: topic: ", "letters, digits, dots"),
            ("line 3: format: ", "did you mean \"json\"?"),
            ("line 4: condition: ", ""),
            ("line 5: chanel: ", "did you mean \"channel\"?"),
            ("line 6: region: ", ""),
            ("line 8: promised_at.zone: ", "no time zone"),
            ("line 9: sentiment.constant: ", "not a number"),
            ("line 12: occurred_at.format: ", "did you mean \"rfc3339\"?"),
            ("line 15: kind.unmaped: ", "did you mean \"unmapped\"?"),
            ("line 17: kind.map.bought: ", "did you mean \"order_placed\"?"),
            ("line 19: kind.map.left: ", "did you mean \"refund_issued\"?"),
            ("line 21: identifiers.customer: ", "use one of customer_id"),
            ("line 23: amount.unit: ", "it is missing"),
            ("line 25: amount.currency.constant: ", "ISO 4217"),
            ("line 28: tests[0].expect.knd: ", "did you mean \"kind\"?"),
            ("line 28: tests[0].expect.regoin: ", "did you mean \"region\"?"),
            ("line 29: tests[1].sample: ", "it is missing"),
            ("line 30: tests[1].expect_rejected: ", "use one of undecodable"),
        ];
        for (at, suggestion) in expected {
            assert!(
                found.iter().any(|told| told.starts_with(at) && told.contains(suggestion)),
                "{at}{suggestion} in {found:#?}"
            );
        }
        assert_eq!(found.len(), expected.len(), "nothing else is wrong: {found:#?}");
        let lines = |told: &String| told["line ".len()..].split(':').next().and_then(|line| line.parse::<usize>().ok());
        assert!(found.is_sorted_by_key(lines), "{found:#?}");
    }

    #[test]
    fn a_right_file_has_none_and_each_mistake_alone_is_the_one_that_compiling_tells() {
        assert_eq!(found(RIGHT), [""; 0]);
        let schemas = Arc::default();
        for (from, to) in [
            ("id = \"i\"\n", ""),
            ("kind = \"k\"\n", ""),
            ("kind = \"k\"", "kind = 5"),
            ("kind = \"k\"", "kind = { constant = \"ordr_placed\" }"),
            ("topic = \"t\"\n", ""),
            ("spoke = \"web\"", "spoke = \"w w\""),
            ("format = \"json\"\n", ""),
            ("\"json\"", "\"touchpoint-jsn\""),
            ("identifiers = { customer_id = \"c\" }\n", ""),
            ("{ customer_id = \"c\" }", "{ customer = \"c\" }"),
            ("{ customer_id = \"c\" }", "\"c\""),
            ("path = \"at\", ", ""),
            (", format = \"rfc3339\"", ""),
            ("\"rfc3339\"", "\"local\""),
            ("\"rfc3339\"", "\"logical\""),
            ("\"rfc3339\"", "\"%d.%m\""),
            ("\"rfc3339\"", "\"rfc3339\", zone = \"UTC\""),
            ("occurred_at = { path = \"at\", format = \"rfc3339\" }\n", ""),
            ("id = \"i\"", "id = [\"i\", \".j\"]\neach = \"list\""),
            ("id = \"i\"", "id = \"i\"\neach = { path = \"list\" }"),
            ("id = \"i\"", "id = \".i\"\neach = { path = \"list\", key = \".n\" }\nregion = \".r\""),
            ("id = \"i\"", "id = \"i\"\nreferrer = { type = \"friend\", value = \"x\" }"),
            ("id = \"i\"", "id = \"i\"\nscore = { scale = \"x\", value = \"y\", range = [5, 5] }"),
            ("id = \"i\"", "id = \"i\"\nscore = { value = \"y\" }"),
            ("id = \"i\"", "id = \"i\"\ncost = { value = \"y\", unit = \"cents\", currency = \"c\" }"),
            ("id = \"i\"", "id = \"i\"\nenvelope = \"cloud\""),
            ("id = \"i\"", "id = \"i\"\nphone_region = \"XX\""),
            ("id = \"i\"", "id = \"i\"\nchannel = { path = \"c\", constant = \"web\" }"),
            ("id = \"i\"", "id = \"i\"\ntests = [{ sample = '{}' }]"),
        ] {
            let text = RIGHT.replacen(from, to, 1);
            assert_ne!(text, RIGHT, "{from}");
            let first = SpokeFile::parse("web.toml", &text)
                .and_then(|file| Spoke::compile(&file, Options::default(), &schemas).map(|_| ()));
            let mistakes = Mistakes::of("web.toml", &text, &Options::default(), &schemas);
            assert_eq!(mistakes.found, [first.expect_err(to)], "{text}");
            assert!(!mistakes.may_be_more, "the rest was looked at: {text}");
        }
    }

    #[test]
    fn what_is_no_toml_is_told_line_by_line() {
        let text = RIGHT.replace("topic = \"t\"", "topic = t\"").replace("kind = \"k\"", "kind \"k\"");
        let found = found(&text);
        for line in ["line 2: not valid TOML", "line 5: not valid TOML"] {
            assert!(found.iter().any(|told| told.contains(line)), "{line} in {found:#?}");
        }
        assert!(found.len() <= 3, "{found:#?}");
    }

    #[test]
    fn no_more_are_told_than_anybody_reads() {
        let words: String = (0..500).map(|word| format!("w{word} = \"nothing\"\n")).collect();
        let text = format!("{}[kind]\npath = \"k\"\n[kind.map]\n{words}", RIGHT.replace("kind = \"k\"\n", ""));
        let mistakes = Mistakes::of("web.toml", &text, &Options::default(), &Arc::default());
        assert_eq!((mistakes.found.len(), mistakes.may_be_more), (MISTAKES_MAX, true));
    }
}

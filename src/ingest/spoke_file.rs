//! The text of one spoke file (TOML) → its keys, each known and of the right type. What they say is checked by
//! [`super::mapping`].

use toml::{Table, Value};

use super::{
    keys::{Keys, unknown_word},
    lines::{line_at, line_of},
    trial::Trial,
};

/// A spoke file, as written.
#[derive(Clone, Debug, PartialEq)]
pub struct SpokeFile {
    /// The department.
    pub spoke: String,
    /// The topic of its events.
    pub topic: String,
    /// How they are written.
    pub format: Format,
    /// Whether they come in an envelope of CloudEvents 1.0.
    pub is_cloudevents: bool,
    /// The file, in the folder of schemas, with the schema that its Avro is read as.
    pub reader_schema: Option<String>,
    /// Of which region its phone numbers without a country's code are; `None`: as configured for all.
    pub phone_region: Option<String>,
    /// What a record, or an element of it, must be like to be taken (CEL); `None`: every one is.
    pub condition: Option<String>,
    /// Samples, and what must become of them.
    pub tests: Vec<Trial>,
    /// The text that it was read from, to say where a mistake is.
    text: String,
}

/// How a department writes its events.
#[derive(Clone, Debug, PartialEq)]
pub enum Format {
    /// `json`: JSON in the department's own shape, with a mapping.
    Json(Box<MappingFile>),
    /// `avro`: Avro in the department's own schemas, with a mapping.
    Avro(Box<MappingFile>),
    /// `touchpoint-json`: the canonical touchpoint as JSON. Nothing to map.
    TouchpointJson,
    /// `touchpoint-avro`: the canonical touchpoint as Avro (single-object encoding or a registry's wire format).
    TouchpointAvro,
}

/// Which places of a department's events make which fields of a touchpoint. A place is a path: `a.b[0]`, with `\.` for a
/// dot in a key. Of several places the first that holds something counts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MappingFile {
    /// The list whose elements are a touchpoint each.
    pub each: Option<Each>,
    /// Paths, `content` (a hash of the mapped fields) or `position` (topic, partition and offset).
    pub id: Vec<String>,
    /// What happened.
    pub kind: Source,
    /// Whether a kind without a translation is rejected and not kept as `other`.
    pub reject_unmapped_kinds: bool,
    /// When it happened.
    pub occurred_at: Time,
    /// (type, paths) of each identifier; every place and every element of a list counts.
    pub identifiers: Vec<(String, Vec<String>)>,
    /// (field, source) of the fields that hold one word, text or number: `channel`, `region`, `sentiment`, ….
    pub fields: Vec<(&'static str, Source)>,
    /// Money that the customer pays or gets back.
    pub amount: Option<Money>,
    /// What the touchpoint cost.
    pub cost: Option<Money>,
    /// An answer.
    pub score: Option<Score>,
    /// What was promised.
    pub promised_at: Option<Time>,
    /// (type, paths) of who referred this customer.
    pub referrer: Option<(String, Vec<String>)>,
    /// (name, source) of what is kept on the timeline besides.
    pub properties: Vec<(String, Source)>,
}

/// A list whose elements are a touchpoint each.
#[derive(Clone, Debug, PartialEq)]
pub struct Each {
    /// Its place.
    pub path: String,
    /// The places in an element that tell it from the others of its record; `None`: its number does.
    pub key: Option<Vec<String>>,
    /// Whether a record may be without it: it is skipped then, and not rejected.
    pub is_optional: bool,
    /// Whether it is written as a table: where its mistakes are.
    pub is_table: bool,
}

/// Where a field comes from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Source {
    /// Paths or a constant.
    pub from: From,
    /// (the department's word, ours).
    pub map: Vec<(String, String)>,
    /// What it is where no path holds anything; in our words.
    pub default: Option<String>,
}

/// Places in the payload, or the same for every event.
#[derive(Clone, Debug, PartialEq)]
pub enum From {
    /// Places in the payload: the first that holds something.
    Paths(Vec<String>),
    /// The same for every event.
    Constant(String),
}

impl Default for From {
    fn default() -> From {
        From::Paths(Vec::new())
    }
}

/// Where a time comes from and how it is written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Time {
    /// The places.
    pub paths: Vec<String>,
    /// How it is written.
    pub written: Written,
}

/// How a time is written.
#[derive(Clone, Debug, PartialEq)]
pub enum Written {
    /// As an instant.
    Instant(TimeFormat),
    /// As a local time: its pattern (`None`: `2026-01-31T09:00`), and its time zone, unless the pattern has the offset or the zone.
    Local(Option<String>, Option<Source>),
}

impl Default for Written {
    fn default() -> Written {
        Written::Instant(TimeFormat::default())
    }
}

/// How an instant is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimeFormat {
    /// `rfc3339`: text such as `2026-01-31T09:00:00.250+01:00`.
    #[default]
    Rfc3339,
    /// `epoch_s`: seconds since 1970, with or without a fraction.
    EpochSeconds,
    /// `epoch_ms`: milliseconds since 1970.
    EpochMilliseconds,
    /// `epoch_us`: microseconds since 1970.
    EpochMicroseconds,
    /// `logical`: as the Avro schema says: a timestamp of milliseconds, microseconds or nanoseconds, or RFC 3339 text.
    Logical,
    /// Text as `rfc3339`, numbers as `epoch_ms`: the canonical touchpoint.
    Canonical,
}

/// Where an amount of money comes from.
#[derive(Clone, Debug, PartialEq)]
pub struct Money {
    /// The places of the number.
    pub paths: Vec<String>,
    /// Whether the number is in major units (euros) and not in minor ones (cents).
    pub major: bool,
    /// What stands before the decimals of one in text, `,` or `.`, which may have thousands apart then.
    pub decimal: Option<char>,
    /// The currency.
    pub currency: Source,
}

/// Where an answer comes from.
#[derive(Clone, Debug, PartialEq)]
pub struct Score {
    /// Its scale.
    pub scale: Source,
    /// The places of the answer.
    pub value: Vec<String>,
    /// The ends of the department's own scale, worst answer first; `None` if it is ours.
    pub range: Option<(i64, i64)>,
    /// What stands before the decimals of one in text, `,` or `.`.
    pub decimal: Option<char>,
    /// What was asked about.
    pub item: Option<Source>,
}

/// A spoke file that cannot be used, with what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "spoke {spoke}{}: {}{problem}",
    .line.map_or_else(String::new, |line| format!(", line {line}")),
    if .key.is_empty() { String::new() } else { format!("{}: ", .key) }
)]
pub struct SpokeError {
    /// The spoke, or the file's name if it does not say.
    pub spoke: String,
    /// The line of its file, from 1, if it is one line that is to blame.
    pub line: Option<usize>,
    /// The key, dotted; empty for the file as a whole.
    pub key: String,
    /// What is wrong and what to do.
    pub problem: String,
}

/// The keys of every spoke file.
const FILE_KEYS: [&str; 6] = ["spoke", "topic", "format", "phone_region", "condition", "tests"];
/// The fields of a mapping that hold one word, text or number, by their keys.
pub(super) const FIELDS: [&str; 13] = [
    "label",
    "channel",
    "subject",
    "product",
    "region",
    "segment",
    "campaign",
    "content",
    "account",
    "initiator",
    "visibility",
    "sentiment",
    "effort",
];
/// Its other keys.
const MAPPING_KEYS: [&str; 11] = [
    "each",
    "id",
    "kind",
    "occurred_at",
    "identifiers",
    "amount",
    "cost",
    "score",
    "promised_at",
    "referrer",
    "properties",
];

/// The names of a touchpoint's fields: what a mapping can fill in, and the spoke.
pub(super) fn field_names() -> Vec<&'static str> {
    let mapped = MAPPING_KEYS.into_iter().filter(|key| *key != "each");
    mapped.chain(FIELDS).chain(["spoke"]).collect()
}

/// Whether a key is one of a mapping.
pub(super) fn is_of_mapping(key: &str) -> bool {
    MAPPING_KEYS.iter().chain(&FIELDS).any(|known| *known == key)
}

impl SpokeFile {
    /// Parses the text of a spoke file. `name` is the file's, for errors.
    pub fn parse(name: &str, text: &str) -> Result<SpokeFile, SpokeError> {
        let table = toml::from_str(text).map_err(|error| SpokeFile::no_toml(name, text, &error))?;
        SpokeFile::of_table(name, text, &table)
    }

    /// The same of what was read of the text.
    pub(super) fn of_table(name: &str, text: &str, table: &Table) -> Result<SpokeFile, SpokeError> {
        SpokeFile::read(name, text, table)
            .map_err(|error| SpokeError { line: error.line.or_else(|| line_of(text, &error.key)), ..error })
    }

    pub(super) fn no_toml(name: &str, text: &str, error: &toml::de::Error) -> SpokeError {
        SpokeError {
            spoke: name.to_owned(),
            line: error.span().map(|span| line_at(text, span.start)),
            key: String::new(),
            problem: format!("not valid TOML: {}", error.message()),
        }
    }

    /// Says where in the file the key of an error is.
    pub(super) fn locate(&self, error: SpokeError) -> SpokeError {
        SpokeError { line: error.line.or_else(|| line_of(&self.text, &error.key)), ..error }
    }

    /// A hash of the text.
    pub(super) fn fingerprint(&self) -> u64 {
        let mut first = [0; 8];
        first.copy_from_slice(&blake3::hash(self.text.as_bytes()).as_bytes()[..8]);
        u64::from_le_bytes(first)
    }

    fn read(name: &str, text: &str, table: &Table) -> Result<SpokeFile, SpokeError> {
        let mut keys =
            Keys { spoke: table.get("spoke").and_then(Value::as_str).unwrap_or(name), at: String::new(), table };
        let spoke = keys.text("spoke")?;
        let topic = keys.text("topic")?;
        let (mut is_cloudevents, mut reader_schema) = (false, None);
        let format = match keys.text("format")?.as_str() {
            mapped @ ("json" | "avro") => {
                let more: &[&str] = if mapped == "avro" { &["envelope", "reader_schema"] } else { &["envelope"] };
                keys.allow(&FILE_KEYS, &[more, &MAPPING_KEYS, &FIELDS])?;
                is_cloudevents = match keys.optional_text("envelope")?.as_deref() {
                    None => false,
                    Some("cloudevents") => true,
                    Some(other) => return Err(keys.error("envelope", unknown_word(other, &["cloudevents"]))),
                };
                reader_schema = keys.optional_text("reader_schema")?;
                let mapping = Box::new(mapping(&mut keys)?);
                if mapped == "avro" { Format::Avro(mapping) } else { Format::Json(mapping) }
            }
            canonical @ ("touchpoint-json" | "touchpoint-avro") => {
                if let Some(key) = table.keys().find(|key| is_of_mapping(key)) {
                    return Err(keys.error(key, "the canonical touchpoint needs no mapping; remove the key".into()));
                }
                keys.allow(&FILE_KEYS, &[])?;
                if canonical == "touchpoint-json" { Format::TouchpointJson } else { Format::TouchpointAvro }
            }
            other => {
                let known = ["json", "avro", "touchpoint-json", "touchpoint-avro"];
                return Err(keys.error("format", unknown_word(other, &known)));
            }
        };
        let condition = keys.optional_text("condition")?;
        let phone_region = keys.optional_text("phone_region")?;
        let tests = keys.tests()?;
        if format == Format::TouchpointAvro && !tests.is_empty() {
            return Err(keys.error("tests", "Avro cannot be written as text; remove them".into()));
        }
        Ok(SpokeFile {
            spoke,
            topic,
            format,
            is_cloudevents,
            reader_schema,
            phone_region,
            condition,
            tests,
            text: text.to_owned(),
        })
    }
}

fn mapping(keys: &mut Keys<'_>) -> Result<MappingFile, SpokeError> {
    let (kind, unmapped) = {
        let (source, mut rest) = keys.source("kind", &["unmapped"])?;
        let unmapped = match rest.as_mut() {
            Some(rest) => rest.optional_text("unmapped")?,
            None => None,
        };
        (source, unmapped)
    };
    let reject_unmapped_kinds = match unmapped.as_deref() {
        None | Some("other") => false,
        Some("reject") => true,
        Some(word) => return Err(keys.error("kind.unmapped", unknown_word(word, &["other", "reject"]))),
    };
    let mut fields = Vec::new();
    for field in FIELDS {
        if keys.table.contains_key(field) {
            fields.push((field, keys.source(field, &[])?.0));
        }
    }
    let mut identifiers = Vec::new();
    if let Some(table) = keys.optional_table("identifiers")? {
        for kind in table.table.keys() {
            identifiers.push((kind.clone(), table.paths(kind)?));
        }
    }
    let mut properties = Vec::new();
    if let Some(table) = keys.optional_table("properties")? {
        for name in table.table.keys() {
            properties.push((name.clone(), table.source(name, &[])?.0));
        }
    }
    let money = |key| -> Result<Option<Money>, SpokeError> {
        let Some(table) = keys.optional_table(key)? else {
            return Ok(None);
        };
        table.allow(&["value", "unit", "currency", "decimal"], &[])?;
        let major = match table.text("unit")?.as_str() {
            "major" => true,
            "minor" => false,
            other => return Err(table.error("unit", unknown_word(other, &["major", "minor"]))),
        };
        Ok(Some(Money {
            paths: table.paths("value")?,
            major,
            decimal: table.decimal()?,
            currency: table.source("currency", &[])?.0,
        }))
    };
    Ok(MappingFile {
        each: match keys.table.get("each") {
            Some(Value::Table(_)) => match keys.optional_table("each")? {
                None => None,
                Some(table) => {
                    table.allow(&["path", "key", "optional"], &[])?;
                    let (path, optional) = (table.text("path")?, table.optional_bool("optional")?);
                    // A table that says nothing more than the list has forgotten something.
                    let key = match optional {
                        None => Some(table.paths("key")?),
                        Some(_) => table.optional_paths("key")?,
                    };
                    Some(Each { path, key, is_optional: optional.unwrap_or_default(), is_table: true })
                }
            },
            _ => {
                let path = keys.optional_text("each")?;
                path.map(|path| Each { path, key: None, is_optional: false, is_table: false })
            }
        },
        id: keys.paths("id")?,
        kind,
        reject_unmapped_kinds,
        occurred_at: keys.time("occurred_at")?,
        identifiers,
        fields,
        amount: money("amount")?,
        cost: money("cost")?,
        score: match keys.optional_table("score")? {
            None => None,
            Some(table) => {
                table.allow(&["scale", "value", "range", "decimal", "item"], &[])?;
                let item = table.table.contains_key("item");
                Some(Score {
                    scale: table.source("scale", &[])?.0,
                    value: table.paths("value")?,
                    range: table.range("range")?,
                    decimal: table.decimal()?,
                    item: if item { Some(table.source("item", &[])?.0) } else { None },
                })
            }
        },
        promised_at: match keys.table.contains_key("promised_at") {
            true => Some(keys.time("promised_at")?),
            false => None,
        },
        referrer: match keys.optional_table("referrer")? {
            None => None,
            Some(table) => {
                table.allow(&["type", "value"], &[])?;
                Some((table.text("type")?, table.paths("value")?))
            }
        },
        properties,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(lines: &str) -> String {
        let text = format!("spoke = \"web\"\ntopic = \"web.events\"\n{lines}");
        let without_line = |error: SpokeError| SpokeError { line: None, ..error }.to_string();
        SpokeFile::parse("web.toml", &text).map_or_else(without_line, |file| format!("{:?}", file.format))
    }

    #[test]
    fn errors_name_the_key_and_say_what_to_do() {
        let json =
            "format = \"json\"\nid = \"i\"\nkind = \"k\"\noccurred_at = { path = \"t\", format = \"rfc3339\" }\n";
        assert!(error(json).starts_with("Json("));
        for (lines, expected) in [
            ("", "spoke web: format: it is missing; add format = \"…\""),
            (
                "format = \"jsn\"",
                "spoke web: format: \"jsn\" is not known; did you mean \"json\"?; use one of json, avro, touchpoint-json, touchpoint-avro",
            ),
            (
                "format = \"touchpoint-json\"\nid = \"x\"",
                "spoke web: id: the canonical touchpoint needs no mapping; remove the key",
            ),
            ("format = \"json\"", "spoke web: kind: it is missing; add kind = \"…\""),
            (&format!("{json}chanel = \"c\""), "spoke web: chanel: there is no such key; did you mean \"channel\"?"),
            (&format!("{json}color = \"c\""), "spoke web: color: there is no such key"),
            (
                &format!("{json}channel = {{ path = \"c\", mapp = {{}} }}"),
                "spoke web: channel.mapp: there is no such key; did you mean \"map\"?",
            ),
            (
                &format!("{json}channel = {{ path = \"c\", constant = \"web\" }}"),
                "spoke web: channel: give either a path or a constant",
            ),
            (
                &format!("{json}channel = 5"),
                "spoke web: channel: write a path or a constant, as in channel = \"a.b\" or channel = { constant = \"…\" }",
            ),
            (
                &format!("{json}promised_at = {{ path = \"p\", format = \"epoch\" }}"),
                "spoke web: promised_at.format: \"epoch\" is not known; use one of rfc3339, epoch_s, epoch_ms, epoch_us, logical, local or a pattern such as \"%d.%m.%Y %H:%M\"",
            ),
            (
                &format!("{json}promised_at = {{ path = \"p\", format = \"rfc3339\", zone = \"UTC\" }}"),
                "spoke web: promised_at.zone: this format says the instant itself; remove it, or set format = \"local\"",
            ),
            (
                &format!("{json}amount = {{ value = \"a\", currency = \"c\" }}"),
                "spoke web: amount.unit: it is missing; add unit = \"…\"",
            ),
            (&format!("{json}identifiers = \"x\""), "spoke web: identifiers: write a table, as in [identifiers]"),
        ] {
            assert_eq!(error(lines), expected);
        }
        let enveloped = error(&format!("{json}envelope = \"cloudevent\""));
        assert!(enveloped.ends_with("did you mean \"cloudevents\"?; use one of cloudevents"), "{enveloped}");
        assert!(error(&format!("{json}reader_schema = \"a.avsc\"")).contains("there is no such key"));
        let unnamed = SpokeFile::parse("web.toml", "spoke =").expect_err("no TOML").to_string();
        assert!(unnamed.starts_with("spoke web.toml, line 1: not valid TOML"), "{unnamed}");
    }

    #[test]
    fn errors_point_to_the_line() {
        let lines = |text: &str| SpokeFile::parse("web.toml", text).expect_err("a mistake").to_string();
        let head = "spoke = \"web\"\ntopic = \"t\"\nformat = \"touchpoint-json\"\n";
        let shown = |tests: &str| lines(&format!("{head}{tests}"));
        assert_eq!(shown("\ncolour = 1"), "spoke web, line 5: colour: there is no such key");
        assert_eq!(
            shown("[[tests]]\nsample = '{}'\nexpect = { knd = \"x\" }"),
            "spoke web, line 6: tests[0].expect.knd: a touchpoint has no such field; did you mean \"kind\"?"
        );
        assert_eq!(
            shown("[[tests]]\nsample = '{}'"),
            "spoke web, line 4: tests[0]: give one of expect = { … }, expect_rejected = \"reason\" and expect_skipped = true"
        );
        assert_eq!(
            shown("[[tests]]\nsample = '{}'\nexpected = {}"),
            "spoke web, line 6: tests[0].expected: there is no such key; did you mean \"expect\"?"
        );
        assert!(shown("[[tests]]\nsample = '{}'\nexpect_rejected = \"wrong\"").starts_with(
            "spoke web, line 6: tests[0].expect_rejected: \"wrong\" is not known; use one of undecodable,"
        ));
    }
}

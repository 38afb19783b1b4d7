//! Bombs in JSON: against the canonical touchpoint (`till`), and against a mapping with a list (`web`).

use super::Case;

/// A good touchpoint, some of its members replaced by other JSON; an empty one is left out.
pub fn event(replaced: &[(&str, &str)]) -> Vec<u8> {
    let mut members = vec![
        ("id", "\"t-1\""),
        ("kind", "\"order_placed\""),
        ("occurred_at", "\"2026-03-01T10:00:00Z\""),
        ("identifiers", r#"{"customer_id":["C1"]}"#),
        ("region", "\"north\""),
    ];
    for &(name, value) in replaced {
        match members.iter_mut().find(|(known, _)| *known == name) {
            Some(member) => member.1 = value,
            None => members.push((name, value)),
        }
    }
    let members: Vec<String> = members
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| format!("\"{name}\":{value}"))
        .collect();
    format!("{{{}}}", members.join(",")).into_bytes()
}

/// A record of `web`, with members before its list and the elements of it.
pub fn hits(before: &str, elements: &str) -> Vec<u8> {
    format!(r#"{{{before}"who":{{"number":"C1","cookies":["k1"]}},"hits":[{elements}]}}"#).into_bytes()
}

fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}

/// `{"k0":1,"k1":1,…}` with so many members.
fn members(count: usize, value: &str) -> String {
    let members: Vec<String> = (0..count).map(|number| format!("\"{number:x}\":{value}")).collect();
    format!("{{{}}}", members.join(","))
}

fn nested(open: &str, close: &str, depth: usize) -> String {
    format!("{}1{}", open.repeat(depth), close.repeat(depth))
}

struct Table(Vec<Case>);

impl Table {
    fn add(
        &mut self,
        spoke: &'static str,
        name: &str,
        payload: impl Into<Vec<u8>>,
        reason: &'static str,
        field: &'static str,
    ) {
        self.0.push(Case { name: format!("{spoke}: {name}"), spoke, payload: payload.into(), reason, field });
    }

    /// Of the canonical shape: not JSON, or not the right JSON.
    fn undecodable(&mut self, name: &str, payload: impl Into<Vec<u8>>) {
        self.add("till", name, payload, "undecodable", "");
    }

    /// One member of a canonical touchpoint replaced.
    fn member(&mut self, name: &str, member: (&str, &str), reason: &'static str, field: &'static str) {
        self.add("till", name, event(&[member]), reason, field);
    }
}

/// Every case.
pub fn cases() -> Vec<Case> {
    let mut table = Table(Vec::new());
    text(&mut table);
    structure(&mut table);
    size(&mut table);
    values(&mut table);
    mapped(&mut table);
    let whole = event(&[]);
    for length in 0..whole.len() {
        table.undecodable(&format!("cut after {length} bytes"), &whole[..length]);
    }
    table.0
}

/// Bytes that are no text, and escapes that are no characters.
fn text(table: &mut Table) {
    let spoiled = |bytes: &[u8]| [&b"{\"id\":\"a"[..], bytes, b"\",\"kind\":\"visit_made\"}"].concat();
    for (name, bytes) in [
        ("a lone continuation byte", &[0x80][..]),
        ("a slash in two bytes", &[0xC0, 0xAF]),
        ("NUL in two bytes", &[0xC0, 0x80]),
        ("a slash in three bytes", &[0xE0, 0x80, 0xAF]),
        ("a slash in four bytes", &[0xF0, 0x80, 0x80, 0xAF]),
        ("a slash in six bytes", &[0xFC, 0x80, 0x80, 0x80, 0x80, 0xAF]),
        ("half of a surrogate pair in UTF-8", &[0xED, 0xA0, 0x80]),
        ("both halves of a surrogate pair in UTF-8", &[0xED, 0xA0, 0xBD, 0xED, 0xB8, 0x80]),
        ("a character after the last one", &[0xF4, 0x90, 0x80, 0x80]),
        ("a character that stops in the middle", &[0xE2, 0x82]),
        ("0xFE and 0xFF", &[0xFE, 0xFF]),
        ("NUL as it is", &[0]),
        ("a line break as it is", b"\n"),
        ("escape as it is", &[0x1B]),
        ("a lone high surrogate", b"\\ud800"),
        ("a lone low surrogate", b"\\udc00"),
        ("surrogates in the wrong order", b"\\udc00\\ud800"),
        ("two high surrogates", b"\\ud800\\ud800"),
        ("a high surrogate and a letter", b"\\ud800x"),
        ("an unknown escape", b"\\x41"),
        ("an escape with two digits", b"\\u41"),
        ("an escape with a sign", b"\\u+041"),
    ] {
        table.undecodable(name, spoiled(bytes));
    }
    let wide = String::from_utf8(event(&[])).unwrap();
    table.undecodable("UTF-16 little endian", wide.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>());
    table.undecodable("UTF-16 big endian", wide.encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<_>>());
    table.undecodable("UTF-32", wide.chars().flat_map(|c| u32::from(c).to_le_bytes()).collect::<Vec<_>>());
    table.undecodable("a byte order mark", [&[0xEF, 0xBB, 0xBF][..], wide.as_bytes()].concat());
    table.undecodable("a gzip stream", [&[0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 3][..], &[0; 30]].concat());
}

/// What is no object, or no JSON at all.
fn structure(table: &mut Table) {
    let good = String::from_utf8(event(&[])).unwrap();
    for (name, payload) in [
        ("white space", " \t\r\n".to_owned()),
        ("a list", format!("[{good}]")),
        ("an empty list", "[]".to_owned()),
        ("a text", "\"neither\"".to_owned()),
        ("a number", "7".to_owned()),
        ("null", "null".to_owned()),
        ("true", "true".to_owned()),
        ("two objects", format!("{good}{good}")),
        ("two objects in two lines", format!("{good}\n{good}")),
        ("a comma too many", good.replace("\"north\"", "\"north\",")),
        ("a bracket too many", format!("{good}}}")),
        ("a comment", good.replace("\"region\"", "/* */\"region\"")),
        ("single quotes", good.replace('"', "'")),
        ("a key without quotes", good.replace("\"id\"", "id")),
        ("no colon", good.replace("\"id\":", "\"id\" ")),
        ("text after the end", format!("{good} and more")),
        ("NUL after the end", format!("{good}\0")),
        ("not a number", good.replace("\"north\"", "NaN")),
        ("infinity", good.replace("\"north\"", "-Infinity")),
        ("a leading zero", good.replace("\"north\"", "007")),
        ("a plus sign", good.replace("\"north\"", "+1")),
        ("a hexadecimal number", good.replace("\"north\"", "0x10")),
        ("no digit before the point", good.replace("\"north\"", ".5")),
        ("no digit after the point", good.replace("\"north\"", "1.")),
        ("an exponent without digits", good.replace("\"north\"", "1e")),
        ("a word of Python", good.replace("\"north\"", "None")),
    ] {
        table.undecodable(name, payload);
    }
    table.undecodable("100,000 open lists", "[".repeat(100_000));
    table.undecodable("100,000 open objects", "{\"a\":".repeat(100_000));
    let properties = nested("{\"a\":", "}", 50_000);
    table.member("100,000 lists in each other", ("region", &nested("[", "]", 100_000)), "wrong_type", "region");
    table.member("200 lists in each other", ("region", &nested("[", "]", 200)), "wrong_type", "region");
    table.member("50,000 objects in each other", ("properties", &properties), "wrong_type", "properties");
    let identifiers = format!("{{\"customer_id\":{}}}", nested("[", "]", 100_000));
    table.member("100,000 lists in identifiers", ("identifiers", &identifiers), "wrong_type", "identifiers");
    // What nobody reads is passed over, however deep it is: what is wrong with the rest is found.
    let unread = event(&[("id", ""), ("x", &properties)]);
    table.add("till", "50,000 objects that nobody reads, and no id", unread, "missing_field", "id");
    let twice = |from: &str, by: &str| good.replace(from, by);
    for (name, payload, field) in [
        ("an id twice", twice("\"id\":\"t-1\"", "\"id\":\"t-1\",\"id\":\"t-2\""), "id"),
        ("an id twice, the same", twice("\"id\":\"t-1\"", "\"id\":\"t-1\",\"id\":\"t-1\""), "id"),
        ("an id twice, once escaped", twice("\"id\":\"t-1\"", "\"id\":\"t-1\",\"\\u0069d\":\"t-2\""), "id"),
        ("an id 50,000 times", twice("\"id\":\"t-1\"", &vec!["\"id\":\"t-1\""; 50_000].join(",")), "id"),
        ("a time twice", twice("\"region\"", "\"occurred_at\":0,\"region\""), "occurred_at"),
        ("identifiers twice", twice("\"region\"", "\"identifiers\":{\"email\":\"a@b\"},\"region\""), "identifiers"),
        (
            "money twice",
            twice("\"region\"", "\"amount\":{\"minor\":1,\"minor\":2,\"currency\":\"EUR\"},\"region\""),
            "amount.minor",
        ),
    ] {
        table.add("till", name, payload, "undecodable", field);
    }
}

/// Too much of everything.
fn size(table: &mut Table) {
    let letters = "x".repeat(900_000);
    let digits = "9".repeat(1_000_000);
    // What a small gzip stream would unpack to is nobody's business: it is a text that is too long.
    let gzip = "H4sIAAAAAAAAA".repeat(800);
    table.add("till", "a payload of 1 MiB and a byte", vec![b' '; (1 << 20) + 1], "too_large", "");
    table.add("till", "a payload of 4 MiB", vec![b'['; 4 << 20], "too_large", "");
    table.undecodable("1 MiB of NUL", vec![0; 1 << 20]);
    table.undecodable("1 MiB of 0xFF", vec![0xFF; 1 << 20]);
    table.member("an id of 900,000 letters", ("id", &quoted(&letters)), "too_large", "id");
    table.member("an id of 129 letters", ("id", &quoted(&letters[..129])), "too_large", "id");
    table.member("a kind of 900,000 letters", ("kind", &quoted(&letters)), "too_large", "kind");
    table.member("a region of 257 letters", ("region", &quoted(&letters[..257])), "too_large", "region");
    table.member(
        "a region of 900,000 combining marks",
        ("region", &quoted(&"\u{301}".repeat(450_000))),
        "too_large",
        "region",
    );
    table.member("a label that is a packed bomb", ("label", &quoted(&gzip)), "too_large", "label");
    table.member("a subject of escapes", ("subject", &quoted(&"\\u0041".repeat(150_000))), "too_large", "subject");
    table.member("90,000 properties", ("properties", &members(90_000, "\"v\"")), "too_large", "properties");
    table.member("33 properties", ("properties", &members(33, "\"v\"")), "too_large", "properties");
    table.member(
        "a property of 129 letters",
        ("properties", &format!("{{\"p\":\"{}\"}}", &letters[..129])),
        "too_large",
        "properties",
    );
    table.member(
        "a property's name of 129 letters",
        ("properties", &format!("{{\"{}\":\"v\"}}", &letters[..129])),
        "too_large",
        "properties",
    );
    let many: Vec<String> = (0..33).map(|number| format!("\"C{number}\"")).collect();
    table.member(
        "33 identifiers",
        ("identifiers", &format!("{{\"customer_id\":[{}]}}", many.join(","))),
        "too_large",
        "identifiers",
    );
    let many: Vec<String> = (0..90_000).map(|number| format!("\"C{number}\"")).collect();
    table.member(
        "90,000 identifiers",
        ("identifiers", &format!("{{\"customer_id\":[{}]}}", many.join(","))),
        "too_large",
        "identifiers",
    );
    table.member(
        "90,000 types of identifiers",
        ("identifiers", &members(90_000, "\"v\"")),
        "wrong_type",
        "identifiers",
    );
    table.add(
        "till",
        "90,000 members and no id",
        {
            let extra = members(90_000, "1");
            let event = String::from_utf8(event(&[("id", "")])).unwrap();
            format!("{},{}", &extra[..extra.len() - 1], &event[1..])
        },
        "missing_field",
        "id",
    );
    table.member("a time of a million digits", ("occurred_at", &digits), "bad_timestamp", "occurred_at");
    table.member(
        "a time in text of a million digits",
        ("occurred_at", &quoted(&digits)),
        "bad_timestamp",
        "occurred_at",
    );
    table.member("a mood of a million digits", ("sentiment", &digits), "score_out_of_range", "sentiment");
    table.member(
        "a mood of a million digits after the point",
        ("sentiment", &format!("0.5{}", "0".repeat(900_000))),
        "score_out_of_range",
        "sentiment",
    );
    table.member(
        "a mood with an exponent of a million digits",
        ("sentiment", &format!("1e{digits}")),
        "undecodable",
        "",
    );
    table.member(
        "money of a million digits",
        ("amount", &format!("{{\"minor\":{digits},\"currency\":\"EUR\"}}")),
        "wrong_type",
        "amount.minor",
    );
    table.member(
        "money of a million digits in text",
        ("amount", &format!("{{\"minor\":\"{digits}\",\"currency\":\"EUR\"}}")),
        "wrong_type",
        "amount.minor",
    );
    table.member(
        "an answer of a million digits",
        ("score", &format!("{{\"scale\":\"nps\",\"value\":{digits}}}")),
        "score_out_of_range",
        "score.value",
    );
}

/// JSON that is right, and values that are not.
fn values(table: &mut Table) {
    for (name, value) in [("null", "null"), ("nothing", "\"\"")] {
        table.member(&format!("an id of {name}"), ("id", value), "missing_field", "id");
        table.member(&format!("a kind of {name}"), ("kind", value), "missing_field", "kind");
    }
    table.member("a kind of white space", ("kind", "\" \u{a0}\u{2003}\""), "missing_field", "kind");
    table.member("an id that is an object", ("id", "{}"), "wrong_type", "id");
    table.member("an id that is a list", ("id", "[\"t-1\"]"), "wrong_type", "id");
    table.member("an id with NUL", ("id", "\"t\\u00001\""), "wrong_type", "id");
    table.member("an id with a line break", ("id", "\"t\\n1\""), "wrong_type", "id");
    table.member("a kind that nobody knows", ("kind", "\"order placed\""), "unknown_kind", "kind");
    table.member("a kind with letters that look alike", ("kind", "\"\u{43e}rder_placed\""), "unknown_kind", "kind");
    table.member("a kind written from right to left", ("kind", "\"\u{202e}order_placed\""), "unknown_kind", "kind");
    table.member("a kind with a space of no width", ("kind", "\"order\u{200b}_placed\""), "unknown_kind", "kind");
    table.member("a kind that is a number of 309 digits", ("kind", "1e308"), "too_large", "kind");
    table.member("a kind that is a number", ("kind", "7"), "unknown_kind", "kind");
    table.member("a kind that is an object", ("kind", "{\"$ne\":null}"), "wrong_type", "kind");
    for (name, value) in [
        ("words", "\"yesterday\""),
        ("the year 1", "\"0001-01-01T00:00:00Z\""),
        ("the year 10000", "\"10000-01-01T00:00:00Z\""),
        ("30 February", "\"2026-02-30T00:00:00Z\""),
        ("the hour 25", "\"2026-03-01T25:00:00Z\""),
        ("no zone", "\"2026-03-01T10:00:00\""),
        ("no hour", "\"2026-03-01\""),
        ("an offset of 99 hours", "\"2026-03-01T10:00:00+99:00\""),
        ("Arabic digits", "\"٢٠٢٦-٠٣-٠١T10:00:00Z\""),
        ("NUL after it", "\"2026-03-01T10:00:00Z\\u0000\""),
        ("the largest of 64 bits", "9223372036854775807"),
        ("the smallest of 64 bits", "-9223372036854775808"),
        ("the largest of 64 bits without a sign", "18446744073709551615"),
        ("128 bits", "340282366920938463463374607431768211455"),
        ("microseconds", "1773000000000000"),
        ("in the year 1874", "-3000000000000"),
        ("a huge number", "1e300"),
        ("true", "true"),
        ("a list", "[2026,3,1]"),
        ("an object", "{\"$date\":0}"),
    ] {
        table.member(&format!("a time that is {name}"), ("occurred_at", value), "bad_timestamp", "occurred_at");
    }
    table.member(
        "a time after the record's own",
        ("occurred_at", "\"2026-03-25T10:00:00Z\""),
        "too_far_in_future",
        "occurred_at",
    );
    for (name, value) in [
        ("left out", ""),
        ("null", "null"),
        ("none", "{}"),
        ("an empty list", "{\"customer_id\":[]}"),
        ("nobody", "{\"customer_id\":[\"null\",\"0000\",\"undefined\",\"-1\"]}"),
        ("an address without @", "{\"email\":\"nobody\"}"),
        ("NUL", "{\"customer_id\":\"\\u0000\"}"),
        ("hidden behind a control character", "{\"customer_id\":\"C\\u00011\"}"),
    ] {
        table.member(&format!("identifiers: {name}"), ("identifiers", value), "no_usable_identifier", "identifiers");
    }
    table.member(
        "identifiers of a type that nobody knows",
        ("identifiers", "{\"__proto__\":\"C1\"}"),
        "wrong_type",
        "identifiers",
    );
    table.member("identifiers in a text", ("identifiers", "\"C1\""), "wrong_type", "identifiers");
    table.member(
        "identifiers in lists of lists",
        ("identifiers", "{\"customer_id\":[[\"C1\"]]}"),
        "wrong_type",
        "identifiers",
    );
    table.member(
        "identifiers that are objects",
        ("identifiers", "{\"customer_id\":{\"a\":1}}"),
        "wrong_type",
        "identifiers",
    );
    for (name, value, reason, field) in [
        ("a number", "5", "wrong_type", "amount"),
        ("half a cent", r#"{"minor":0.5,"currency":"EUR"}"#, "wrong_type", "amount.minor"),
        ("words", r#"{"minor":"five","currency":"EUR"}"#, "wrong_type", "amount.minor"),
        ("more than everybody has", r#"{"minor":1000000000000001,"currency":"EUR"}"#, "wrong_type", "amount.minor"),
        ("in small letters", r#"{"minor":5,"currency":"eur"}"#, "wrong_type", "amount.currency"),
        ("in a long currency", r#"{"minor":5,"currency":"EURO"}"#, "wrong_type", "amount.currency"),
        ("in no currency", r#"{"minor":5}"#, "missing_field", "amount.currency"),
        ("in nothing", r#"{"currency":"EUR"}"#, "missing_field", "amount.minor"),
    ] {
        table.member(&format!("money: {name}"), ("amount", value), reason, field);
    }
    for (name, value, reason, field) in [
        ("above its scale", r#"{"scale":"nps","value":11}"#, "score_out_of_range", "score.value"),
        ("below its scale", r#"{"scale":"csat","value":0}"#, "score_out_of_range", "score.value"),
        ("of no scale", r#"{"scale":"stars","value":1}"#, "wrong_type", "score.scale"),
        ("without a value", r#"{"scale":"nps"}"#, "missing_field", "score.value"),
        ("in words", r#"{"scale":"nps","value":"nine"}"#, "wrong_type", "score.value"),
    ] {
        table.member(&format!("an answer {name}"), ("score", value), reason, field);
    }
    table.member("a mood of 101", ("sentiment", "101"), "score_out_of_range", "sentiment");
    table.member("a mood in words", ("sentiment", "\"good\""), "wrong_type", "sentiment");
    table.member("an effort of 33 bits", ("effort", "4294967296"), "wrong_type", "effort");
    table.member("an initiator that nobody knows", ("initiator", "\"root\""), "wrong_type", "initiator");
    table.member("a visibility that nobody knows", ("visibility", "\"secret\""), "wrong_type", "visibility");
    table.member("a promise in words", ("promised_at", "\"soon\""), "bad_timestamp", "promised_at");
    table.member("a referrer without a value", ("referrer", r#"{"type":"email"}"#), "missing_field", "referrer.value");
    table.member("properties in a list", ("properties", "[1,2]"), "wrong_type", "properties");
    table.member("a property that is an object", ("properties", r#"{"a":{"b":1}}"#), "wrong_type", "properties");
    table.member("another spoke's name", ("spoke", "\"shop\""), "spoke_not_allowed", "spoke");
}

/// Against a mapping that takes each element of a list.
fn mapped(table: &mut Table) {
    let mut add = |name: &str, elements: &str, reason, field| {
        table.add("web", name, hits("\"id\":\"w-1\",", elements), reason, field);
    };
    let hit = r#"{"n":1,"at":1773000000,"what":"look"}"#;
    add("a list of 1,001 hits", &vec![hit; 1_001].join(","), "too_large", "hits");
    add("a list of 300,000 numbers", &vec!["1"; 300_000].join(","), "wrong_type", "hits[]");
    add("a hit that is a text", "\"hit\"", "wrong_type", "hits[]");
    add("a hit without a number", r#"{"at":1773000000,"what":"look"}"#, "missing_field", "hits[0].n");
    add("a hit whose number is a list", r#"{"n":[1],"at":1773000000,"what":"look"}"#, "wrong_type", "hits[0].n");
    add("a hit without a time", r#"{"n":1,"what":"look"}"#, "missing_field", "hits[0].at");
    add("a hit of another kind", r#"{"n":1,"at":1773000000,"what":"<script>"}"#, "unknown_kind", "hits[0].what");
    add(
        "a hit that was paid in tenths of a cent",
        r#"{"n":1,"at":1773000000,"what":"look","paid":1.001}"#,
        "wrong_type",
        "hits[0].paid",
    );
    add(
        "a hit that cost a million digits",
        &format!(r#"{{"n":1,"at":1773000000,"what":"look","paid":{}}}"#, "9".repeat(900_000)),
        "wrong_type",
        "hits[0].paid",
    );
    add(
        "a hit with its time twice",
        r#"{"n":1,"at":1773000000,"at":1773000001,"what":"look"}"#,
        "undecodable",
        "hits[].at",
    );
    let long = format!("\"id\":\"{}\",", "w".repeat(127));
    table.add("web", "an id that its element makes too long", hits(&long, hit), "too_large", "hits[0].n");
    table.add("web", "no list", r#"{"id":"w-1","who":{"number":"C1"},"hits":{"n":1}}"#, "wrong_type", "hits");
    table.add("web", "a person in a text", format!(r#"{{"id":"w-1","who":"C1","hits":[{hit}]}}"#), "wrong_type", "who");
    table.add(
        "web",
        "an open list",
        br#"{"id":"w-1","who":{"number":"C1"},"hits":[{"n":1"#.to_vec(),
        "undecodable",
        "",
    );
}

//! What was seen → the fields of a touchpoint that it need not have: channel, money, answers, dimensions.

use serde_json::Value;

use super::{
    forms,
    guess::Guesser,
    kinds,
    part::{MadeUp, Part, inline_map, key, quoted},
    survey::{Place, text},
    words::has,
};
use crate::model::{Channel, Initiator, ScoreScale};

/// Words of one closed list: what has more different values is none.
const WORDS_MAX: usize = 24;
/// A bad value among many good ones is no other meaning: its record is rejected.
const MOSTLY: usize = 95;
/// Dimensions, and what they are called.
const DIMENSIONS: [(&str, &[&str]); 7] = [
    ("product", &["product", "sku", "article", "item", "artikel", "produkt"]),
    ("region", &["region", "market", "country", "area", "province", "district", "bundesland", "land"]),
    ("segment", &["segment", "tier", "cohort", "persona"]),
    ("campaign", &["campaign", "cmp", "utm", "kampagne"]),
    ("content", &["content", "asset", "creative", "page", "slug"]),
    ("subject", &["subject", "topic", "category", "reason", "thema", "betreff"]),
    ("account", &["company", "organisation", "organization", "firm", "employer"]),
];
const AMOUNTS: [&str; 22] = [
    "amount", "total", "price", "sum", "revenue", "paid", "fee", "charge", "gross", "net", "value", "minor", "cents",
    "betrag", "preis", "summe", "cost", "costs", "spend", "expense", "payment", "pence",
];
const COSTS: [&str; 5] = ["cost", "costs", "spend", "expense", "kosten"];
const MINOR: [&str; 4] = ["minor", "cents", "cent", "pence"];
const SCORES: [&str; 12] = [
    "score",
    "rating",
    "nps",
    "csat",
    "ces",
    "stars",
    "answer",
    "satisfaction",
    "grade",
    "recommendation",
    "smiley",
    "note",
];

impl<'v> Guesser<'_, 'v> {
    /// Everything that an event need not have.
    pub(super) fn details(&mut self) {
        self.channel();
        self.words("initiator", &["author", "actor", "initiator", "direction", "by"], Initiator::ALL, |word| {
            kinds::initiator(word).map(Initiator::as_str)
        });
        self.visibility();
        self.score();
        self.money();
        self.money();
        self.sentiment();
        self.dimensions();
    }

    fn channel(&mut self) {
        let found = self.best(|place| {
            let words = place.distinct();
            let known = words.keys().filter(|word| kinds::channel(word).is_some()).count();
            let by_name = match place.last.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
                ["channel" | "kanal" | "canal"] | ["contact", "channel"] => 30,
                ["medium" | "via" | "platform" | "touchpoint"] => 20,
                ["source" | "origin"] => 10,
                // Whatever it is called: each of its words is a method of contact.
                _ if known >= 2 && known == words.len() => 5,
                _ => return None,
            };
            let is_closed = !place.is_list && (1..=WORDS_MAX).contains(&words.len()) && !personal(words.keys());
            (is_closed && (known * 2 >= words.len() || by_name == 30)).then_some(by_name)
        });
        let Some(place) = found else { return };
        self.take(place);
        let words = place.distinct();
        let translated: Vec<(&str, &str)> = words
            .keys()
            .filter(|word| Channel::parse(word).is_none())
            .filter_map(|word| Some((word.as_ref(), kinds::channel(word)?.as_str())))
            .collect();
        let line = match translated.is_empty() {
            true => format!("channel = {}", quoted(&place.path)),
            false => format!("channel = {{ path = {}, map = {} }}", quoted(&place.path), inline_map(translated)),
        };
        let part = Part::new(format!("How they were in touch: {}.", place.coverage()), line).reads(place, MadeUp::Same);
        let unknown: Vec<String> =
            words.keys().filter(|word| kinds::channel(word).is_none()).map(|word| quoted(word)).collect();
        let is_named =
            has(&place.last, &["channel", "kanal", "canal", "medium", "via", "platform", "source", "origin"]);
        self.parts.push(match unknown.is_empty() {
            true if is_named => part,
            true => part.look("channel", format!("does {} say how they were in touch? Its words do", place.path)),
            false => part
                .look("channel", format!("which method of contact is {}? Until then it is other", unknown.join(", "))),
        });
    }

    /// A field of a closed vocabulary that rejects other words: it is taken only if each word is known.
    fn words<T>(&mut self, field: &str, names: &[&str], _: &[T], known: fn(&str) -> Option<&'static str>) {
        let found = self.best(|place| {
            let words = place.distinct();
            let is_closed = !place.is_list && (1..=WORDS_MAX).contains(&words.len());
            (place.last.len() == 1
                && has(&place.last, names)
                && is_closed
                && words.keys().all(|word| known(word).is_some()))
            .then_some(place.present)
        });
        let Some(place) = found else { return };
        self.take(place);
        let words = place.distinct();
        let map = inline_map(words.keys().filter_map(|word| Some((word.as_ref(), known(word)?))));
        let line = format!("{field} = {{ path = {}, map = {map} }}", quoted(&place.path));
        let part = Part::new(format!("Whose doing it was: {}.", place.coverage()), line).reads(place, MadeUp::Same);
        self.parts
            .push(part.look(field, "another word than these is rejected: add those that the sample does not have"));
    }

    fn visibility(&mut self) {
        let found = self.best(|place| {
            let is_one = place.last.len() == 1 && has(&place.last, &["public", "internal", "private"]);
            (is_one && !place.is_list && place.percent(Value::is_boolean) == 100).then_some(place.present)
        });
        let Some(place) = found else { return };
        self.take(place);
        let is_public = has(&place.last, &["public"]);
        let map = match is_public {
            true => "{ true = \"public\", false = \"internal\" }",
            false => "{ true = \"internal\", false = \"public\" }",
        };
        let line = format!("visibility = {{ path = {}, map = {map} }}", quoted(&place.path));
        let comment = format!("Whether the customer could see it: {}.", place.coverage());
        self.parts.push(Part::new(comment, line).reads(place, MadeUp::Same));
    }

    fn score(&mut self) {
        let found = self.best(|place| {
            let is_answer = has(&place.last, &SCORES)
                || has(&place.before, &["rating", "survey", "score", "nps", "csat"])
                    && has(&place.last, &["value", "answer"]);
            let is_other = has(&place.last, &["lead", "credit", "risk", "fraud"]);
            (is_answer
                && !is_other
                && !place.is_list
                && place.percent(|value| forms::decimal(value).is_some()) >= MOSTLY)
                .then_some(place.present)
        });
        let Some(place) = found else { return };
        self.take(place);
        let number = |value: &Value| text(value).and_then(|text| text.parse::<f64>().ok());
        let numbers: Vec<f64> = place.values.iter().filter_map(|(_, value)| number(value)).collect();
        let lowest = numbers.iter().copied().fold(f64::INFINITY, f64::min);
        let highest = numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        // The scale beside it, if each of its words is one.
        let beside = self.beside(place, &["scale", "type", "kind", "metric"]).filter(|scale| {
            let words = scale.distinct();
            (1..=WORDS_MAX).contains(&words.len()) && words.keys().all(|word| kinds::scale(word).is_some())
        });
        let named = place.last.iter().chain(place.before.iter().rev()).find_map(|word| kinds::scale(word));
        let fits = |scale: ScoreScale| {
            let (low, high) = scale.range();
            place.percent(|value| forms::whole(value).is_some_and(|answer| (low..=high).contains(&answer))) >= MOSTLY
        };
        let mut remark = None;
        let (scale, range) = match (beside, named) {
            (Some(scale), _) => {
                let words = scale.distinct();
                let translated: Vec<(&str, &str)> = words
                    .keys()
                    .filter(|word| ScoreScale::parse(word).is_none())
                    .filter_map(|word| Some((word.as_ref(), kinds::scale(word)?.as_str())))
                    .collect();
                let map =
                    if translated.is_empty() { String::new() } else { format!(", map = {}", inline_map(translated)) };
                self.take(scale);
                (format!("{{ path = {}{map} }}", quoted(&scale.path)), String::new())
            }
            (None, named) => {
                let scale = named.unwrap_or(ScoreScale::Csat);
                let range = match fits(scale) {
                    true => String::new(),
                    false => {
                        let low = if lowest >= 1.0 { 1 } else { 0 };
                        let high = [5, 6, 7, 10, 100].into_iter().find(|high| highest <= f64::from(*high));
                        let Some(high) = high.filter(|_| lowest >= 0.0) else {
                            let part = Part::default().look(
                                "score",
                                format!("{} looks like an answer, but on no scale that is known", place.path),
                            );
                            return self.parts.push(part.suggests(format!(
                                "score = {{ scale = {{ constant = \"csat\" }}, value = {}, range = [0, 100] }}",
                                quoted(&place.path)
                            )));
                        };
                        format!(", range = [{low}, {high}]")
                    }
                };
                if named.is_none() || !range.is_empty() {
                    remark = Some(
                        "which question is this (nps, csat, ces, review), and what are its worst and best answer?",
                    );
                }
                (format!("{{ constant = {} }}", quoted(scale.as_str())), range)
            }
        };
        let item = self.beside(place, &["item", "question", "aspect"]);
        let item_line = item.map_or_else(String::new, |item| format!(", item = {}", quoted(&item.path)));
        let line = format!("score = {{ scale = {scale}, value = {}{range}{item_line} }}", quoted(&place.path));
        let mut part = Part::new(format!("An answer: {}.", place.coverage()), line);
        // The lowest answer of the sample is one of every scale that fits.
        part = part.reads(place, MadeUp::Number(lowest as i64));
        if let Some(scale) = beside {
            part = part.reads(scale, MadeUp::Same);
        }
        if let Some(item) = item {
            self.take(item);
            part = part.reads(item, MadeUp::Words("an item"));
        }
        self.parts.push(match remark {
            None => part,
            Some(remark) => part.look("score", remark),
        });
    }

    fn currency(&self, place: &Place<'v>) -> Option<(String, Option<&Place<'v>>)> {
        let is_currency = |place: &&&Place<'v>| {
            !place.is_list
                && place.percent(|value| value.as_str().is_some_and(|code| forms::is_currency(code.trim()))) >= 95
        };
        let beside = |other: &&&Place<'v>| {
            other.keys.split_last().map(|(_, keys)| keys) == place.keys.split_last().map(|(_, keys)| keys)
        };
        let named =
            self.places.iter().filter(is_currency).find(beside).or_else(|| self.places.iter().find(is_currency));
        if let Some(named) = named {
            return Some((quoted(&named.path), Some(*named)));
        }
        // `total_eur`.
        let code = place.last.last().map(|word| word.to_uppercase()).filter(|code| forms::is_currency(code))?;
        Some((format!("{{ constant = {} }}", quoted(&code)), None))
    }

    /// Money: once what the customer pays, once what it cost.
    fn money(&mut self) {
        let has_amount = self.parts.iter().any(|part| part.lines.iter().any(|line| line.starts_with("amount =")));
        let has_cost = self.parts.iter().any(|part| part.lines.iter().any(|line| line.starts_with("cost =")));
        let is_cost = |place: &Place<'v>| has(&place.last, &COSTS) || has(&place.before, &COSTS);
        let found = self.best(|place| {
            let at = AMOUNTS.iter().position(|name| has(&place.last, &[name]))?;
            let sign = forms::decimal_sign(place.values.iter().map(|(_, value)| *value));
            let is_number = |value: &Value| match sign {
                None => forms::decimal(value).is_some(),
                Some((sign, _)) => forms::is_spelled(value, sign),
            };
            let is_money = !place.is_list && place.percent(is_number) >= MOSTLY;
            let is_taken = if is_cost(place) { has_cost } else { has_amount };
            let has_currency = self.currency(place).is_some_and(|(_, beside)| beside.is_some());
            (is_money && !is_taken).then_some((has_currency, place.present, std::cmp::Reverse(at)))
        });
        let Some(place) = found else { return };
        self.take(place);
        let field = if is_cost(place) { "cost" } else { "amount" };
        let sign = forms::decimal_sign(place.values.iter().map(|(_, value)| *value));
        let decimal = sign.map_or_else(String::new, |(sign, _)| format!(", decimal = \"{sign}\""));
        let is_minor = has(&place.last, &MINOR);
        let has_decimals = match sign {
            None => place.percent(|value| forms::decimal(value) == Some(true)) > 0,
            Some((sign, _)) => place.percent(|value| value.as_str().is_some_and(|text| text.contains(sign))) > 0,
        };
        let unit = if is_minor { "minor" } else { "major" };
        let Some((currency, currency_place)) = self.currency(place) else {
            let part = Part::default()
                .look(field, format!("{} may be money, but nothing says in which currency", place.path))
                .suggests(format!(
                    "{field} = {{ value = {}, unit = \"{unit}\"{decimal}, currency = {{ constant = \"EUR\" }} }}",
                    quoted(&place.path)
                ));
            return self.parts.push(part);
        };
        let path = quoted(&place.path);
        let line = format!("{field} = {{ value = {path}, unit = \"{unit}\"{decimal}, currency = {currency} }}");
        let comment = match field {
            "cost" => "What it cost the company",
            _ => "What the customer pays, or gets back if it is negative",
        };
        let mut part = Part::new(format!("{comment}: {}.", place.coverage()), line).reads(place, MadeUp::Number(12));
        if let Some(currency) = currency_place {
            part = part.reads(currency, MadeUp::Same);
            let currency = currency.path.clone();
            if let Some(known) = self.places.iter().copied().find(|known| known.path == currency) {
                self.take(known);
            }
        }
        let whole = "all values are whole numbers: is 12 twelve euros (major) or twelve cents (minor)?";
        part = match sign {
            Some((sign, true)) => part.look(
                field,
                format!("is 1,234 more than a thousand, or hardly more than one? It is read with {sign:?} before decimals"),
            ),
            Some((sign, false)) => part.look(
                field,
                format!("these are not written plainly: they are read with {sign:?} before decimals, and thousands told apart"),
            ),
            None if !is_minor && !has_decimals => part.look(field, whole),
            None => part,
        };
        self.parts.push(part);
    }

    fn sentiment(&mut self) {
        let found = self.best(|place| {
            let is_mood = |value: &Value| forms::whole(value).is_some_and(|mood| (-100..=100).contains(&mood));
            (has(&place.last, &["mood", "sentiment", "stimmung"]) && !place.is_list && place.percent(is_mood) >= MOSTLY)
                .then_some(place.present)
        });
        if let Some(place) = found {
            self.take(place);
            let line = format!("sentiment = {}", quoted(&place.path));
            let part = Part::new(format!("How they felt, from -100 to 100: {}.", place.coverage()), line);
            self.parts.push(part.reads(place, MadeUp::Number(0)));
        }
    }

    fn dimensions(&mut self) {
        for (field, names) in DIMENSIONS {
            let found = self.best(|place| {
                let at = names.iter().position(|name| has(&place.last, &[name]))?;
                let is_of =
                    |value: &Value| text(value).is_some_and(|text| forms::is_email(&text) || forms::is_phone(&text));
                let is_name = place.last.len() == 1
                    || place.last.iter().any(|word| matches!(word.as_str(), "name" | "code" | "id"));
                let is_sound = !place.is_list && is_name && place.percent(is_of) == 0;
                (is_sound && !(self.is_cloud_event && place.keys.len() == 1)).then_some(std::cmp::Reverse(at))
            });
            let Some(place) = found else { continue };
            self.take(place);
            let distinct = place.distinct().len();
            let is_free = place.percent(forms::is_prose) > 10
                || field == "subject" && distinct > 20 && distinct * 2 > place.values.len();
            self.parts.push(match is_free {
                true => Part::comment(format!(
                    "{} is left out: it reads like free text, of which the hub keeps none.",
                    place.path
                )),
                false => {
                    let comment = format!("{}, {distinct} different.", place.covers());
                    Part::new(comment, format!("{} = {}", key(field), quoted(&place.path)))
                        .reads(place, MadeUp::Words(field))
                }
            });
        }
    }
}

/// Whether one of these words may be somebody's.
fn personal<'t>(words: impl Iterator<Item = &'t std::borrow::Cow<'t, str>>) -> bool {
    words.into_iter().any(|word| forms::is_personal(word) || word.chars().count() > 64)
}

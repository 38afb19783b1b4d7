//! What was seen → who it is about: identifiers, by name and by the form of the values.

use serde_json::Value;

use super::{
    forms,
    guess::{Guesser, NUMBERS},
    part::{MadeUp, Part, paths, quoted},
    survey::{Place, text},
    words::has,
};
use crate::model::IdentifierType;

/// Places of one type: each counts.
const PLACES_MAX: usize = 4;
/// Characters of the longest number of a customer.
const IDENTIFIER_CHARACTERS_MAX: usize = 64;
/// People who work for the company: their numbers are of no customer.
const EMPLOYEES: [&str; 17] = [
    "agent",
    "employee",
    "operator",
    "staff",
    "assignee",
    "assigned",
    "rep",
    "handler",
    "clerk",
    "cashier",
    "courier",
    "technician",
    "engineer",
    "manager",
    "supervisor",
    "bcc",
    "mitarbeiter",
];
/// People who work for some companies, and are the customers of others.
const EITHER: [&str; 4] = ["driver", "owner", "seller", "host"];
const REFERRERS: [&str; 7] = ["referrer", "referred", "referral", "invited", "inviter", "recommender", "werber"];
/// Names of identifiers, and what they are of.
const NAMED: [(IdentifierType, &[&str], bool); 8] = [
    (IdentifierType::Loyalty, &["loyalty", "bonus", "kundenkarte"], true),
    (IdentifierType::Device, &["device", "idfa", "gaid", "aaid", "udid", "imei"], true),
    (IdentifierType::Cookie, &["cookie", "fbp", "ga"], true),
    (IdentifierType::Anonymous, &["anonymous", "anon"], true),
    (
        IdentifierType::Order,
        &["order", "purchase", "booking", "reservation", "auftrag", "auftrags", "bestell", "bestellung"],
        true,
    ),
    (IdentifierType::Case, &["case", "ticket", "incident", "issue", "complaint", "conversation"], true),
    (IdentifierType::Contract, &["contract", "subscription", "policy", "agreement", "lease", "vertrag"], true),
    // Last: whatever else may be a customer's.
    (
        IdentifierType::CustomerId,
        &[
            "customer",
            "client",
            "user",
            "member",
            "subscriber",
            "buyer",
            "shopper",
            "patient",
            "guest",
            "contact",
            "profile",
            "person",
            "requester",
            "tenant",
            "passenger",
            "kunde",
            "kunden",
            "klant",
            "cliente",
            "resident",
            "household",
        ],
        true,
    ),
];
/// Names that may be of a card, an account or a car: a guess, and nothing for a payment card.
const MAYBE: [(IdentifierType, &[&str]); 2] =
    [(IdentifierType::Loyalty, &["card", "permit"]), (IdentifierType::CustomerId, &["account"])];

fn all_words<'p>(place: &'p Place<'_>) -> impl Iterator<Item = &'p String> {
    place.before.iter().chain(&place.last)
}

fn is_about(place: &Place<'_>, known: &[&str]) -> bool {
    all_words(place).any(|word| known.contains(&word.as_str()))
}

/// Whether it is of somebody who works for the company: an agent's, or whoever it was `pickedBy`.
fn is_of_employee(place: &Place<'_>) -> bool {
    is_about(place, &EMPLOYEES) || place.last.last().is_some_and(|word| word == "by")
}

/// Whether its name is of a person's or a thing's number: `number` in a `customer`, `customer_no`, `order`.
fn is_named(place: &Place<'_>, names: &[&str]) -> bool {
    let is_number = |word: &String| NUMBERS.contains(&word.as_str());
    if place.last.iter().all(is_number) && !place.last.is_empty() {
        return place.before.last().is_some_and(|word| names.contains(&word.as_str()));
    }
    has(&place.last, names) && (place.last.len() == 1 || place.last.iter().any(is_number))
}

/// Whether it reads like a number that somebody is known by.
fn is_number(value: &Value) -> bool {
    !matches!(value, Value::Bool(_))
        && !value.is_f64()
        && text(value).is_some_and(|text| {
            text.chars().count() <= IDENTIFIER_CHARACTERS_MAX
                && !text.contains(|c: char| c.is_whitespace() || c.is_control())
        })
}

/// Whether a place is a person's or a thing's number by its name.
pub(super) fn is_of_somebody(place: &Place<'_>) -> bool {
    NAMED.iter().any(|(_, names, _)| is_named(place, names))
}

/// The type of an identifier, and why it is no more than a guess.
fn classified(place: &Place<'_>) -> Option<(IdentifierType, Option<&'static str>)> {
    let of_text = |is: fn(&str) -> bool| place.percent(|value| text(value).is_some_and(|text| is(&text)));
    if of_text(forms::is_email) >= 80 {
        let doubt =
            (!is_about(place, &["email", "mail", "emails", "mails"])).then_some("its values are e-mail addresses");
        return Some((IdentifierType::Email, doubt));
    }
    if is_about(place, &["email", "emails"]) {
        return None;
    }
    let is_phone_by_name =
        is_about(place, &["phone", "tel", "telephone", "mobile", "msisdn", "telefon", "handy", "telefoon"]);
    if is_phone_by_name && of_text(|text| text.bytes().filter(u8::is_ascii_digit).count() >= 6) >= 80 {
        return Some((IdentifierType::Phone, None));
    }
    if place.percent(Value::is_string) == 100 && of_text(|text| text.starts_with('+') && forms::is_phone(text)) >= 80 {
        return Some((IdentifierType::Phone, Some("its values look like telephone numbers")));
    }
    if is_phone_by_name || place.percent(is_number) < 80 {
        return None;
    }
    for (kind, names, _) in NAMED {
        if is_named(place, names) {
            // `order: 3` is the third, and no order.
            let is_rank = place.percent(|value| forms::whole(value).is_some_and(|number| number < 100)) > 50;
            return (!is_rank || place.last.len() > 1).then_some((kind, None));
        }
    }
    let is_paid = is_about(place, &["payment", "credit", "debit", "last", "bank", "type", "brand"]);
    let doubt = "its name is of a card or an account";
    MAYBE
        .into_iter()
        .find(|(_, names)| is_named(place, names) && !is_paid && place.percent(|value| value.is_string()) > 0)
        .map(|(kind, _)| (kind, Some(doubt)))
}

impl<'v> Guesser<'_, 'v> {
    /// Who it is about. These lines are a table.
    pub(super) fn identifiers(&mut self, id: Option<&str>) -> Vec<Part> {
        let mut parts = Vec::new();
        let mut others = Vec::new();
        let mut either: Vec<(IdentifierType, &Place<'v>, Option<&'static str>)> = Vec::new();
        let mut found: Vec<(IdentifierType, &Place<'v>, Option<&'static str>)> = Vec::new();
        for place in &self.places {
            // Two departments' order is one order, so an id may be an identifier as well.
            if self.used.contains(place.path.as_str()) && Some(place.path.as_str()) != id {
                continue;
            }
            let Some((kind, doubt)) = classified(place) else { continue };
            if self.is_cloud_event && place.keys.len() == 1 {
                continue;
            }
            if is_of_employee(place) || is_about(place, &REFERRERS) {
                others.push(*place);
            } else if is_about(place, &EITHER) {
                either.push((kind, place, Some("by its name it may be of somebody who works for you")));
            } else if found.iter().filter(|(known, ..)| *known == kind).count() < PLACES_MAX {
                found.push((kind, place, doubt));
            }
        }
        if found.iter().any(|(kind, ..)| !kind.is_thing()) {
            others.extend(either.into_iter().map(|(_, place, _)| place));
        } else {
            found.extend(either);
        }
        for (_, place, _) in &found {
            self.used.insert(&place.path);
        }
        // What is one by its name needs none that only looks like one.
        let certain: Vec<IdentifierType> = found.iter().filter(|it| it.2.is_none()).map(|(kind, ..)| *kind).collect();
        let (found_, left_out): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|(kind, _, doubt)| doubt.is_none() || !certain.contains(kind));
        found = found_;
        found.sort_by_key(|(kind, place, _)| (*kind, place.keys.len()));
        for kind in IdentifierType::BUILT_IN {
            let of_kind: Vec<_> = found.iter().filter(|(known, ..)| *known == kind).collect();
            if of_kind.is_empty() {
                continue;
            }
            let places: Vec<&Place<'_>> = of_kind.iter().map(|(_, place, _)| *place).collect();
            let said = match places.as_slice() {
                [place] => place.covers(),
                several => {
                    let each = several.iter().map(|place| format!("{} {}", place.path, place.coverage()));
                    each.collect::<Vec<_>>().join(", ")
                }
            };
            let mut part = Part::new(format!("{said}."), format!("{kind} = {}", paths(&places)));
            for place in &places {
                part = part.reads(place, made_up(kind));
            }
            if let Some((_, place, Some(doubt))) = of_kind.iter().find(|(.., doubt)| doubt.is_some()) {
                part = part.look("identifiers", format!("is {} the customer's {kind}? {doubt}", place.path));
            } else if kind == IdentifierType::Case
                && places.iter().any(|place| has(&place.last, &["ticket"]))
                && !self.is_support()
            {
                part = part
                    .look("identifiers", "is this the number of a support case? A ticket that is bought is an order");
            }
            parts.push(part);
        }
        if !found.iter().any(|(kind, ..)| !kind.is_thing()) {
            parts.insert(0, self.nobody(found.is_empty()));
        }
        for (kind, place, doubt) in left_out {
            let doubt = doubt.unwrap_or_default();
            parts.push(Part::comment(format!("{} is left out: {doubt}, but is it the customer's {kind}?", place.path)));
        }
        for place in others.iter().filter(|place| is_of_employee(place) || is_about(place, &EITHER)) {
            self.used.insert(&place.path);
            parts.push(Part::comment(format!(
                "{} is left out: by its name it is of somebody who works for you.",
                place.path
            )));
        }
        if let Some(place) = others.into_iter().find(|place| is_about(place, &REFERRERS)) {
            let is_email = matches!(classified(place), Some((IdentifierType::Email, _)));
            self.referrer(place, if is_email { IdentifierType::Email } else { IdentifierType::CustomerId });
        } else if let Some(place) = self.best(|place| {
            let is_one = has(&place.last, &REFERRERS) && !place.is_list && place.percent(is_number) >= 80;
            // Where a visitor of a page came from is called so too.
            (is_one && place.percent(|value| text(value).is_some_and(|text| text.contains('/'))) == 0)
                .then_some(place.present)
        }) {
            self.referrer(place, IdentifierType::CustomerId);
        }
        parts
    }

    fn referrer(&mut self, place: &Place<'v>, kind: IdentifierType) {
        if let Some(place) = self.places.iter().copied().find(|known| known.path == place.path) {
            self.take(place);
        }
        let line = format!("referrer = {{ type = {}, value = {} }}", quoted(kind.as_str()), quoted(&place.path));
        let part = Part::new(format!("Who sent this customer: {}.", place.coverage()), line);
        self.parts.push(part.reads(place, made_up(kind)));
    }

    fn is_support(&self) -> bool {
        has(&self.hints.spoke, &["support", "service", "help", "care", "helpdesk", "servicedesk"])
            || self.places.iter().any(|place| is_about(place, &["requester", "assignee", "subject"]))
    }

    fn nobody(&self, is_empty: bool) -> Part {
        if is_empty {
            let part = Part::new("No customer was found.", "customer_id = \"customer_id\"");
            return part.look(
                "identifiers",
                "nothing says who an event is about, and without that none is taken: put the place of a customer's number, \
                 e-mail, phone, card, device or cookie here, or of their order, case or contract",
            );
        }
        Part::default().look(
            "identifiers",
            "only things are named and no person: such an event counts for whoever has the order, case or contract as the \
             strongest identifier; if there is a customer's number or e-mail, add it",
        )
    }
}

fn made_up(kind: IdentifierType) -> MadeUp {
    match kind {
        IdentifierType::Email => MadeUp::Email,
        IdentifierType::Phone => MadeUp::Phone,
        _ => MadeUp::Form,
    }
}

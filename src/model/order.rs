//! What an operator decides in; the order that says so out, or what is wrong with it: the same at the command line and over HTTP.

use super::{
    ACKNOWLEDGED_BY_CHARACTERS_MAX, AlertId, AlertName, COMMAND_ID_CHARACTERS_MAX, COMMAND_PAIRS_MAX, CommandRecord,
    Identifier, IdentifierRules, IdentifierType, Name, Order, PersonId, PersonKey,
};

/// What is between an identifier's type and its keyed hash, where its value is not to be seen.
pub const HASH_MARK: char = '#';

/// Why something cannot be ordered. Nothing of what was said is in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{happened}; {next}")]
pub struct OrderError {
    /// What is wrong.
    pub happened: String,
    /// What to do.
    pub next: String,
}

fn wrong<T>(happened: impl Into<String>, next: impl Into<String>) -> Result<T, OrderError> {
    Err(OrderError { happened: happened.into(), next: next.into() })
}

impl IdentifierRules {
    /// The identifier that a text `TYPE:VALUE` names, in the form in which it is compared. One that identifies nobody is taken as
    /// it is: it may have been known before it was blocked.
    ///
    /// # Errors
    /// [`OrderError`] if there is no such type.
    pub fn named(&self, text: &str) -> Result<(IdentifierType, String), OrderError> {
        let named = text.split_once(':').and_then(|(kind, value)| Some((self.kind(kind.trim())?, value)));
        let Some((kind, value)) = named else {
            let kinds: Vec<&str> = self.kinds().into_iter().map(IdentifierType::as_str).collect();
            return wrong(
                "there is no such type of identifier",
                format!("name TYPE:VALUE with a type of {}", kinds.join(", ")),
            );
        };
        let form = self.normalize(kind, value).unwrap_or_else(|| value.trim().into());
        Ok((kind, form.into_owned()))
    }
}

impl Name {
    /// As a command names the identifier of a text `TYPE:VALUE`.
    ///
    /// # Errors
    /// [`OrderError`] if it names none: a person's id says no type, and may be that of somebody who reuses an erased identifier.
    pub fn of(text: &str, rules: &IdentifierRules, key: &PersonKey) -> Result<Name, OrderError> {
        if !text.contains(':') {
            return wrong(
                "a decision is about identifiers, not about ids of the feeds",
                "name them as TYPE:VALUE; `insight-hub identity show` has those of a person",
            );
        }
        let (kind, value) = rules.named(text)?;
        Ok(Name { kind, id: key.person(Identifier { kind, value: &value }) })
    }

    /// The identifier of a text `TYPE#DIGITS`, as those decide who see its keyed hash and not its value. No text `TYPE:VALUE` is one.
    pub fn of_hash(text: &str) -> Option<Name> {
        let (kind, digits) = text.split_once(HASH_MARK)?;
        Some(Name { kind: IdentifierType::parse(kind.trim())?, id: PersonId::parse(digits.trim())? })
    }

    /// As a decision names an identifier: `TYPE:VALUE` or `TYPE#DIGITS`.
    ///
    /// # Errors
    /// As [`Name::of`]; and of `TYPE:#DIGITS`, which is either written wrongly: taken for a value, it would mostly be nobody's.
    pub fn of_decision(text: &str, rules: &IdentifierRules, key: &PersonKey) -> Result<Name, OrderError> {
        if let Some(name) = Name::of_hash(text).filter(|name| rules.has(name.kind)) {
            return Ok(name);
        }
        let of_value = text.split_once(':').map(|(_, value)| value.trim());
        if of_value.and_then(|value| value.strip_prefix(HASH_MARK)).and_then(PersonId::parse).is_some() {
            return wrong(
                "a value of `#` and 32 hexadecimal digits may be a keyed hash or what a department sent",
                "name the identifier by its keyed hash, without a colon: TYPE#DIGITS",
            );
        }
        Name::of(text, rules, key)
    }

    fn several(mut names: Vec<Name>) -> Vec<Name> {
        names.sort_unstable();
        names.dedup();
        names
    }
}

fn checked(pairs: Vec<(Name, Name)>) -> Result<Vec<(Name, Name)>, OrderError> {
    if pairs.is_empty() || pairs.len() > COMMAND_PAIRS_MAX {
        return wrong(
            format!("that makes {} pairs of identifiers", pairs.len()),
            format!("name at least two that differ, and so many that at most {COMMAND_PAIRS_MAX} pairs come of it"),
        );
    }
    Ok(pairs)
}

impl Order {
    /// All of these are one person.
    ///
    /// # Errors
    /// [`OrderError`] if they are fewer than two or too many.
    pub fn link(names: Vec<Name>) -> Result<Order, OrderError> {
        let names = Name::several(names);
        Ok(Order::Link { pairs: checked(names.windows(2).map(|two| (two[0], two[1])).collect())? })
    }

    /// Every two of these are never one person.
    ///
    /// # Errors
    /// As [`Order::link`].
    pub fn never_link(names: Vec<Name>) -> Result<Order, OrderError> {
        let names = Name::several(names);
        // Not made before they are counted.
        if names.len() > 2 * COMMAND_PAIRS_MAX {
            return checked(Vec::new()).map(|pairs| Order::NeverLink { pairs });
        }
        let rest = |index: usize| names[index + 1..].iter();
        let every_two = names.iter().enumerate().flat_map(|(index, one)| rest(index).map(move |other| (*one, *other)));
        // One more than may be, so that more is seen.
        Ok(Order::NeverLink { pairs: checked(every_two.take(COMMAND_PAIRS_MAX + 1).collect())? })
    }

    /// None of these is ever one person with any of those.
    ///
    /// # Errors
    /// As [`Order::link`]; if one is on both sides.
    pub fn split(one_side: Vec<Name>, other_side: Vec<Name>) -> Result<Order, OrderError> {
        let (one_side, other_side) = (Name::several(one_side), Name::several(other_side));
        if one_side.iter().any(|name| other_side.binary_search(name).is_ok()) {
            return wrong("an identifier is on both sides", "name each on one side");
        }
        let pairs = one_side.iter().flat_map(|one| other_side.iter().map(move |other| (*one, *other)));
        Ok(Order::NeverLink { pairs: checked(pairs.take(COMMAND_PAIRS_MAX + 1).collect())? })
    }

    /// An alert, or a priority, which are named alike, was seen.
    ///
    /// # Errors
    /// [`OrderError`] if that is no id, or no name.
    pub fn acknowledge(id: &str, by: &str) -> Result<Order, OrderError> {
        let Some(id) = AlertId::parse(id) else {
            return wrong("that is no id of an alert or a priority", "it has 32 hexadecimal digits, as on its feed");
        };
        if by.chars().count() > ACKNOWLEDGED_BY_CHARACTERS_MAX || by.contains(char::is_control) {
            let happened = format!("a name has at most {ACKNOWLEDGED_BY_CHARACTERS_MAX} characters on one line");
            return wrong(happened, "give a shorter one");
        }
        Ok(Order::Acknowledge { alert: AlertName(id), by: by.to_owned() })
    }
}

impl CommandRecord {
    /// A command with an id of its own, or a made-up one. `random`: a number that nobody else has.
    ///
    /// # Errors
    /// [`OrderError`] if that can be no id.
    pub fn of(id: Option<&str>, order: Order, random: u64) -> Result<CommandRecord, OrderError> {
        let is_id = |id: &str| !id.is_empty() && id.chars().count() <= COMMAND_ID_CHARACTERS_MAX;
        let named = match &order {
            Order::Undo { undo } => Some(undo.as_str()),
            Order::Link { .. } | Order::NeverLink { .. } | Order::Erase { .. } | Order::Acknowledge { .. } => None,
        };
        if id.into_iter().chain(named).any(|id| !is_id(id)) {
            let next = format!("give it one of 1 to {COMMAND_ID_CHARACTERS_MAX} characters");
            return wrong("the command's id is empty or too long", next);
        }
        Ok(CommandRecord { id: id.map_or_else(|| format!("{random:016x}"), str::to_owned), order })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Result<Name, OrderError> {
        Name::of(text, &IdentifierRules::default(), &PersonKey([7; 32]))
    }

    fn names(texts: &[&str]) -> Vec<Name> {
        texts.iter().map(|text| name(text).expect("an identifier of this test")).collect()
    }

    fn pairs(order: Result<Order, OrderError>) -> Option<usize> {
        match order {
            Ok(Order::Link { pairs } | Order::NeverLink { pairs }) => Some(pairs.len()),
            _ => None,
        }
    }

    #[test]
    fn an_identifier_is_the_same_however_it_is_written() {
        assert_eq!(name("email: Ann@X.org"), name("email:ann@x.org"));
        assert_ne!(name("email:ann@x.org").expect("one").id, name("customer_id:ann@x.org").expect("another").id);
        for wrong in ["ann", "mail:ann@x.org", &"0a".repeat(16)] {
            let error = name(wrong).expect_err(wrong).to_string();
            assert!(!error.contains("ann") && error.contains("TYPE:VALUE"), "{error}");
        }
    }

    #[test]
    fn a_decision_takes_the_keyed_hash_of_who_does_not_see_the_value() {
        let (rules, key) = (IdentifierRules::default(), PersonKey([7; 32]));
        let of = |text: &str| Name::of_decision(text, &rules, &key);
        let ann = of("email:ann@x.org").expect("a value");
        assert_eq!(of(&format!("email#{}", ann.id)), Ok(ann), "not the hash of the hash");
        assert_eq!(of(&format!(" email # {} ", ann.id.to_string().to_uppercase())), Ok(ann));
        // A cookie's value may be 32 such digits, and one behind a mark: neither is taken for a keyed hash.
        let md5 = "d41d8cd98f00b204e9800998ecf8427e";
        assert_eq!(of(&format!("cookie:{md5}")), name(&format!("cookie:{md5}")));
        assert_eq!(of(&format!("cookie:c#{md5}")), name(&format!("cookie:c#{md5}")));
        let either = of(&format!("cookie: #{md5}")).expect_err("either").to_string();
        assert!(either.contains("TYPE#DIGITS") && !either.contains(md5), "{either}");
        for wrong in [format!("mail#{md5}"), format!("#{md5}"), "email#0123".to_owned(), md5.to_owned()] {
            assert!(of(&wrong).is_err(), "{wrong}");
        }
        assert!(name(&format!("email#{}", ann.id)).is_err(), "an erasure names a value");
    }

    #[test]
    fn decisions_are_pairs_and_not_too_many() {
        let three = || names(&["email:a@x.org", "email:b@x.org", "phone:+31201234567", "email:A@x.org"]);
        assert_eq!(pairs(Order::link(three())), Some(2));
        assert_eq!(pairs(Order::never_link(three())), Some(3));
        assert_eq!(pairs(Order::split(three(), names(&["cookie:1", "cookie:2"]))), Some(6));
        assert_eq!(pairs(Order::split(three(), names(&["email:a@x.org"]))), None, "on both sides");
        assert_eq!(pairs(Order::link(names(&["email:a@x.org", "email:A@x.org"]))), None, "only one");
        let many = |count: usize| (0..count).map(|it| name(&format!("cookie:c{it}")).expect("one")).collect::<Vec<_>>();
        assert_eq!(pairs(Order::never_link(many(141))), Some(141 * 140 / 2));
        assert_eq!(pairs(Order::never_link(many(142))), None);
        assert_eq!(pairs(Order::never_link(many(2 * COMMAND_PAIRS_MAX + 1))), None);
    }

    #[test]
    fn a_command_has_an_id() {
        let undo = |id: &str| Order::Undo { undo: id.to_owned() };
        let made_up = CommandRecord::of(None, undo("x"), 0xab).expect("a command");
        assert_eq!(made_up.id, "00000000000000ab");
        assert_eq!(CommandRecord::of(Some("mine"), undo("x"), 1).expect("a command").id, "mine");
        for (id, undone) in [(Some(""), "x"), (None, ""), (Some("x".repeat(129).as_str()), "x")] {
            assert!(CommandRecord::of(id, undo(undone), 1).is_err(), "{id:?}");
        }
        assert!(Order::acknowledge("0A".repeat(16).as_str(), "mo").is_ok());
        assert!(Order::acknowledge("ann", "mo").is_err() && Order::acknowledge(&"0a".repeat(16), "a\nb").is_err());
    }
}

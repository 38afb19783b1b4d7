//! An operator's command, as it lies on `insight.commands`.

use serde::{Deserialize, Serialize};

use super::{ACKNOWLEDGED_BY_CHARACTERS_MAX, AlertId, IdentifierType, PersonId};

/// Characters of a command's id.
pub const COMMAND_ID_CHARACTERS_MAX: usize = 128;
/// Pairs that one command decides at most: a split of a hundred identifiers from a hundred others.
pub const COMMAND_PAIRS_MAX: usize = 10_000;

/// A command: JSON, one record each. Identifiers are named by their keyed hashes ([`super::PersonKey::person`]): what is to be
/// forgotten is not written down once more.
///
/// ```json
/// {"id": "a1", "command": "link", "pairs": [["email:0123456789abcdef0123456789abcdef", "phone:fedcba98765432100123456789abcdef"]]}
/// {"id": "a2", "command": "never_link", "pairs": [["email:0123456789abcdef0123456789abcdef", "phone:fedcba98765432100123456789abcdef"]]}
/// {"id": "a3", "command": "undo", "undo": "a1"}
/// {"id": "a5", "command": "acknowledge", "alert": "0123456789abcdef0123456789abcdef", "by": "mo"}
/// {"id": "a4", "command": "erase", "identifier": "email:0123456789abcdef0123456789abcdef"}
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandRecord {
    /// Tells commands apart; the first with an id counts.
    pub id: String,
    /// What is ordered.
    #[serde(flatten)]
    pub order: Order,
}

/// What an operator orders.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Order {
    /// The two of each pair are one person.
    Link {
        /// The pairs.
        pairs: Vec<(Name, Name)>,
    },
    /// The two of each pair are never one person, by any path. A split is every one of a side with every one of the other.
    NeverLink {
        /// The pairs.
        pairs: Vec<(Name, Name)>,
    },
    /// Takes back an earlier command.
    Undo {
        /// Its id.
        undo: String,
    },
    /// The person of this identifier is erased, up to now.
    Erase {
        /// The identifier.
        identifier: Name,
    },
    /// An alert was seen, or a priority taken on. The first that says so of one counts, whenever it is there.
    Acknowledge {
        /// Which.
        alert: AlertName,
        /// Who they say they are.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        by: String,
    },
}

/// An alert as a command names it: in JSON the 32 hexadecimal digits of its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlertName(pub AlertId);

impl Serialize for AlertName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for AlertName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<AlertName, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong = || serde::de::Error::custom("an alert is named by the 32 hexadecimal digits of its id");
        AlertId::parse(&text).map(AlertName).ok_or_else(wrong)
    }
}

/// An identifier as a command names it: in JSON its type and the 32 hexadecimal digits of its keyed hash, `email:0123…`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    /// Its type.
    pub kind: IdentifierType,
    /// Its keyed hash.
    pub id: PersonId,
}

impl Name {
    fn parse(text: &str) -> Option<Name> {
        let (kind, id) = text.split_once(':')?;
        Some(Name { kind: IdentifierType::parse(kind)?, id: PersonId::parse(id)? })
    }
}

impl Serialize for Name {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}:{}", self.kind, self.id))
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Name, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong =
            || serde::de::Error::custom("an identifier is named by its type and the 32 hexadecimal digits of its hash");
        Name::parse(&text).ok_or_else(wrong)
    }
}

impl Order {
    /// The types of the identifiers that it names.
    pub fn kinds(&self) -> impl Iterator<Item = IdentifierType> + '_ {
        let (pairs, one): (&[(Name, Name)], _) = match self {
            Order::Link { pairs } | Order::NeverLink { pairs } => (pairs, None),
            Order::Erase { identifier } => (&[], Some(identifier.kind)),
            Order::Undo { .. } | Order::Acknowledge { .. } => (&[], None),
        };
        pairs.iter().flat_map(|(a, b)| [a.kind, b.kind]).chain(one)
    }
}

impl CommandRecord {
    /// From a record's value. The error says which field is wrong and never quotes it.
    ///
    /// # Errors
    /// If it is no command.
    pub fn parse(value: &[u8]) -> Result<CommandRecord, (&'static str, String)> {
        let command: CommandRecord = serde_json::from_slice(value).map_err(|error| {
            let place = format!("line {} column {}", error.line(), error.column());
            (
                "command",
                format!("it is no command ({place}); write one with `insight-hub identity`, `insight-hub erase` or `insight-hub alerts`"),
            )
        })?;
        let characters = command.id.chars().count();
        if characters == 0 || characters > COMMAND_ID_CHARACTERS_MAX {
            return Err(("id", format!("an id has 1 to {COMMAND_ID_CHARACTERS_MAX} characters")));
        }
        if let Order::Link { pairs } | Order::NeverLink { pairs } = &command.order
            && (pairs.is_empty() || pairs.len() > COMMAND_PAIRS_MAX)
        {
            return Err(("pairs", format!("a command has 1 to {COMMAND_PAIRS_MAX} pairs; split it into several")));
        }
        if let Order::Acknowledge { by, .. } = &command.order
            && (by.chars().count() > ACKNOWLEDGED_BY_CHARACTERS_MAX || by.contains(char::is_control))
        {
            let limit = ACKNOWLEDGED_BY_CHARACTERS_MAX;
            return Err(("by", format!("who has seen an alert has at most {limit} characters on one line")));
        }
        Ok(command)
    }

    /// The record's value.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("text and lists are JSON")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_written_and_read_as_documented() {
        let a = Name { kind: IdentifierType::Email, id: PersonId([0x01; 16]) };
        let b = Name { kind: IdentifierType::Phone, id: PersonId([0xfe; 16]) };
        let (hex_a, hex_b) = (format!("email:{}", "01".repeat(16)), format!("phone:{}", "fe".repeat(16)));
        for (order, text) in [
            (
                Order::Link { pairs: vec![(a, b)] },
                format!("\"command\":\"link\",\"pairs\":[[\"{hex_a}\",\"{hex_b}\"]]"),
            ),
            (
                Order::NeverLink { pairs: vec![(a, b)] },
                format!("\"command\":\"never_link\",\"pairs\":[[\"{hex_a}\",\"{hex_b}\"]]"),
            ),
            (Order::Undo { undo: "x".into() }, "\"command\":\"undo\",\"undo\":\"x\"".to_owned()),
            (
                Order::Acknowledge { alert: AlertName(AlertId([0x0a; 16])), by: "mo".into() },
                format!("\"command\":\"acknowledge\",\"alert\":\"{}\",\"by\":\"mo\"", "0a".repeat(16)),
            ),
            (
                Order::Acknowledge { alert: AlertName(AlertId([0x0a; 16])), by: String::new() },
                format!("\"command\":\"acknowledge\",\"alert\":\"{}\"", "0a".repeat(16)),
            ),
            (Order::Erase { identifier: a }, format!("\"command\":\"erase\",\"identifier\":\"{hex_a}\"")),
        ] {
            let command = CommandRecord { id: "c1".into(), order };
            assert_eq!(String::from_utf8(command.encode()), Ok(format!("{{\"id\":\"c1\",{text}}}")));
            assert_eq!(CommandRecord::parse(&command.encode()), Ok(command));
        }
    }

    #[test]
    fn what_is_no_command_says_which_field_and_quotes_nothing() {
        let field = |text: &str| CommandRecord::parse(text.as_bytes()).map_err(|(field, _)| field);
        assert_eq!(field("ann@example.org"), Err("command"));
        assert_eq!(field(r#"{"id":"","command":"undo","undo":"x"}"#), Err("id"));
        assert_eq!(field(&format!(r#"{{"id":"{}","command":"undo","undo":"x"}}"#, "x".repeat(129))), Err("id"));
        assert_eq!(field(r#"{"id":"1","command":"link","pairs":[]}"#), Err("pairs"));
        let alert = "0a".repeat(16);
        let acknowledged = |by: &str| format!(r#"{{"id":"1","command":"acknowledge","alert":"{alert}","by":"{by}"}}"#);
        assert_eq!(field(&acknowledged(&"x".repeat(65))), Err("by"));
        assert_eq!(field(&acknowledged("a\\nb")), Err("by"));
        assert_eq!(field(r#"{"id":"1","command":"acknowledge","alert":"ann"}"#), Err("command"));
        let wrong = CommandRecord::parse(br#"{"id":"1","command":"erase","identifier":"ann@example.org"}"#);
        assert!(wrong.as_ref().is_err_and(|(_, message)| !message.contains("ann")), "{wrong:?}");
    }
}

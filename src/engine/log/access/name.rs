//! A topic's name in; whether the log takes it, and how to show one that anybody may have made up, out.

/// Longest name of a topic. With the characters that are allowed it is Kafka's rule, so that a small company can move there.
pub const TOPIC_NAME_BYTES_MAX: usize = 249;

/// Whether a topic may be called so: letters, digits, `.`, `_` and `-`.
pub(super) fn is_legal(name: &str) -> bool {
    let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    is_plain && (1..=TOPIC_NAME_BYTES_MAX).contains(&name.len()) && name != "." && name != ".."
}

/// A name for an error's text: it came from outside, so it may be long and may hold what a terminal obeys.
pub(super) fn shown(name: &str) -> String {
    let mut shown: String = name.chars().take(TOPIC_NAME_BYTES_MAX).flat_map(char::escape_debug).collect();
    if name.chars().nth(TOPIC_NAME_BYTES_MAX).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_kafka_takes_too() {
        let longest = "x".repeat(249);
        for name in ["sales.orders", "A-1_b", "...", &longest] {
            assert!(is_legal(name), "{name}");
        }
        let longer = "x".repeat(250);
        for name in ["", ".", "..", "a b", "a/b", "ä", "a\n", &longer] {
            assert!(!is_legal(name), "{name}");
        }
    }

    #[test]
    fn made_up_names_are_shown_short_and_harmless() {
        assert_eq!(shown("a\u{1b}[2Jb"), "a\\u{1b}[2Jb");
        assert_eq!(shown(&"é".repeat(1 << 20)).chars().count(), TOPIC_NAME_BYTES_MAX + 1);
    }
}

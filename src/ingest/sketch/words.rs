//! A name or a word as a department writes it → its parts in lower case, and how much alike two of them are.

/// Letters of the longest word that is looked at.
const WORD_BYTES_MAX: usize = 256;
/// What names end with that are written as one word: `customerid`, `createdat`.
const ENDINGS: [&str; 16] = [
    "identifier",
    "reference",
    "address",
    "number",
    "nummer",
    "stamp",
    "date",
    "time",
    "type",
    "name",
    "code",
    "id",
    "no",
    "nr",
    "at",
    "on",
];
/// What may stand before such an ending. A closed list, because `paid` is no `pa` with an `id`.
const BEGINNINGS: [&str; 46] = [
    "account",
    "anonymous",
    "article",
    "auftrags",
    "bestell",
    "booking",
    "campaign",
    "card",
    "case",
    "client",
    "contract",
    "cookie",
    "created",
    "currency",
    "customer",
    "delivery",
    "device",
    "email",
    "event",
    "guest",
    "happened",
    "invoice",
    "item",
    "kunden",
    "loyalty",
    "mail",
    "member",
    "mobile",
    "occurred",
    "order",
    "paid",
    "person",
    "phone",
    "policy",
    "product",
    "promised",
    "purchase",
    "region",
    "service",
    "session",
    "subscription",
    "ticket",
    "time",
    "updated",
    "user",
    "visitor",
];

/// The parts of a name: `customerId`, `customer_id`, `CUSTOMER-ID` and `customerid` are all `customer`, `id`. Digits alone are no
/// part.
pub(super) fn words(text: &str) -> Vec<String> {
    let characters: Vec<char> = text.chars().take(WORD_BYTES_MAX).collect();
    let mut words: Vec<String> = Vec::new();
    let mut word = String::new();
    for (at, &character) in characters.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|at| characters.get(at)).copied().unwrap_or(' ');
        let after = characters.get(at + 1).copied().unwrap_or(' ');
        // `orderId`, and the last of many capitals in `HTTPStatus`.
        let begins =
            character.is_uppercase() && (before.is_lowercase() || before.is_uppercase() && after.is_lowercase());
        if begins || !character.is_alphabetic() {
            push(&mut words, std::mem::take(&mut word));
        }
        if character.is_alphabetic() {
            word.extend(character.to_lowercase());
        }
    }
    push(&mut words, word);
    words
}

fn push(words: &mut Vec<String>, word: String) {
    if word.is_empty() {
        return;
    }
    for ending in ENDINGS {
        if let Some(beginning) = word.strip_suffix(ending)
            && BEGINNINGS.contains(&beginning)
        {
            words.extend([beginning.to_owned(), ending.to_owned()]);
            return;
        }
    }
    words.push(word);
}

/// Whether two words are forms of one: `opened` and `open`, `delivery` and `delivered`, `cancelled` and `canceled`.
pub(super) fn alike(a: &str, b: &str) -> bool {
    if a == b {
        return true;
    }
    let common = a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count();
    // Two thirds, so that `support` is no `supply`.
    common >= 4 && common * 3 >= a.len().max(b.len()) * 2
}

/// Whether one of the words is one of those known, to the letter.
pub(super) fn has(words: &[String], known: &[&str]) -> bool {
    words.iter().any(|word| known.contains(&word.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_parts_however_they_are_written() {
        for (name, parts) in [
            ("customerId", "customer id"),
            ("CUSTOMER_ID", "customer id"),
            ("customerid", "customer id"),
            ("createdAt", "created at"),
            ("HTTPStatus2", "http status"),
            ("ticket.followed_up", "ticket followed up"),
            ("EmailOpened", "email opened"),
            ("paid", "paid"),
            ("Straße-Nr.", "straße nr"),
            ("", ""),
            ("42", ""),
        ] {
            assert_eq!(words(name).join(" "), parts, "{name}");
        }
    }

    #[test]
    fn forms_of_one_word_are_alike_and_other_words_are_not() {
        for (a, b) in [("opened", "open"), ("delivery", "delivered"), ("cancelled", "canceled"), ("ad", "ad")] {
            assert!(alike(a, b) && alike(b, a), "{a} {b}");
        }
        for (a, b) in
            [("order", "ordinal"), ("ad", "add"), ("post", "postpone"), ("sent", "seen"), ("support", "supply")]
        {
            assert!(!alike(a, b) && !alike(b, a), "{a} {b}");
        }
    }
}

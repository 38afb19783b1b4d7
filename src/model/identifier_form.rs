//! The value of an identifier as a department wrote it → the form in which the hub compares it, or nobody.
//!
//! | type | form |
//! | --- | --- |
//! | every type | without white space and invisible characters around it, Unicode in composed form (NFC) |
//! | `email` | in small letters; without the tag after a `+`, if that is asked for |
//! | `phone` | E.164 (`+4930123456`), with `;ext=12` behind it if it has an extension; what is no complete number stays as it is |
//!
//! A value that stands for nobody in somebody's system identifies nobody: a person known by it would collect everybody's
//! touchpoints. The same text always gives the same form, whatever came before.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use rlibphonenumber::{NumberLengthType, PHONE_NUMBER_UTIL, PhoneNumberFormat, Region};
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

use super::{IdentifierType, OWN_TYPES_MAX};

/// The most blocked values of one's own.
const BLOCKED_MAX: usize = 1_000;

/// Every type that a hub knows without being told.
const BUILT_IN: &str = "customer_id, email, phone, loyalty, device, cookie, anonymous, order, case or contract";

/// Types of a hub's own, strongest first, and the sentence that lists them with all others.
#[derive(Debug, PartialEq, Eq)]
struct OwnTypes {
    kinds: Vec<IdentifierType>,
    listed: String,
}

/// What identifiers there are, and how they are compared: what holds for every spoke, and a spoke's own region.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdentifierRules {
    phone_region: Option<Region>,
    drops_plus_tags: bool,
    own: Option<Arc<OwnTypes>>,
    /// In small letters.
    blocked: Option<Arc<BTreeMap<IdentifierType, BTreeSet<Box<str>>>>>,
}

impl IdentifierRules {
    /// Phone numbers without a country's code are of this region: two letters as in ISO 3166 (`DE`).
    pub fn with_phone_region(self, region: &str) -> Result<IdentifierRules, String> {
        let has_numbers = |region: &Region| PHONE_NUMBER_UTIL.get_country_code_for_region(*region).is_some();
        let parsed = region.parse::<Region>().ok().filter(|known| region.len() == 2 && has_numbers(known));
        match parsed {
            Some(region) => Ok(IdentifierRules { phone_region: Some(region), ..self }),
            None => Err(format!(
                "{region:?} is no region that has phone numbers; write two letters as in ISO 3166, such as \"DE\""
            )),
        }
    }

    /// Whether `ann+shop@x.org` is `ann@x.org`.
    pub fn with_plus_tags_dropped(self, drops: bool) -> IdentifierRules {
        IdentifierRules { drops_plus_tags: drops, ..self }
    }

    /// Besides those that every hub knows, these types of a person's identifiers. To be said before
    /// [`IdentifierRules::with_blocked`], which may name them.
    pub fn with_own_types(self, mut kinds: Vec<IdentifierType>) -> Result<IdentifierRules, String> {
        kinds.sort_unstable();
        kinds.dedup();
        if kinds.len() > OWN_TYPES_MAX {
            return Err(format!("there are more than {OWN_TYPES_MAX}"));
        }
        let own = (!kinds.is_empty()).then(|| {
            let words: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
            Arc::new(OwnTypes { listed: BUILT_IN.replace("device", &format!("{}, device", words.join(", "))), kinds })
        });
        Ok(IdentifierRules { own, ..self })
    }

    /// The types of the hub's own, strongest first.
    pub fn own_types(&self) -> &[IdentifierType] {
        self.own.as_ref().map_or(&[], |own| &own.kinds)
    }

    /// Every type, strongest first.
    pub fn kinds(&self) -> Vec<IdentifierType> {
        let mut kinds = [&IdentifierType::BUILT_IN[..], self.own_types()].concat();
        kinds.sort_unstable();
        kinds
    }

    /// Every type in a sentence, strongest first.
    pub fn listed(&self) -> &str {
        self.own.as_ref().map_or(BUILT_IN, |own| &own.listed)
    }

    /// The type that a word names; `None` if this hub has no such type.
    pub fn kind(&self, word: &str) -> Option<IdentifierType> {
        IdentifierType::parse(word).filter(|kind| self.has(*kind))
    }

    /// Whether this hub has the type: another hub may have others.
    pub fn has(&self, kind: IdentifierType) -> bool {
        kind.place().is_some() || self.own_types().contains(&kind)
    }

    /// More values that identify nobody, separated by commas: `TYPE:VALUE`, or `VALUE` of any type.
    pub fn with_blocked(self, values: &str) -> Result<IdentifierRules, String> {
        if values.split(',').count() > BLOCKED_MAX {
            return Err(format!(
                "there are more than {BLOCKED_MAX}; an identifier that many share links nobody anyway"
            ));
        }
        let plain = IdentifierRules { blocked: None, ..self.clone() };
        let mut blocked: BTreeMap<IdentifierType, BTreeSet<Box<str>>> = BTreeMap::new();
        for value in values.split(',').map(str::trim).filter(|value| !value.is_empty()) {
            let typed = value.split_once(':').and_then(|(kind, rest)| Some((self.kind(kind)?, rest.trim())));
            let (kind, value) = typed.map_or((None, value), |(kind, value)| (Some(kind), value));
            for kind in kind.map_or_else(|| self.kinds(), |kind| vec![kind]) {
                if let Some(form) = plain.normalize(kind, value) {
                    blocked.entry(kind).or_default().insert(form.to_lowercase().into_boxed_str());
                }
            }
        }
        let blocked = (!blocked.is_empty()).then(|| Arc::new(blocked));
        Ok(IdentifierRules { blocked, ..self })
    }

    /// The form in which a value is compared; `None` if it identifies nobody.
    pub fn normalize<'v>(&self, kind: IdentifierType, value: &'v str) -> Option<Cow<'v, str>> {
        let is_ascii = value.is_ascii();
        let value = if is_ascii { value.trim() } else { value.trim_matches(is_invisible) };
        if value.is_empty() || is_blocked(value) || value.chars().any(char::is_control) {
            return None;
        }
        let composed = match is_ascii || is_nfc_quick(value.chars()) == IsNormalized::Yes {
            true => Cow::Borrowed(value),
            false => Cow::Owned(value.nfc().collect()),
        };
        let form = match kind {
            IdentifierType::Email => self.email(composed)?,
            IdentifierType::Phone => self.phone(composed)?,
            _ => composed,
        };
        (!self.is_blocked_here(kind, &form)).then_some(form)
    }

    /// Whether [`IdentifierRules::normalize`] leaves a value as it is, seen at one look: one that is printable ASCII without
    /// space around it, and not blocked everywhere. Nearly every value is like this.
    #[inline]
    pub fn keeps(&self, kind: IdentifierType, plain: &str) -> bool {
        let is_kept = match kind {
            IdentifierType::Phone => false,
            IdentifierType::Email => {
                let (mut has_at, mut is_small) = (false, true);
                for byte in plain.bytes() {
                    has_at |= byte == b'@';
                    is_small &= !byte.is_ascii_uppercase();
                }
                has_at && is_small && !self.drops_plus_tags
            }
            _ => true,
        };
        is_kept && self.blocked.is_none()
    }

    fn is_blocked_here(&self, kind: IdentifierType, form: &str) -> bool {
        let of_kind = self.blocked.as_ref().and_then(|blocked| blocked.get(&kind));
        of_kind.is_some_and(|blocked| blocked.contains(form.to_lowercase().as_str()))
    }

    fn email<'v>(&self, value: Cow<'v, str>) -> Option<Cow<'v, str>> {
        let (local, domain) = value.rsplit_once('@')?;
        let tag = if self.drops_plus_tags { local.find('+').filter(|&at| at > 0) } else { None };
        let is_small = value.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase());
        match tag {
            None if is_small => Some(value),
            None => Some(Cow::Owned(value.to_lowercase().nfc().collect())),
            Some(at) => Some(Cow::Owned(format!("{}@{domain}", &local[..at]).to_lowercase().nfc().collect())),
        }
    }

    fn phone<'v>(&self, value: Cow<'v, str>) -> Option<Cow<'v, str>> {
        let is_zero = |character: char| matches!(character, '0' | '+' | '-' | '.' | '/' | '(' | ')' | ' ');
        if value.chars().all(is_zero) {
            return None;
        }
        // What has a word in it is a remark; a number may be in it, but whose that is nobody knows.
        let bare = value.strip_prefix("tel:").unwrap_or(&value);
        let in_extension = |character: char| matches!(character.to_ascii_lowercase(), 'e' | 'x' | 't');
        if bare.chars().any(|character| character.is_alphabetic() && !in_extension(character)) {
            return Some(value);
        }
        let Ok(number) = PHONE_NUMBER_UTIL.parse(&*value, self.phone_region) else {
            return Some(value);
        };
        // A number without its area code is somebody else's in the next town.
        if PHONE_NUMBER_UTIL.is_possible_number_with_reason(&number) != Ok(NumberLengthType::IsPossible) {
            return Some(value);
        }
        let mut form = PHONE_NUMBER_UTIL.format(&number, PhoneNumberFormat::E164).into_owned();
        if let Some(extension) = number.extension.as_deref().filter(|extension| !extension.is_empty()) {
            form.push_str(";ext=");
            form.push_str(extension);
        }
        Some(if form == value { value } else { Cow::Owned(form) })
    }
}

/// White space, and what takes no room at all: marks of byte order and direction that slip in with what is copied.
fn is_invisible(character: char) -> bool {
    character.is_whitespace()
        || matches!(character, '\u{AD}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}' | '\u{FEFF}')
}

/// Whether a value stands for "nobody" in somebody's system: "null", "guest", "-1", zeros and the like.
#[inline]
pub fn is_blocked(value: &str) -> bool {
    let words: &[&str] = match value.len() {
        2 => &["id", "-1"],
        3 => &["nan"],
        4 => &["null", "none", "true"],
        5 => &["guest", "false", "email"],
        7 => &["unknown"],
        9 => &["undefined", "anonymous"],
        15 => &["[object object]"],
        _ => &[],
    };
    words.iter().any(|word| word.eq_ignore_ascii_case(value)) || value.bytes().all(|byte| matches!(byte, b'0' | b'-'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn german() -> IdentifierRules {
        IdentifierRules::default().with_phone_region("DE").expect("a region")
    }

    fn form(rules: &IdentifierRules, kind: IdentifierType, value: &str) -> String {
        rules.normalize(kind, value).map_or_else(|| "nobody".to_owned(), Cow::into_owned)
    }

    #[test]
    fn a_phone_number_is_one_however_it_is_written() {
        for written in [
            "+49 (0) 151 2345 6789",
            "0151/23456789",
            "0049 151 23456789",
            "+4915123456789",
            "tel:+49-151-23456789",
            "\u{202a}+49 151 23456789\u{202c}",
            "٠١٥١٢٣٤٥٦٧٨٩",
        ] {
            assert_eq!(form(&german(), IdentifierType::Phone, written), "+4915123456789", "{written:?}");
        }
        let american = IdentifierRules::default().with_phone_region("US").expect("a region");
        assert_eq!(form(&american, IdentifierType::Phone, "(415) 555-2671"), "+14155552671");
        assert_eq!(form(&american, IdentifierType::Phone, "415.555.2671 ext. 12"), "+14155552671;ext=12");
        assert_eq!(form(&american, IdentifierType::Phone, "415.555.2671 x12"), "+14155552671;ext=12");
        assert_eq!(form(&american, IdentifierType::Phone, "+14155552671;ext=12"), "+14155552671;ext=12");
        let anywhere = IdentifierRules::default();
        assert_eq!(form(&anywhere, IdentifierType::Phone, "+390612345678"), "+390612345678", "its zero is part of it");
        assert_eq!(form(&anywhere, IdentifierType::Phone, "+49 (0)151 23456789"), "+4915123456789");
    }

    #[test]
    fn what_is_no_complete_phone_number_stays_as_it_is() {
        let anywhere = IdentifierRules::default();
        for (rules, written) in [
            (&anywhere, "0151 23456789"),
            (&german(), "12"),
            (&german(), "ask Ann, 0151 23456789"),
            (&german(), "+1"),
            (&german(), "p-1"),
        ] {
            assert_eq!(form(rules, IdentifierType::Phone, written), written);
        }
        for nobody in ["000 000", "+00", "(0)", "-1", "+49\u{0}151", ""] {
            assert_eq!(form(&german(), IdentifierType::Phone, nobody), "nobody", "{nobody:?}");
        }
    }

    #[test]
    fn addresses_lose_their_tags_only_where_that_is_asked_for() {
        let keeps = IdentifierRules::default();
        let drops = IdentifierRules::default().with_plus_tags_dropped(true);
        let both =
            |written| (form(&keeps, IdentifierType::Email, written), form(&drops, IdentifierType::Email, written));
        let same = |text: &str| (text.to_owned(), text.to_owned());
        assert_eq!(both(" Ann+Shop@X.org"), ("ann+shop@x.org".into(), "ann@x.org".into()));
        assert_eq!(both("ann@x.org"), same("ann@x.org"));
        assert_eq!(both("+tag@x.org"), same("+tag@x.org"));
        assert_eq!(both("ann@a+b.org"), same("ann@a+b.org"));
        assert_eq!(both("ann"), same("nobody"));
    }

    #[test]
    fn composed_and_decomposed_text_are_the_same() {
        let rules = IdentifierRules::default();
        for kind in [IdentifierType::CustomerId, IdentifierType::Email, IdentifierType::Cookie] {
            assert_eq!(form(&rules, kind, "A\u{308}nn@x"), form(&rules, kind, "\u{c4}nn@x"));
        }
        assert_eq!(form(&rules, IdentifierType::Email, "\u{212b}@x"), "å@x", "the sign of a unit is a letter");
        assert_eq!(form(&rules, IdentifierType::CustomerId, "\u{feff}C1\u{200b}\u{a0}"), "C1");
    }

    #[test]
    fn values_of_ones_own_identify_nobody() {
        let rules = german().with_blocked("n/a, email:Info@Shop.example , phone:030 1234567,,").expect("values");
        assert_eq!(form(&rules, IdentifierType::CustomerId, "N/A"), "nobody");
        assert_eq!(form(&rules, IdentifierType::Email, "info@shop.EXAMPLE"), "nobody");
        assert_eq!(form(&rules, IdentifierType::Loyalty, "info@shop.example"), "info@shop.example");
        assert_eq!(form(&rules, IdentifierType::Phone, "+49 30 1234567"), "nobody", "as it is compared");
        assert_eq!(form(&rules, IdentifierType::Phone, "+49 30 1234568"), "+49301234568");
        assert!(!rules.keeps(IdentifierType::CustomerId, "n/a"));
        let many = vec!["x"; 1_001].join(",");
        assert!(IdentifierRules::default().with_blocked(&many).is_err());
        assert!(IdentifierRules::default().with_blocked("").expect("none").blocked.is_none());
    }

    #[test]
    fn a_region_is_one_that_has_phone_numbers() {
        for wrong in ["DEU", "49", "XX", "", "001"] {
            let error = IdentifierRules::default().with_phone_region(wrong).expect_err(wrong);
            assert!(error.contains("ISO 3166"), "{error}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        /// What was compared once is compared the same way again: kept touchpoints and commands name forms.
        #[test]
        fn a_form_is_its_own_form(
            text in prop_oneof!["[ -~]{0,24}", "\\PC{0,16}", "\\+?[0-9 ()/.-]{3,16}( ?(x|ext\\.?) ?[0-9]{1,4})?", "[a-zÄöü+.]{1,8}@[a-z.]{1,8}"],
            kind in prop::sample::select(IdentifierType::BUILT_IN.to_vec()),
            region in prop::option::of(prop::sample::select(vec!["DE", "US", "IT", "GB", "AR", "MX"])),
            drops in any::<bool>(),
        ) {
            let mut rules = IdentifierRules::default().with_plus_tags_dropped(drops);
            if let Some(region) = region {
                rules = rules.with_phone_region(region).expect("a region");
            }
            let of = |text: &str| rules.normalize(kind, text).map(Cow::into_owned);
            if let Some(form) = of(&text) {
                prop_assert_eq!(of(&form), Some(form.clone()));
                prop_assert_eq!(of(&text.nfd().collect::<String>()), Some(form));
            }
        }

        /// The look that spares the rest says nothing else than the rest.
        #[test]
        fn what_is_kept_at_one_look_is_its_own_form(
            text in "[!-~]([ -~]{0,16}[!-~])?",
            kind in prop::sample::select(IdentifierType::BUILT_IN.to_vec()),
        ) {
            let rules = IdentifierRules::default();
            if rules.keeps(kind, &text) && !is_blocked(&text) {
                prop_assert_eq!(rules.normalize(kind, &text).map(Cow::into_owned), Some(text));
            }
        }
    }
}

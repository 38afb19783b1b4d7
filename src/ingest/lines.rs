//! The text of a spoke file and a dotted key of it → the line that the key is on.

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// The line, from 1, of the deepest part of a dotted key that the file has; `None` if it has nothing of it. An element of a
/// list is `key[0]`. A key may itself have dots: then the longest that fits is meant.
pub(super) fn line_of(text: &str, key: &str) -> Option<usize> {
    let root = DeTable::parse(text).ok()?;
    let at = in_table(root.get_ref(), key)?;
    Some(line_at(text, at))
}

/// The line, from 1, of a place in a text.
pub(super) fn line_at(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|&byte| byte == b'\n').count()
}

fn in_table(table: &DeTable<'_>, key: &str) -> Option<usize> {
    let fits = |name: &str| {
        let rest = key.strip_prefix(name)?;
        (rest.is_empty() || rest.starts_with(['.', '['])).then_some(rest)
    };
    let (name, value, rest) = table
        .iter()
        .filter_map(|(name, value)| Some((name, value, fits(name.get_ref())?)))
        .max_by_key(|(name, _, _)| name.get_ref().len())?;
    Some(in_value(value, rest).unwrap_or(name.span().start))
}

fn in_value(value: &Spanned<DeValue<'_>>, rest: &str) -> Option<usize> {
    if let DeValue::Array(items) = value.get_ref() {
        let (index, rest) = rest.strip_prefix('[')?.split_once(']')?;
        let item = items.get(index.parse::<usize>().ok()?)?;
        return Some(in_value(item, rest).unwrap_or(item.span().start));
    }
    match value.get_ref() {
        DeValue::Table(table) => in_table(table, rest.strip_prefix('.')?),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_where_they_are_written() {
        let text = "a = 1\nb = { c = 2 }\n[kind]\npath = \"p\"\n[kind.map]\n\"x.y\" = \"z\"\n[[tests]]\nsample = '''\n{}'''\nexpect = { id = 1 }\n";
        for (key, line) in [
            ("a", Some(1)),
            ("b.c", Some(2)),
            ("b.missing", Some(2)),
            ("kind", Some(3)),
            ("kind.path", Some(4)),
            ("kind.map.x.y", Some(6)),
            ("tests[0]", Some(7)),
            ("tests[0].expect.id", Some(10)),
            ("none", None),
            ("", None),
        ] {
            assert_eq!(line_of(text, key), line, "{key}");
        }
        assert_eq!(line_of("a = ", "a"), None);
    }
}

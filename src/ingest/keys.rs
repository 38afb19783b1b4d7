//! One table of a spoke file → its keys, each known and of the right type, or what to write instead.

use toml::{Table, Value};

use super::{
    spoke_file::{From, Source, SpokeError, Time, TimeFormat, Written},
    trial::{self, TRIALS_MAX, Trial},
};

/// The most paths of which the first that holds something counts.
const PATHS_MAX: usize = 8;

/// The keys of one table of the file, with where it is.
pub(super) struct Keys<'a> {
    pub spoke: &'a str,
    pub at: String,
    pub table: &'a Table,
}

impl<'a> Keys<'a> {
    pub(super) fn error(&self, key: &str, problem: String) -> SpokeError {
        SpokeError { spoke: self.spoke.to_owned(), line: None, key: format!("{}{key}", self.at), problem }
    }

    pub(super) fn tests(&self) -> Result<Vec<Trial>, SpokeError> {
        let tables = match self.table.get("tests") {
            None => return Ok(Vec::new()),
            Some(Value::Array(tables)) if tables.len() <= TRIALS_MAX => tables,
            Some(Value::Array(_)) => return Err(self.error("tests", format!("there are more than {TRIALS_MAX}"))),
            Some(_) => return Err(self.error("tests", "write each test as a table, as in [[tests]]".into())),
        };
        let mut trials = Vec::new();
        for (index, table) in tables.iter().enumerate() {
            let Value::Table(table) = table else {
                return Err(self.error("tests", "write each test as a table, as in [[tests]]".into()));
            };
            let trial = trial::parse(table).map_err(|(key, problem)| {
                let dot = if key.is_empty() { "" } else { "." };
                self.error(&format!("tests[{index}]{dot}{key}"), problem)
            })?;
            trials.push(trial);
        }
        Ok(trials)
    }

    /// Every key must be one of these; another one is taken for a mistake in writing.
    pub(super) fn allow(&self, known: &[&str], more: &[&[&str]]) -> Result<(), SpokeError> {
        let known: Vec<&str> = known.iter().chain(more.iter().copied().flatten()).copied().collect();
        match self.table.keys().find(|key| !known.contains(&key.as_str())) {
            None => Ok(()),
            Some(key) => Err(self.error(key, format!("there is no such key{}", suggestion(key, &known)))),
        }
    }

    pub(super) fn optional_text(&self, key: &str) -> Result<Option<String>, SpokeError> {
        match self.table.get(key) {
            None => Ok(None),
            Some(Value::String(text)) if text.is_empty() => Err(self.error(key, "it is empty; fill it in".into())),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(self.error(key, format!("write text in quotes, as in {key} = \"…\""))),
        }
    }

    pub(super) fn text(&self, key: &str) -> Result<String, SpokeError> {
        self.optional_text(key)?.ok_or_else(|| self.error(key, format!("it is missing; add {key} = \"…\"")))
    }

    pub(super) fn optional_bool(&self, key: &str) -> Result<Option<bool>, SpokeError> {
        match self.table.get(key) {
            None => Ok(None),
            Some(Value::Boolean(is)) => Ok(Some(*is)),
            Some(_) => Err(self.error(key, format!("write {key} = true or {key} = false"))),
        }
    }

    /// `"path"` or `["path", "another"]`.
    pub(super) fn optional_paths(&self, key: &str) -> Result<Option<Vec<String>>, SpokeError> {
        let Some(Value::Array(items)) = self.table.get(key) else {
            return Ok(self.optional_text(key)?.map(|path| vec![path]));
        };
        let paths: Option<Vec<String>> = items.iter().map(|item| item.as_str().map(str::to_owned)).collect();
        match paths {
            Some(paths) if (1..=PATHS_MAX).contains(&paths.len()) => Ok(Some(paths)),
            _ => {
                Err(self.error(key, format!("write 1 to {PATHS_MAX} paths in quotes, as in {key} = [\"a.b\", \"c\"]")))
            }
        }
    }

    pub(super) fn paths(&self, key: &str) -> Result<Vec<String>, SpokeError> {
        self.optional_paths(key)?.ok_or_else(|| self.error(key, format!("it is missing; add {key} = \"…\"")))
    }

    /// `[worst, best]`: two whole numbers that differ.
    pub(super) fn range(&self, key: &str) -> Result<Option<(i64, i64)>, SpokeError> {
        let Some(value) = self.table.get(key) else {
            return Ok(None);
        };
        let ends: Option<Vec<i64>> = value.as_array().and_then(|ends| ends.iter().map(Value::as_integer).collect());
        match ends.as_deref() {
            Some(&[worst, best]) if worst != best && worst.abs_diff(best) <= 1_000_000 && worst.abs() <= 1_000_000 => {
                Ok(Some((worst, best)))
            }
            _ => {
                let problem = "write the answers that are worst and best, two whole numbers up to a million, as in";
                Err(self.error(key, format!("{problem} {key} = [0, 100]")))
            }
        }
    }

    /// `decimal`: how numbers in text are written.
    pub(super) fn decimal(&self) -> Result<Option<char>, SpokeError> {
        match self.optional_text("decimal")?.as_deref() {
            None => Ok(None),
            Some(",") => Ok(Some(',')),
            Some(".") => Ok(Some('.')),
            Some(_) => {
                let problem = "write what stands before the decimals: decimal = \",\" for 1.234,50 or decimal = \".\" for 1,234.50";
                Err(self.error("decimal", problem.into()))
            }
        }
    }

    pub(super) fn optional_table(&self, key: &str) -> Result<Option<Keys<'a>>, SpokeError> {
        match self.table.get(key) {
            None => Ok(None),
            Some(Value::Table(table)) => Ok(Some(Keys { spoke: self.spoke, at: format!("{}{key}.", self.at), table })),
            Some(_) => Err(self.error(key, format!("write a table, as in [{}{key}]", self.at))),
        }
    }

    /// `"path"`, `["path", "another"]`, `{ path = …, map = { word = "ours" }, default = "ours" }` or `{ constant = "…" }`; the table too, if it is one.
    pub(super) fn source(&self, key: &str, more: &[&str]) -> Result<(Source, Option<Keys<'a>>), SpokeError> {
        if let Some(Value::String(_) | Value::Array(_)) | None = self.table.get(key) {
            let from = From::Paths(self.paths(key)?);
            return Ok((Source { from, ..Source::default() }, None));
        }
        let Some(Value::Table(_)) = self.table.get(key) else {
            let problem =
                format!("write a path or a constant, as in {key} = \"a.b\" or {key} = {{ constant = \"…\" }}");
            return Err(self.error(key, problem));
        };
        let Some(table) = self.optional_table(key)? else {
            return Err(self.error(key, "it is missing".into()));
        };
        table.allow(&["path", "map", "default", "constant"], &[more])?;
        let from = match (table.optional_paths("path")?, table.optional_text("constant")?) {
            (Some(paths), None) => From::Paths(paths),
            (None, Some(constant)) => From::Constant(constant),
            _ => return Err(self.error(key, "give either a path or a constant".into())),
        };
        let mut map = Vec::new();
        if let Some(words) = table.optional_table("map")? {
            if let From::Constant(_) = from {
                return Err(table.error("map", "a constant needs no map; remove it".into()));
            }
            for word in words.table.keys() {
                map.push((word.clone(), words.text(word)?));
            }
        }
        let default = table.optional_text("default")?;
        if let (From::Constant(_), Some(_)) = (&from, &default) {
            return Err(table.error("default", "a constant needs no default; remove it".into()));
        }
        Ok((Source { from, map, default }, Some(table)))
    }

    pub(super) fn time(&self, key: &str) -> Result<Time, SpokeError> {
        let Some(table) = self.optional_table(key)? else {
            let problem = format!("it is missing; add {key} = {{ path = \"…\", format = \"rfc3339\" }}");
            return Err(self.error(key, problem));
        };
        table.allow(&["path", "format", "zone"], &[])?;
        let zone = match table.table.get("zone") {
            None => None,
            Some(Value::String(_)) => Some(Source { from: From::Constant(table.text("zone")?), ..Source::default() }),
            Some(_) => {
                let (source, inner) = table.source("zone", &[])?;
                if let (Some(inner), false) = (inner, source.map.is_empty()) {
                    return Err(inner.error("map", "names of time zones are not translated; remove it".into()));
                }
                Some(source)
            }
        };
        let instant =
            |format| match zone {
                None => Ok(Written::Instant(format)),
                Some(_) => Err(table
                    .error("zone", "this format says the instant itself; remove it, or set format = \"local\"".into())),
            };
        let written = match table.text("format")?.as_str() {
            "rfc3339" => instant(TimeFormat::Rfc3339)?,
            "epoch_s" => instant(TimeFormat::EpochSeconds)?,
            "epoch_ms" => instant(TimeFormat::EpochMilliseconds)?,
            "epoch_us" => instant(TimeFormat::EpochMicroseconds)?,
            "logical" => instant(TimeFormat::Logical)?,
            "local" => Written::Local(None, zone),
            pattern if pattern.contains('%') => Written::Local(Some(pattern.to_owned()), zone),
            other => {
                let known = ["rfc3339", "epoch_s", "epoch_ms", "epoch_us", "logical", "local"];
                let pattern = " or a pattern such as \"%d.%m.%Y %H:%M\"";
                return Err(table.error("format", unknown_word(other, &known) + pattern));
            }
        };
        Ok(Time { paths: table.paths("path")?, written })
    }
}

/// Why a word is not taken, what could be meant, and what there is.
pub(super) fn unknown_word(word: &str, known: &[&str]) -> String {
    format!("{word:?} is not known{}; use one of {}", suggestion(word, known), known.join(", "))
}

pub(super) fn suggestion(word: &str, known: &[&str]) -> String {
    let nearest = known.iter().map(|known| (strsim::damerau_levenshtein(word, known), known)).min();
    match nearest {
        // More than a third of the letters wrong is another word.
        Some((distance, nearest)) if distance * 3 <= word.chars().count().max(3) => {
            format!("; did you mean {nearest:?}?")
        }
        _ => String::new(),
    }
}

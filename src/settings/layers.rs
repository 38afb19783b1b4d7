//! The sources of settings, merged: the only file that knows the `config` crate.
//!
//! Every source is checked against the tree of the defaults, which holds every key that exists: an unknown key is an
//! error with a suggestion, and a value of another type is an error that says where it was set.

use std::{collections::BTreeMap, path::Path};

use config::{Config, ConfigError, File, FileFormat, Map, Source, Value, ValueKind};
use serde_json::Value as Json;

use super::{Settings, SettingsError, client};

/// Keys of the environment begin with this; `__` separates section and key.
const ENVIRONMENT_PREFIX: &str = "INSIGHT_HUB__";
/// Below this similarity a suggestion would mislead.
const SIMILARITY_MIN: f64 = 0.75;

impl Settings {
    /// Defaults ← file ← environment (`INSIGHT_HUB__SECTION__KEY`; other variables are ignored) ← overrides
    /// (`section.key`, value). Files with secrets are not read here.
    pub fn load(
        path: Option<&Path>,
        overrides: &[(String, String)],
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Settings, SettingsError> {
        let known = Known::new();
        let mut layers = Vec::new();
        if let Some(path) = path {
            layers.push(file_layer(&known, path)?);
        }
        layers.extend(environment_layer(&known, environment)?);
        layers.extend(override_layer(&known, overrides)?);
        let mut builder = Config::builder();
        for layer in &layers {
            builder = builder.add_source(layer.clone());
        }
        let origin_of = |key: &str| layers.iter().rev().find_map(|layer| layer.origin_of(key));
        let settings: Settings =
            builder.build().and_then(Config::try_deserialize).map_err(|error| wrong_value(error, &origin_of))?;
        settings.validate().map_err(|(key, message)| SettingsError::Invalid {
            origin: origin_of(key),
            key: key.to_owned(),
            message,
        })?;
        Ok(settings)
    }

    /// Every key that exists, as `section.key`, with its default as JSON (`null`: not set).
    pub fn keys() -> Vec<(String, Json)> {
        let known = Known::new();
        let mut keys = Vec::new();
        for (section, defaults) in &known.sections {
            keys.extend(defaults.iter().map(|(key, default)| (format!("{section}.{key}"), default.clone())));
        }
        keys
    }
}

/// The word of `candidates` that `word` was probably meant to be.
pub(super) fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<String> {
    candidates
        .map(|candidate| (strsim::jaro_winkler(word, candidate), candidate))
        .filter(|(similarity, _)| *similarity >= SIMILARITY_MIN)
        .max_by(|left, right| left.0.total_cmp(&right.0))
        .map(|(_, candidate)| candidate.to_owned())
}

/// Every section and key that exists, with its default.
struct Known {
    sections: BTreeMap<String, serde_json::Map<String, Json>>,
}

impl Known {
    fn new() -> Known {
        let tree = serde_json::to_value(Settings::default()).expect("settings are text, numbers and tables of these");
        let Json::Object(tree) = tree else { unreachable!("a struct becomes an object") };
        let sections = tree.into_iter().map(|(section, keys)| match keys {
            Json::Object(keys) => (section, keys),
            _ => unreachable!("every section is a struct"),
        });
        Known { sections: sections.collect() }
    }

    fn default_of(&self, section: &str, key: &str, origin: &str) -> Result<&Json, SettingsError> {
        let known = self.sections.get(section).and_then(|keys| keys.get(key));
        known.ok_or_else(|| self.unknown(&format!("{section}.{key}"), origin))
    }

    /// The error for a key that does not exist. The same key in another section is the likeliest mistake, then a
    /// misspelt one.
    fn unknown(&self, key: &str, origin: &str) -> SettingsError {
        let all: Vec<String> = self
            .sections
            .iter()
            .flat_map(|(section, keys)| keys.keys().map(move |key| format!("{section}.{key}")))
            .collect();
        let last = key.rsplit('.').next().unwrap_or(key);
        let suggestion = match key.split_once('.') {
            None => nearest(key, self.sections.keys().map(String::as_str))
                .or_else(|| elsewhere(&all, key))
                .or_else(|| nearest(key, all.iter().map(String::as_str))),
            Some(_) => elsewhere(&all, last).or_else(|| nearest(key, all.iter().map(String::as_str))),
        };
        SettingsError::UnknownKey { key: key.to_owned(), origin: origin.to_owned(), suggestion }
    }
}

fn elsewhere(all: &[String], last: &str) -> Option<String> {
    let suffix = format!(".{last}");
    all.iter().find(|known| known.ends_with(&suffix)).cloned()
}

/// What one source sets.
#[derive(Clone, Debug, Default)]
struct Layer {
    /// (section, key) → (where it was set, value).
    values: BTreeMap<(String, String), (String, ValueKind)>,
    /// Properties of `kafka.client`, whose names contain dots.
    client: BTreeMap<String, (String, ValueKind)>,
}

impl Layer {
    fn origin_of(&self, key: &str) -> Option<String> {
        let (section, key) = key.split_once('.')?;
        let of_value = self.values.get(&(section.to_owned(), key.to_owned()));
        let of_client = || key.strip_prefix("client.").and_then(|name| self.client.get(name));
        of_value.or_else(of_client).map(|(origin, _)| origin.clone())
    }

    /// Takes a text from the environment or a flag: the default's type says what it must be.
    fn set_text(&mut self, known: &Known, key: &str, text: &str, origin: &str) -> Result<(), SettingsError> {
        if let Some(name) = key.strip_prefix("kafka.client.") {
            client::check(name)?;
            let value = ValueKind::String(text.to_owned());
            self.client.insert(name.to_owned(), (origin.to_owned(), value));
            return Ok(());
        }
        let (section, name) = key.split_once('.').ok_or_else(|| known.unknown(key, origin))?;
        let default = known.default_of(section, name, origin)?;
        let wrong = |expected: &str| SettingsError::Invalid {
            key: key.to_owned(),
            origin: Some(origin.to_owned()),
            message: format!("{text:?} is not {expected}"),
        };
        let value = match default {
            Json::Bool(_) => ValueKind::Boolean(text.parse().map_err(|_| wrong("true or false"))?),
            Json::Number(_) => ValueKind::I64(text.parse().map_err(|_| wrong("a whole number"))?),
            Json::Object(_) => return Err(wrong("a table: set its keys one by one")),
            _ => ValueKind::String(text.to_owned()),
        };
        self.values.insert((section.to_owned(), name.to_owned()), (origin.to_owned(), value));
        Ok(())
    }
}

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        let mut sections: Map<String, Map<String, Value>> = Map::new();
        for ((section, key), (origin, value)) in &self.values {
            let keys = sections.entry(section.clone()).or_default();
            keys.insert(key.clone(), Value::new(Some(origin), value.clone()));
        }
        if !self.client.is_empty() {
            let properties: Map<String, Value> = self
                .client
                .iter()
                .map(|(name, (origin, value))| (name.clone(), Value::new(Some(origin), value.clone())))
                .collect();
            let kafka = sections.entry("kafka".to_owned()).or_default();
            kafka.insert("client".to_owned(), Value::new(None, properties));
        }
        Ok(sections.into_iter().map(|(section, keys)| (section, Value::new(None, keys))).collect())
    }
}

/// What is wrong and where, without the line itself, which a parser shows beside a bar: a secret may stand there that belongs in a file.
fn without_the_line(problem: &str) -> String {
    let told = problem.lines().filter(|line| !line.contains('|')).map(str::trim).filter(|line| !line.is_empty());
    told.collect::<Vec<_>>().join(": ")
}

fn file_layer(known: &Known, path: &Path) -> Result<Layer, SettingsError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| SettingsError::Unreadable { path: path.to_owned(), message: error.to_string() })?;
    let tree = File::from_str(&text, FileFormat::Toml).collect().map_err(|error| SettingsError::Syntax {
        path: path.to_owned(),
        message: match error {
            ConfigError::FileParse { cause, .. } => without_the_line(&cause.to_string()),
            other => other.to_string(),
        },
    })?;
    let origin = path.display().to_string();
    let mut layer = Layer::default();
    // Sorted, so that of several mistakes the same one is named each time.
    let tree: BTreeMap<String, Value> = tree.into_iter().collect();
    for (section, keys) in tree {
        if !known.sections.contains_key(&section) {
            return Err(known.unknown(&section, &origin));
        }
        let ValueKind::Table(keys) = keys.kind else {
            return Err(SettingsError::Invalid {
                key: section.clone(),
                origin: Some(origin),
                message: format!("is a section: write [{section}] and its keys below"),
            });
        };
        let keys: BTreeMap<String, Value> = keys.into_iter().collect();
        for (key, value) in keys {
            let default = known.default_of(&section, &key, &origin)?;
            check_type(&section, &key, default, &value.kind, &origin)?;
            match (default, value.kind) {
                (Json::Object(_), ValueKind::Table(properties)) => {
                    flatten("", properties, &origin, &mut layer.client)?;
                }
                (_, kind) => {
                    layer.values.insert((section.clone(), key), (origin.clone(), kind));
                }
            }
        }
    }
    Ok(layer)
}

/// The `config` crate would round 1.5 to 2 and take "on" for true: here a value has the type of its key.
fn check_type(section: &str, key: &str, default: &Json, given: &ValueKind, origin: &str) -> Result<(), SettingsError> {
    let (fits, expected) = match default {
        Json::Bool(_) => (matches!(given, ValueKind::Boolean(_)), "true or false"),
        Json::Number(_) => (
            matches!(given, ValueKind::I64(_) | ValueKind::U64(_) | ValueKind::I128(_) | ValueKind::U128(_)),
            "a whole number",
        ),
        Json::Object(_) => (matches!(given, ValueKind::Table(_)), "a table"),
        _ => (matches!(given, ValueKind::String(_)), "a text in quotes"),
    };
    if fits {
        return Ok(());
    }
    Err(SettingsError::Invalid {
        key: format!("{section}.{key}"),
        origin: Some(origin.to_owned()),
        message: format!("must be {expected}"),
    })
}

/// `queued.min.messages = 1000` is a nest of tables to TOML and one property to the client.
fn flatten(
    prefix: &str,
    table: Map<String, Value>,
    origin: &str,
    into: &mut BTreeMap<String, (String, ValueKind)>,
) -> Result<(), SettingsError> {
    let table: BTreeMap<String, Value> = table.into_iter().collect();
    for (key, value) in table {
        let name = format!("{prefix}{key}");
        match value.kind {
            ValueKind::Table(inner) => flatten(&format!("{name}."), inner, origin, into)?,
            ValueKind::Array(_) | ValueKind::Nil => {
                return Err(SettingsError::ClientProperty {
                    name,
                    message: "must be a text, a number, true or false".into(),
                    suggestion: None,
                });
            }
            kind => {
                client::check(&name)?;
                let text = ValueKind::String(kind.to_string());
                into.insert(name, (origin.to_owned(), text));
            }
        }
    }
    Ok(())
}

fn environment_layer(
    known: &Known,
    environment: impl Iterator<Item = (String, String)>,
) -> Result<Option<Layer>, SettingsError> {
    let mut layer = Layer::default();
    let variables: BTreeMap<String, String> =
        environment.filter(|(name, _)| name.starts_with(ENVIRONMENT_PREFIX)).collect();
    for (variable, value) in &variables {
        let origin = format!("environment variable {variable}");
        let key = variable[ENVIRONMENT_PREFIX.len()..].to_lowercase().replace("__", ".");
        let key = match key.strip_prefix("kafka.client.") {
            Some(property) => {
                let name = client::from_environment(property).map_or_else(|| property.replace('_', "."), str::to_owned);
                format!("kafka.client.{name}")
            }
            None => key,
        };
        layer.set_text(known, &key, value, &origin)?;
    }
    Ok((!variables.is_empty()).then_some(layer))
}

fn override_layer(known: &Known, overrides: &[(String, String)]) -> Result<Option<Layer>, SettingsError> {
    let mut layer = Layer::default();
    for (key, value) in overrides {
        layer.set_text(known, key, value, "the command line")?;
    }
    Ok((!overrides.is_empty()).then_some(layer))
}

fn wrong_value(error: ConfigError, origin_of: &dyn Fn(&str) -> Option<String>) -> SettingsError {
    let (key, message) = match error {
        ConfigError::At { error, key, .. } => (key, error.to_string()),
        ConfigError::Type { unexpected, expected, key, .. } => {
            (key, format!("{unexpected} where {expected} is needed"))
        }
        other => (None, other.to_string()),
    };
    let key = key.unwrap_or_else(|| "settings".to_owned());
    SettingsError::Invalid { origin: origin_of(&key), key, message }
}

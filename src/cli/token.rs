//! `insight-hub token`: makes, lists and ends the tokens that programs and people use the API with.

use std::{collections::BTreeSet, io::Write};

use clap::{Args, Subcommand};
use serde_json::json;

use super::{
    exit::{Exit, Failure},
    hub,
    output::{Format, Listing},
};
use crate::{
    model::EventTime,
    serve::access::{Role, Token, TokenError, TokenFile},
    settings::Settings,
};

/// The longest name of a token.
const NAME_CHARACTERS_MAX: usize = 64;
const DAY_MS: i64 = 86_400_000;

/// Flags of `token`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct TokenArguments {
    /// What to do.
    #[command(subcommand)]
    pub action: TokenAction,
}

/// What can be done with tokens.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum TokenAction {
    /// Make a token and show it, once: only its hash is kept
    Create {
        /// What it is for
        #[arg(value_name = "NAME")]
        name: String,
        /// read:metrics, read:customers (personal data), review, erase, ingest:SPOKE or operate; several times for several
        #[arg(long = "role", value_name = "ROLE", required = true)]
        roles: Vec<String>,
        /// It ends by itself after so many days
        #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=36_500))]
        days: Option<u32>,
        /// How it is shown
        #[arg(short, long, value_enum, default_value_t)]
        output: Format,
    },
    /// Show every token, without its secret
    List {
        /// How they are shown
        #[arg(short, long, value_enum, default_value_t)]
        output: Format,
    },
    /// End a token; a running hub refuses it from the next request on
    Revoke {
        /// Its id, as `list` shows it
        #[arg(value_name = "ID")]
        id: String,
    },
}

pub(super) fn execute(settings: &Settings, arguments: &TokenArguments, output: &mut dyn Write) -> Result<(), Failure> {
    let path = settings.serve.tokens_file(&settings.hub);
    if settings.serve.tokens_file.is_none() {
        hub::private_data_directory(settings)?;
    }
    let file = TokenFile::new(path);
    match &arguments.action {
        TokenAction::Create { name, roles, days, output: format } => create(&file, name, roles, *days, *format, output),
        TokenAction::List { output: format } => list(&file, *format, output),
        TokenAction::Revoke { id } => {
            if !file.revoke(id).map_err(unusable)? {
                return Err(Failure::new(
                    Exit::Failure,
                    "there is no such token, or it was revoked before",
                    "see the ids in `insight-hub token list`",
                ));
            }
            writeln!(output, "token {id} is revoked")?;
            Ok(output.flush()?)
        }
    }
}

fn unusable(error: TokenError) -> Failure {
    Failure::new(Exit::Failure, error.to_string(), "make the file usable for this user, or set serve.tokens_file")
}

fn create(
    file: &TokenFile,
    name: &str,
    roles: &[String],
    days: Option<u32>,
    format: Format,
    output: &mut dyn Write,
) -> Result<(), Failure> {
    let is_name = !name.trim().is_empty() && !name.chars().any(char::is_control);
    if !is_name || name.chars().count() > NAME_CHARACTERS_MAX {
        return Err(Failure::new(
            Exit::Usage,
            format!("a token's name has 1 to {NAME_CHARACTERS_MAX} characters on one line"),
            "say what it is for: insight-hub token create dashboard --role read:metrics",
        ));
    }
    let parse = |word: &String| {
        Role::parse(word).ok_or_else(|| {
            let words: Vec<String> = Role::PLAIN.iter().map(ToString::to_string).collect();
            Failure::new(
                Exit::Usage,
                format!("there is no role {word:?}"),
                format!("name one of {}, ingest:SPOKE", words.join(", ")),
            )
        })
    };
    let roles: BTreeSet<Role> = roles.iter().map(parse).collect::<Result<_, _>>()?;
    let now_ms = hub::now_ms();
    let expires_ms = days.map(|days| now_ms + i64::from(days) * DAY_MS);
    let made = file.create(name, &roles, expires_ms, now_ms).map_err(unusable)?;
    match format {
        Format::Table => {
            writeln!(output, "{}\n\nIt is shown this once. Send it as: authorization: Bearer TOKEN", made.secret)?;
        }
        Format::Json | Format::Jsonl => {
            let mut shown = shown(&made.token);
            shown["token"] = json!(made.secret);
            writeln!(output, "{shown}")?;
        }
    }
    Ok(output.flush()?)
}

fn list(file: &TokenFile, format: Format, output: &mut dyn Write) -> Result<(), Failure> {
    let mut listing = Listing::new(format, "tokens", &["id", "name", "roles", "created", "expires", "revoked"], output);
    for token in file.list().map_err(unusable)? {
        let cells = || {
            let roles: Vec<String> = token.roles.iter().map(ToString::to_string).collect();
            let time = |at_ms: i64| EventTime(at_ms).to_string();
            vec![
                token.id.clone(),
                token.name.clone(),
                roles.join(" "),
                time(token.created_ms),
                token.expires_ms.map(time).unwrap_or_default(),
                if token.is_revoked() { "yes".to_owned() } else { String::new() },
            ]
        };
        listing.push(cells, || shown(&token))?;
    }
    Ok(listing.end(&[])?.flush()?)
}

/// All of it but the hash.
fn shown(token: &Token) -> serde_json::Value {
    json!({
        "id": token.id,
        "name": token.name,
        "roles": token.roles,
        "created_at": EventTime(token.created_ms).to_string(),
        "expires_at": token.expires_ms.map(|at_ms| EventTime(at_ms).to_string()),
        "revoked": token.is_revoked(),
    })
}

//! Keys of the configuration from the environment: `SACCADE_LOG__DURABILITY=buffered` is `log.durability = "buffered"`.
//!
//! Two underscores separate table and key; one name alone is a whole table (`SACCADE_MODELS='[…]'`). Other variables that begin with
//! `SACCADE_` are of single commands (`SACCADE_DATA`, …) or of somebody else, as those that Kubernetes sets for a service of this name, and
//! are not looked at; but one underscore where two should be is told. A value is read as TOML where it is TOML, and as text where it is not.

use super::{Config, ConfigError};
use std::ffi::OsString;
use std::path::Path;
use toml::{Table, Value};

const PREFIX: &str = "SACCADE_";

/// Puts what `variables` say over `text` and checks the result; `config` unchanged where they say nothing.
pub(super) fn apply(
    config: Config,
    text: &str,
    path: &Path,
    variables: impl Iterator<Item = (OsString, OsString)>,
) -> Result<Config, ConfigError> {
    let mut table: Option<Table> = None;
    let (mut named, mut secrets) = (vec![], vec![]);
    let refuse = |message| ConfigError::Parse { path: path.into(), message };
    for (name, value) in variables {
        let Some(parts) = name.to_str().and_then(key).transpose().map_err(refuse)? else { continue };
        let name = name.display();
        let value = value.to_str().ok_or_else(|| refuse(format!("{name} of the environment is not UTF-8")))?;
        let read = match parts.as_slice() {
            // A token of digits is one all the same.
            [table, key] if table == "auth" && key.ends_with("token") => text_of(value),
            _ => read(value),
        };
        if parts[0] == "auth" {
            secrets.push(value.to_string());
        }
        put(table.get_or_insert_with(|| text.parse().unwrap_or_default()), &parts, read);
        named.push(name.to_string());
    }
    let Some(table) = table else { return Ok(config) };
    let config: Config = table.try_into().map_err(|e: toml::de::Error| {
        let shown = |why: String, secret: &String| match secret.is_empty() {
            true => why,
            false => why.replace(secret.as_str(), "…"),
        };
        let why = secrets.iter().fold(e.to_string(), shown);
        let list = if why.contains("expected a sequence") { "; a list is written as '[\"a\", \"b\"]'" } else { "" };
        refuse(format!("with {} of the environment: {}{list}", named.join(", "), why.trim_end()))
    })?;
    config.check(path)?;
    Ok(config)
}

/// The key that a variable names; none where it is not of the configuration.
fn key(name: &str) -> Option<Result<Vec<String>, String>> {
    let key = name.strip_prefix(PREFIX)?.to_lowercase();
    let mut all = Config::default();
    // The one key that is absent by default.
    all.auth.read_token = Some(String::new());
    let known = Table::try_from(all).expect("a configuration is plain data");
    if key.contains("__") || known.contains_key(&key) {
        return Some(Ok(key.split("__").map(str::to_string).collect()));
    }
    let (table, rest) = key.split_once('_')?;
    let is_meant = known.get(table).and_then(Value::as_table).is_some_and(|table| table.contains_key(rest));
    let meant = format!("{PREFIX}{table}__{rest}").to_uppercase();
    is_meant.then(|| Err(format!("{name} of the environment is no key; {meant}, with two underscores, is one")))
}

fn read(value: &str) -> Value {
    let document = format!("value = {value}");
    let parsed = document.parse::<Table>().ok().and_then(|mut table| table.remove("value"));
    parsed.unwrap_or_else(|| Value::String(value.to_string()))
}

fn text_of(value: &str) -> Value {
    match read(value) {
        Value::String(text) => Value::String(text),
        _ => Value::String(value.to_string()),
    }
}

fn put(table: &mut Table, parts: &[String], value: Value) {
    match parts {
        [] => {}
        [key] => {
            table.insert(key.clone(), value);
        }
        [key, rest @ ..] => {
            let inner = table.entry(key.clone()).or_insert_with(|| Value::Table(Table::new()));
            if !inner.is_table() {
                *inner = Value::Table(Table::new());
            }
            if let Value::Table(inner) = inner {
                put(inner, rest, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let text = "[server]\nlisten = \"127.0.0.1:1\"\n[[features]]\nname = \"events\"\ntype = \"count\"\n";
        let path = Path::new("test.toml");
        let config = Config::parse(text, path)?;
        apply(config, text, path, variables.iter().map(|(n, v)| (n.into(), v.into())))
    }

    #[test]
    fn a_list_that_is_none_says_how_one_is_written() {
        let error = with(&[("SACCADE_AUTH__WRITE_KEYS", "k1")]).expect_err("no list").to_string();
        assert!(error.contains("SACCADE_AUTH__WRITE_KEYS") && error.contains(r#"'["a", "b"]'"#), "{error}");
    }

    #[test]
    fn a_token_of_digits_is_one_and_no_secret_is_in_an_error() {
        let config = with(&[("SACCADE_AUTH__READ_TOKEN", "12345")]).expect("valid");
        assert_eq!(config.auth.read_token.as_deref(), Some("12345"));
        let error = with(&[("SACCADE_AUTH__WRITE_KEYS", "my-key,my-other")]).expect_err("no list").to_string();
        assert!(!error.contains("my-key") && error.contains("SACCADE_AUTH__WRITE_KEYS"), "{error}");
    }

    #[test]
    fn keys_of_the_environment_win_over_the_file() {
        let config = with(&[
            ("SACCADE_LOG__DURABILITY", "buffered"),
            ("SACCADE_AUTH__WRITE_KEYS", "[\"k1\", \"k2\"]"),
            ("SACCADE_LOG__PARTITIONS", "4"),
            ("SACCADE_DATA", "elsewhere"),
            ("PATH", "/bin"),
        ]);
        let config = config.expect("valid");
        assert_eq!(config.log.durability, crate::config::Durability::Buffered);
        assert_eq!((config.auth.write_keys.len(), config.log.partitions), (2, 4));
        assert_eq!((config.server.listen.as_str(), config.features.len()), ("127.0.0.1:1", 1));
    }

    #[test]
    fn a_whole_table_can_be_of_the_environment() {
        let count = |name| format!("[{{name = \"{name}\", type = \"count\"}}]");
        let config = with(&[("SACCADE_FEATURES", &count("seen")), ("SACCADE_CHECKPOINT", "{interval = \"1m\"}")]);
        let config = config.expect("valid");
        assert_eq!(config.features[0].name, "seen");
        assert_eq!(config.checkpoint.interval, crate::config::Duration::from_secs(60));
    }

    #[test]
    fn one_underscore_for_two_is_told_and_what_others_set_is_not_looked_at() {
        for (one, two) in [
            ("SACCADE_LOG_DURABILITY", "SACCADE_LOG__DURABILITY"),
            ("SACCADE_AUTH_READ_TOKEN", "SACCADE_AUTH__READ_TOKEN"),
        ] {
            let error = with(&[(one, "buffered")]).expect_err("no key").to_string();
            assert!(error.contains(&format!("{two}, with two underscores")), "{error}");
        }
        let config = with(&[("SACCADE_SERVICE_HOST", "10.0.0.1"), ("SACCADE_LOG_SERVICE_PORT", "80")]);
        assert_eq!(config.expect("valid"), with(&[]).expect("valid"));
    }

    #[cfg(unix)]
    #[test]
    fn a_value_of_the_environment_that_is_no_text_is_named() {
        use std::os::unix::ffi::OsStringExt;
        let variable = ("SACCADE_SERVER__LISTEN".into(), OsString::from_vec(vec![0xff]));
        let error = apply(Config::default(), "", Path::new("test.toml"), std::iter::once(variable));
        let error = error.expect_err("no text").to_string();
        assert!(error.contains("SACCADE_SERVER__LISTEN of the environment is not UTF-8"), "{error}");
    }

    #[test]
    fn an_unknown_key_of_the_environment_is_refused_by_its_name() {
        let error = with(&[("SACCADE_LOG__DURABLE", "yes")]).expect_err("no such key").to_string();
        assert!(error.contains("SACCADE_LOG__DURABLE") && error.contains("durability"), "{error}");
    }

    #[test]
    fn a_value_of_the_environment_is_held_to_its_range() {
        let error = with(&[("SACCADE_LOG__PARTITIONS", "0")]).expect_err("no partition").to_string();
        assert!(error.contains("log.partitions") && error.contains("is 0"), "{error}");
    }
}

//! Keys of the configuration from the environment: `SACCADE_LOG__DURABILITY=buffered` is `log.durability = "buffered"`.
//!
//! Two underscores separate table and key, so the variables of single commands (`SACCADE_DATA`, …) are not meant. A value is
//! read as TOML where it is TOML, and as text where it is not.

use super::{Config, ConfigError};
use std::path::Path;
use toml::{Table, Value};

const PREFIX: &str = "SACCADE_";

/// Puts what `variables` say over `text` and checks the result; `config` unchanged where they say nothing.
pub(super) fn apply(
    config: Config,
    text: &str,
    path: &Path,
    variables: impl Iterator<Item = (String, String)>,
) -> Result<Config, ConfigError> {
    let mut table: Option<Table> = None;
    let mut named = vec![];
    for (name, value) in variables {
        let Some(key) = name.strip_prefix(PREFIX).filter(|key| key.contains("__")) else { continue };
        let parts: Vec<String> = key.split("__").map(str::to_lowercase).collect();
        let table = table.get_or_insert_with(|| text.parse().unwrap_or_default());
        put(table, &parts, read(&value));
        named.push(name);
    }
    let Some(table) = table else { return Ok(config) };
    let config: Config = table.try_into().map_err(|e: toml::de::Error| ConfigError::Parse {
        path: path.into(),
        message: format!("with {} of the environment: {}", named.join(", "), e.to_string().trim_end()),
    })?;
    config.check(path)?;
    Ok(config)
}

fn read(value: &str) -> Value {
    let document = format!("value = {value}");
    let parsed = document.parse::<Table>().ok().and_then(|mut table| table.remove("value"));
    parsed.unwrap_or_else(|| Value::String(value.to_string()))
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
        apply(config, text, path, variables.iter().map(|(n, v)| (n.to_string(), v.to_string())))
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

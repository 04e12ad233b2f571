//! What a reward spec may say, apart from its expression.

use super::RewardError;
use super::function::is_reserved;
use super::spec::{RewardSpec, SignalFold, SignalSpec};
use crate::learn::VALUE_MAX;
use crate::spec::Duration;

/// Signals of a spec.
pub(super) const SIGNALS_MAX: usize = 32;
/// The longest window: 90 days.
const WAIT_MAX: Duration = Duration::from_secs(90 * 86_400);
/// Bytes of the description.
const DESCRIPTION_MAX: usize = 4096;
/// Event types of a signal.
const KINDS_MAX: usize = 64;
/// Bytes of a name: of a signal, an event type, a field.
const NAME_MAX: usize = 64;

fn error(key: impl Into<String>, found: impl Into<String>, allowed: impl Into<String>) -> RewardError {
    RewardError { key: key.into(), found: found.into(), allowed: allowed.into() }
}

/// Checks everything but the expression.
pub(super) fn check(spec: &RewardSpec) -> Result<(), RewardError> {
    if spec.version == 0 {
        return Err(error("version", "0", "1 or more"));
    }
    if spec.description.len() > DESCRIPTION_MAX {
        let found = format!("{} bytes long", spec.description.len());
        return Err(error("description", found, format!("up to {DESCRIPTION_MAX} bytes")));
    }
    check_range(spec)?;
    check_window(spec)?;
    if spec.signals.len() > SIGNALS_MAX {
        return Err(error("signals", format!("{} signals", spec.signals.len()), format!("up to {SIGNALS_MAX}")));
    }
    spec.signals.iter().try_for_each(|(name, signal)| check_signal(name, signal))
}

fn check_range(spec: &RewardSpec) -> Result<(), RewardError> {
    let default = spec.default_reward;
    // What is larger would not be learnt, which nobody would notice.
    if default.is_nan() || default.abs() > VALUE_MAX {
        return Err(error("default_reward", default.to_string(), format!("-{VALUE_MAX:e} to {VALUE_MAX:e}")));
    }
    let Some([least, greatest]) = spec.clip else { return Ok(()) };
    if !(least.is_finite() && greatest.is_finite() && least < greatest) {
        return Err(error("clip", format!("[{least}, {greatest}]"), "two finite numbers, the lesser first"));
    }
    if default < least || default > greatest {
        return Err(error("default_reward", default.to_string(), format!("{least} to {greatest}, as `clip` says")));
    }
    Ok(())
}

fn check_window(spec: &RewardSpec) -> Result<(), RewardError> {
    let (start_after, wait) = (spec.start_after, spec.wait);
    if start_after.0 < 0 {
        return Err(error("start_after", start_after.to_string(), "0 or more"));
    }
    if wait > WAIT_MAX {
        return Err(error("wait", wait.to_string(), format!("up to {WAIT_MAX}")));
    }
    if wait <= start_after {
        return Err(error("wait", wait.to_string(), format!("more than `start_after`, which is {start_after}")));
    }
    Ok(())
}

fn check_signal(name: &str, signal: &SignalSpec) -> Result<(), RewardError> {
    let key = format!("signals.{name}");
    if !is_identifier(name) {
        let rule = format!("1 to {NAME_MAX} ASCII letters, digits and underscores, not a digit first");
        return Err(error(key, "not a name that an expression can use", rule));
    }
    if is_reserved(name) {
        return Err(error(key, "a word of the expression language", "another name"));
    }
    check_kinds(&key, signal.on.as_deref())?;
    check_field(&format!("{key}.field"), signal)
}

fn is_identifier(name: &str) -> bool {
    let mut bytes = name.bytes();
    name.len() <= NAME_MAX
        && bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn check_kinds(key: &str, kinds: Option<&[String]>) -> Result<(), RewardError> {
    let Some(kinds) = kinds else { return Ok(()) };
    let key = format!("{key}.on");
    if kinds.is_empty() {
        return Err(error(key, "empty", "event types; leave it out for all of them"));
    }
    if kinds.len() > KINDS_MAX {
        return Err(error(key, format!("{} event types", kinds.len()), format!("up to {KINDS_MAX}")));
    }
    match kinds.iter().find(|kind| kind.is_empty() || kind.len() > NAME_MAX) {
        Some(kind) => Err(error(key, format!("{kind:?}"), format!("event types of 1 to {NAME_MAX} bytes"))),
        None => Ok(()),
    }
}

fn check_field(key: &str, signal: &SignalSpec) -> Result<(), RewardError> {
    use SignalFold::*;
    let is_needed = match signal.fold {
        Sum | Max | Min | First | Last => true,
        Any | Count | UniqueSeconds | TimeUntil => false,
    };
    const FIELDS: &str = "value, playhead_s, duration_s, position, fields.NAME";
    match (&signal.field, is_needed) {
        (None, true) => Err(error(key, "missing", FIELDS)),
        (Some(field), false) => Err(error(key, format!("\"{field}\""), "nothing: this fold takes no field")),
        (Some(field), true) if !is_field(field) => Err(error(key, format!("\"{field}\""), FIELDS)),
        _ => Ok(()),
    }
}

fn is_field(field: &str) -> bool {
    matches!(field, "value" | "playhead_s" | "duration_s" | "position")
        || field.strip_prefix("fields.").is_some_and(|name| !name.is_empty() && name.len() <= NAME_MAX)
}

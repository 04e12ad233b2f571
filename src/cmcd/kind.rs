//! Names: CMCD event and state tokens to the kinds of events and play states of Saccade.
//!
//! Tokens as in CTA-5004-B, sections "Event" and "State".

use super::record::{Keys, Scalar};
use bumpalo::Bump;
use saccade_topology::KIND_BYTES_MAX;
use saccade_topology::record::PlayState;

/// True for a record that reports a request: the event `rr`, or request mode, which has no event.
///
/// Its `ts` is when the request began, while the rest is as of its end, up to half a minute later.
pub(super) fn is_request(keys: &Keys<'_>) -> bool {
    match keys.text("e") {
        Some(token) => token == "rr",
        None => !keys.has("e"),
    }
}

/// Kind of the event: snake_case, 1 to 64 bytes.
pub(super) fn kind<'a>(keys: &Keys<'a>, arena: &'a Bump) -> &'a str {
    if is_request(keys) {
        return "segment";
    }
    match keys.text("e").unwrap_or("") {
        "ps" => keys.text("sta").and_then(state).map_or("play_state", |(kind, _)| kind),
        "t" => "progress",
        "e" => "error",
        "bc" => "quality_change",
        "pr" => "rate_change",
        "c" => "content_change",
        "m" => "mute",
        "um" => "unmute",
        // `bg` is sent only where it is true, so its absence says foreground: shaka 4.16 reports the return so.
        "b" if keys.get("bg") == Some(Scalar::Bool(true)) => "background",
        "b" => "foreground",
        "pe" => "expand",
        "pc" => "collapse",
        "as" => "ad_start",
        "ae" => "ad_end",
        "abs" => "ad_break_start",
        "abe" => "ad_break_end",
        "sk" => "ad_skip",
        "h" => "host_change",
        "ce" => snake_case("custom", false, keys.text("cen").unwrap_or(""), arena),
        "" => "cmcd_unknown",
        token => snake_case("cmcd", true, token, arena),
    }
}

/// Play state of the token of `sta`.
pub(super) fn play_state(token: &str) -> Option<PlayState> {
    state(token).map(|(_, state)| state)
}

fn state(token: &str) -> Option<(&'static str, PlayState)> {
    Some(match token {
        "d" => ("preload", PlayState::Preloading),
        "s" => ("start", PlayState::Starting),
        "p" => ("playing", PlayState::Playing),
        "k" => ("seeking", PlayState::Seeking),
        "r" | "w" => ("waiting", PlayState::Rebuffering),
        "a" => ("pause", PlayState::Paused),
        "e" => ("ended", PlayState::Ended),
        "f" => ("error", PlayState::Failed),
        "q" => ("stop", PlayState::Quit),
        _ => return None,
    })
}

/// `text` as snake_case, `addToList` as `add_to_list`, cut at 64 bytes. With `prefix_` before it where `prefixed`
/// or where it would begin with a digit; `prefix` alone where nothing is left of it.
fn snake_case<'a>(prefix: &str, prefixed: bool, text: &str, arena: &'a Bump) -> &'a str {
    let mut kind = String::with_capacity(KIND_BYTES_MAX);
    if prefixed
        || text.trim_start_matches(|c: char| !c.is_ascii_alphanumeric()).starts_with(|c: char| c.is_ascii_digit())
    {
        kind.push_str(prefix);
    }
    let mut is_break = true;
    let mut was_lower = false;
    for c in text.chars() {
        if !c.is_ascii_alphanumeric() {
            is_break = true;
            continue;
        }
        is_break |= was_lower && c.is_ascii_uppercase();
        let separator = usize::from(is_break && !kind.is_empty());
        if kind.len() + separator + 1 > KIND_BYTES_MAX {
            break;
        }
        if separator == 1 {
            kind.push('_');
        }
        kind.push(c.to_ascii_lowercase());
        is_break = false;
        was_lower = c.is_ascii_lowercase() || c.is_ascii_digit();
    }
    if kind.is_empty() {
        kind.push_str(prefix);
    }
    arena.alloc_str(&kind)
}

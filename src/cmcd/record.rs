//! One CMCD record: the text of an RFC 8941 dictionary to the keys and scalar values that Saccade uses.
//!
//! A list stands for one of its values: the one marked as video (`;v`), else the first. What is kept of a record is
//! bounded, however long it is. Which value makes sense for which key is not decided here.
//!
//! The standard parser refuses a record for any fault in it, but a server must ignore an invalid value and keep the
//! rest (CTA-5004-B), and the encoder that players share lets strings through that are not ASCII. So a refused record is
//! taken apart, and only its faulty members are dropped.

use super::Rejection;
use super::visit::Collect;
use bumpalo::Bump;
use sfv::Parser;

/// Custom keys kept of a record; further ones are ignored.
pub(super) const CUSTOM_KEYS_MAX: usize = 32;
/// Bytes of the name of a custom key; longer ones are ignored.
pub(super) const CUSTOM_KEY_BYTES_MAX: usize = 64;

/// Keys whose faulty value makes the record unusable: without them it would count as another event, session or time.
const VITAL: [&str; 4] = ["e", "sid", "ts", "v"];

/// Value of a key. Strings hold no control characters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Scalar<'a> {
    /// Integer or decimal, finite.
    Number(f64),
    Bool(bool),
    /// String or display string.
    Text(&'a str),
    Token(&'a str),
}

/// Keys of a record that are reserved by CTA-5004, custom (with a hyphen) or configured, each once, with its last
/// value. `None` is a value that cannot be used.
#[derive(Debug, Default)]
pub(super) struct Keys<'a> {
    pairs: Vec<(&'a str, Option<Scalar<'a>>)>,
    custom: usize,
}

impl<'a> Keys<'a> {
    pub(super) fn iter(&self) -> impl Iterator<Item = (&'a str, Scalar<'a>)> {
        self.pairs.iter().filter_map(|&(key, value)| value.map(|value| (key, value)))
    }

    pub(super) fn get(&self, key: &str) -> Option<Scalar<'a>> {
        self.iter().find(|(name, _)| *name == key).map(|(_, value)| value)
    }

    /// True also where the value of `key` cannot be used.
    pub(super) fn has(&self, key: &str) -> bool {
        self.pairs.iter().any(|(name, _)| *name == key)
    }

    pub(super) fn number(&self, key: &str) -> Option<f64> {
        match self.get(key)? {
            Scalar::Number(number) => Some(number),
            _ => None,
        }
    }

    /// A string or token: players send either where the standard says one.
    pub(super) fn text(&self, key: &str) -> Option<&'a str> {
        match self.get(key)? {
            Scalar::Text(text) | Scalar::Token(text) => Some(text),
            _ => None,
        }
    }

    fn clear(&mut self) {
        self.pairs.clear();
        self.custom = 0;
    }

    /// The emptied place of `key`, or `None` where the key is not kept.
    pub(super) fn slot(&mut self, key: &'a str, configured: &[String]) -> Option<&mut Option<Scalar<'a>>> {
        if let Some(at) = self.pairs.iter().position(|(name, _)| *name == key) {
            self.pairs[at].1 = None;
            return Some(&mut self.pairs[at].1);
        }
        if !is_reserved(key) && !configured.iter().any(|name| name == key) {
            let fits = self.custom < CUSTOM_KEYS_MAX && key.len() <= CUSTOM_KEY_BYTES_MAX;
            if !fits || !key.contains('-') {
                return None;
            }
            self.custom += 1;
        }
        self.pairs.push((key, None));
        self.pairs.last_mut().map(|(_, value)| value)
    }
}

/// Keys of CTA-5004 (v1) and CTA-5004-B (v2).
#[rustfmt::skip] // one key a line is unreadable
fn is_reserved(key: &str) -> bool {
    matches!(
        key,
        "ab" | "bg" | "bl" | "br" | "bs" | "bsa" | "bsd" | "bsda" | "cdn" | "cen" | "cid" | "cmsdd" | "cmsds" | "cs"
        | "d" | "dfa" | "dl" | "e" | "ec" | "h" | "lab" | "lb" | "ltc" | "msd" | "mtp" | "nor" | "nr" | "nrr" | "ot"
        | "pb" | "pr" | "pt" | "rc" | "rtp" | "sf" | "sid" | "smrt" | "sn" | "st" | "sta" | "su" | "tab" | "tb" | "tpb"
        | "ts" | "ttfb" | "ttfbb" | "ttlb" | "url" | "v"
    )
}

/// Fills `keys` with those of `line`. `configured` are names to keep beside the reserved and custom ones.
pub(super) fn parse<'a>(
    line: &'a str,
    configured: &[String],
    arena: &'a Bump,
    keys: &mut Keys<'a>,
) -> Result<(), Rejection> {
    keys.clear();
    let strict = Parser::new(line).parse_dictionary_with_visitor(Collect { keys, configured, arena });
    if let Err(error) = strict {
        keys.clear();
        take_apart(line, configured, arena, keys).map_err(|found| syntax(line, &format!("{found} ({error})")))?;
    }
    if keys.pairs.is_empty() {
        return Err(syntax(line, "no key of CTA-5004"));
    }
    Ok(())
}

fn syntax(line: &str, found: &str) -> Rejection {
    let start: String = line.chars().take(32).collect();
    let message = format!("a record must be an RFC 8941 dictionary with CMCD keys; {start:?}...: {found}");
    Rejection { code: "cmcd_syntax", message }
}

/// Takes the members of `line` one by one. Fails where the members cannot be told apart or a vital one is faulty.
fn take_apart<'a>(
    line: &'a str,
    configured: &[String],
    arena: &'a Bump,
    keys: &mut Keys<'a>,
) -> Result<(), &'static str> {
    let mut rest = line;
    loop {
        let length = member_length(rest).ok_or("quote or bracket is not closed")?;
        let member = super::trim(&rest[..length]);
        if member.is_empty() {
            return Err("member is empty");
        }
        let visitor = Collect { keys, configured, arena };
        if Parser::new(member).parse_dictionary_with_visitor(visitor).is_err() {
            let (key, value) = member.split_once('=').filter(|(key, _)| is_name(key)).ok_or("member has no key")?;
            let value = rescue(value, arena);
            if value.is_none() && VITAL.contains(&key) {
                return Err("value of e, sid, ts or v is faulty");
            }
            if let Some(slot) = keys.slot(key, configured) {
                *slot = value;
            }
        }
        if length == rest.len() {
            return Ok(());
        }
        rest = &rest[length + 1..];
    }
}

/// Bytes before the first comma of `rest` that is in no string and no list.
fn member_length(rest: &str) -> Option<usize> {
    let (mut quoted, mut listed, mut escaped) = (false, false, false);
    for (at, byte) in rest.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'(' if !quoted => listed = true,
            b')' if !quoted => listed = false,
            b',' if !quoted && !listed => return Some(at),
            _ => {}
        }
    }
    (!quoted && !listed).then_some(rest.len())
}

/// True for what a sender can have meant as a key, valid or not.
fn is_name(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.*".contains(&byte))
}

/// A value that RFC 8941 refuses but whose meaning is plain: a string that is not ASCII, a number with too many digits.
fn rescue<'a>(value: &'a str, arena: &'a Bump) -> Option<Scalar<'a>> {
    if value.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.' || byte == b'-') {
        return value.parse().ok().filter(|number: &f64| number.is_finite()).map(Scalar::Number);
    }
    let quoted = value.strip_prefix('"')?.strip_suffix('"')?;
    if quoted.chars().any(char::is_control) {
        return None;
    }
    if !quoted.contains(['\\', '"']) {
        return Some(Scalar::Text(quoted));
    }
    let mut text = String::with_capacity(quoted.len());
    let mut chars = quoted.chars();
    while let Some(next) = chars.next() {
        match next {
            '"' => return None,
            '\\' => text.push(chars.next().filter(|escaped| matches!(escaped, '\\' | '"'))?),
            _ => text.push(next),
        }
    }
    Some(Scalar::Text(arena.alloc_str(&text)))
}

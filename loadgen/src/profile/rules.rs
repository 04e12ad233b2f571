//! What each key of a profile may hold: looked at before a profile is read, so that an error names key, value and what is allowed, and
//! of a list which one, in words of this project and not of the reader's types. What numbers must be together is in [`super::check`].

use crate::schedule::{Arrivals, Shape};
use crate::span::Span;
use clap::ValueEnum;
use jiff::tz::TimeZone;
use toml::{Table, Value};

/// Longest name of a device or model, and code of a country, bytes.
pub const NAME_MAX: usize = 64;
pub const CODE_MAX: usize = 8;
/// Spans, in words.
const SPAN: &str = "a whole number with ms, s, m or h, from 1ms to 24h";

/// What a key may hold.
#[derive(Clone, Copy)]
enum Rule {
    /// A whole number within both ends.
    Whole(i64, i64),
    /// A number within both ends.
    Number(f64, f64),
    /// From 0 to 1.
    Share,
    /// Two whole numbers in order, within both ends.
    Wholes(i64, i64),
    /// Two shares, the second not above the first.
    Liking,
    Span,
    /// Two spans in order.
    Spans,
    YesNo,
    /// A name of at most so many bytes: texts are written into JSON, CMCD and paths as they are.
    Name(usize),
    Words,
    Zone,
    Shape,
    Arrivals,
    /// Shares by name.
    Devices,
}

use Rule::{Devices, Liking, Name, Number, Share, Spans, Whole, Wholes, Words, YesNo, Zone};

/// Every key. Sections are what stands before the dot.
const RULES: [(&str, Rule); 75] = [
    ("description", Words),
    ("load.rate", Whole(1, 10_000_000)),
    ("load.duration", Rule::Span),
    ("load.shape", Rule::Shape),
    ("load.arrivals", Rule::Arrivals),
    ("load.batch", Wholes(1, 10_000)),
    ("load.connections", Whole(1, 4096)),
    ("viewers.count", Whole(0, 20_000_000)),
    ("viewers.follow_rate", YesNo),
    ("viewers.hot_share", Number(0.0, 0.99)),
    ("viewers.devices", Devices),
    ("countries.code", Name(CODE_MAX)),
    ("countries.timezone", Zone),
    ("countries.share", Share),
    ("day.starts", Number(0.0, 24.0)),
    ("day.length", Rule::Span),
    ("day.evening", Number(0.0, 24.0)),
    ("day.swing", Number(0.0, 0.99)),
    ("catalogue.items", Whole(1, 10_000_000)),
    ("catalogue.zipf", Number(0.0, 5.0)),
    ("catalogue.length", Spans),
    ("browse.step", Rule::Span),
    ("browse.impression", Share),
    ("browse.scroll", Share),
    ("browse.hover", Share),
    ("browse.click", Share),
    ("browse.add_to_list", Share),
    ("browse.not_interested", Share),
    ("watch.startup", Rule::Span),
    ("watch.progress", Rule::Span),
    ("watch.pause", Share),
    ("watch.seek", Share),
    ("watch.rebuffer", Share),
    ("watch.quality_change", Share),
    ("watch.abandon", Share),
    ("watch.error", Share),
    ("watch.pause_length", Spans),
    ("watch.pause_tail", Number(0.1, 10.0)),
    ("watch.pause_leave", Share),
    ("watch.rebuffer_length", Rule::Span),
    ("watch.binge", Share),
    ("watch.leave", Share),
    ("away.return_share", Share),
    ("away.return_after", Rule::Span),
    ("away.length", Rule::Span),
    ("network.throughput_kbps", Number(1.0, 10_000_000.0)),
    ("network.throughput_spread", Number(0.0, 3.0)),
    ("network.rtt_ms", Number(0.0, 60_000.0)),
    ("network.rtt_spread", Number(0.0, 3.0)),
    ("clocks.wrong", Share),
    ("clocks.off_max", Rule::Span),
    ("disorder.reordered", Share),
    ("disorder.reordered_max", Rule::Span),
    ("disorder.late", Share),
    ("disorder.late_by", Spans),
    ("disorder.duplicates", Share),
    ("disorder.duplicates_after", Rule::Span),
    ("disorder.retries", Share),
    ("disorder.retries_after", Rule::Span),
    ("bots.share", Number(0.0, 0.99)),
    ("bots.step", Rule::Span),
    ("rank.share", Share),
    ("rank.model", Name(NAME_MAX)),
    ("rank.pool", Whole(1, 10_000_000)),
    ("rank.candidates", Whole(1, 10_000)),
    ("rank.k", Whole(1, 10_000)),
    ("rank.features", YesNo),
    ("rank.look_after", Rule::Span),
    ("rank.liking", Liking),
    ("rank.clusters", Whole(1, 64)),
    ("rank.played", Share),
    ("rank.sent_away", Share),
    ("rank.explicit", Share),
    ("rank.sync", YesNo),
    ("cmcd.share", Share),
];

/// The section whose keys belong to each of a list.
const LIST: &str = "countries";

/// Every key that is given is one, and holds what it may; says which does not.
pub(super) fn check(given: &Table) -> Result<(), String> {
    given.iter().try_for_each(|(name, value)| match value {
        Value::Array(all) if name == LIST => (1..).zip(all).try_for_each(|(nth, one)| check_one(nth, one)),
        Value::Table(keys) if name != LIST && keys_of(name).next().is_some() => {
            keys.iter().try_for_each(|(key, value)| check_key(&format!("{name}.{key}"), "", value))
        }
        other if name == LIST => Err(format!("{name} is {other}; allowed: a list, [[{name}]] before each of it")),
        other if keys_of(name).next().is_some() => {
            Err(format!("{name} is {other}; allowed: a section, after [{name}]"))
        }
        other => check_key(name, "", other),
    })
}

/// One of the list, from 1: it has all its keys.
fn check_one(nth: usize, one: &Value) -> Result<(), String> {
    let Some(keys) = one.as_table() else {
        return Err(format!("{LIST}, number {nth}, is {one}; allowed: [[{LIST}]] and its keys below"));
    };
    let code = keys.get("code").map_or(String::new(), |code| format!(", {code},"));
    let which = format!(" of number {nth}{code}");
    keys.iter().try_for_each(|(key, value)| check_key(&format!("{LIST}.{key}"), &which, value))?;
    match keys_of(LIST).find(|(key, _)| !keys.contains_key(*key)) {
        None => Ok(()),
        Some((key, rule)) => Err(format!("{LIST}.{key}{which} is missing; allowed: {}", rule.allowed())),
    }
}

/// `which` of a list, in words.
fn check_key(name: &str, which: &str, value: &Value) -> Result<(), String> {
    let Some((_, rule)) = RULES.iter().find(|(known, _)| *known == name) else { return Err(unknown(name, which)) };
    match (rule, value) {
        (Devices, Value::Table(shares)) => {
            shares.iter().try_for_each(|(device, share)| check_device(name, device, share))
        }
        _ => rule.why_not(value).map_or(Ok(()), |allowed| Err(format!("{name}{which} is {value}; {allowed}"))),
    }
}

fn check_device(name: &str, device: &str, share: &Value) -> Result<(), String> {
    if !is_name(device, NAME_MAX) {
        return Err(format!("{name} has `{device}`; allowed: {}", Name(NAME_MAX).allowed()));
    }
    Share.why_not(share).map_or(Ok(()), |allowed| Err(format!("{name}.{device} is {share}; {allowed}")))
}

/// What there is instead: a key of that name in another section, and all of the section.
fn unknown(name: &str, which: &str) -> String {
    let (section, key) = name.split_once('.').unwrap_or(("", name));
    let same: Vec<&str> =
        RULES.map(|(known, _)| known).into_iter().filter(|known| known.ends_with(&format!(".{key}"))).collect();
    let hint = if same.is_empty() { String::new() } else { format!(", but {} is", same.join(" and ")) };
    let mut all: Vec<&str> = match section {
        "" => RULES.iter().map(|(known, _)| known.split_once('.').map_or(*known, |(section, _)| section)).collect(),
        section => keys_of(section).map(|(key, _)| key).collect(),
    };
    all.dedup();
    format!("{name}{which} is not known{hint}; allowed: {}", all.join(", "))
}

/// The keys of a section.
fn keys_of(section: &str) -> impl Iterator<Item = (&'static str, Rule)> {
    RULES.iter().filter_map(move |(name, rule)| Some((name.strip_prefix(section)?.strip_prefix('.')?, *rule)))
}

impl Rule {
    /// In words.
    fn allowed(self) -> String {
        match self {
            Whole(low, high) => format!("a whole number from {low} to {high}"),
            Number(low, high) => format!("a number from {low} to {high}"),
            Share => "a number from 0 to 1".into(),
            Wholes(low, high) => format!("two whole numbers in order, from {low} to {high}, such as [1, 20]"),
            Liking => "two numbers from 0 to 1, the second not above the first, such as [0.3, 0.02]".into(),
            Rule::Span => format!("a span in quotes, {SPAN}, such as \"30s\""),
            Spans => format!("two spans in quotes and in order, {SPAN}, such as [\"5s\", \"10m\"]"),
            YesNo => "true or false".into(),
            Name(bytes_max) => format!("a text of 1 to {bytes_max} letters, digits, `_`, `-` or `.`"),
            Words => "a text".into(),
            Zone => "an IANA time zone such as \"Europe/Berlin\"".into(),
            Rule::Shape => "a shape in quotes, such as \"constant\"".into(),
            Rule::Arrivals => "\"even\" or \"poisson\"".into(),
            Devices => "names and their shares, such as { tv = 0.6, mobile = 0.4 }".into(),
        }
    }

    /// What is allowed instead, where the value is not.
    fn why_not(self, value: &Value) -> Option<String> {
        match (self, value.as_str()) {
            (Rule::Shape, Some(text)) => Shape::parse(text).err(),
            _ => (!self.holds(value)).then(|| format!("allowed: {}", self.allowed())),
        }
    }

    fn holds(self, value: &Value) -> bool {
        let text = value.as_str();
        match self {
            Whole(low, high) => value.as_integer().is_some_and(|n| (low..=high).contains(&n)),
            Number(low, high) => number(value).is_some_and(|x| (low..=high).contains(&x)),
            Share => Number(0.0, 1.0).holds(value),
            Wholes(low, high) => {
                two(value, Value::as_integer).is_some_and(|[from, to]| low <= from && from <= to && to <= high)
            }
            Liking => two(value, number).is_some_and(|[best, worst]| 0.0 <= worst && worst <= best && best <= 1.0),
            Rule::Span => span(value).is_some(),
            Spans => two(value, span).is_some_and(|[shortest, longest]| shortest <= longest),
            YesNo => value.is_bool(),
            Name(bytes_max) => text.is_some_and(|text| is_name(text, bytes_max)),
            Words => text.is_some(),
            Zone => text.is_some_and(|name| TimeZone::get(name).is_ok()),
            // What is wrong with a text, the shape says itself.
            Rule::Shape => text.is_some(),
            Rule::Arrivals => text.is_some_and(|text| Arrivals::from_str(text, false).is_ok()),
            Devices => value.is_table(),
        }
    }
}

fn number(value: &Value) -> Option<f64> {
    value.as_float().or_else(|| value.as_integer().map(|n| n as f64))
}

fn span(value: &Value) -> Option<Span> {
    Span::parse(value.as_str()?).ok()
}

/// Both of a list of two.
fn two<T>(value: &Value, of: impl Fn(&Value) -> Option<T>) -> Option<[T; 2]> {
    let [first, second] = value.as_array()?.as_slice() else { return None };
    Some([of(first)?, of(second)?])
}

/// What may be a name of at most so many bytes.
pub fn is_name(text: &str, bytes_max: usize) -> bool {
    (1..=bytes_max).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::BUILT_IN;

    #[test]
    fn every_key_that_is_read_has_a_rule_and_the_other_way_round() {
        let table: Table = BUILT_IN[0].1.parse().expect("it is shipped");
        let mut names = vec![];
        for (section, value) in &table {
            match value.as_array().map_or(value, |list| &list[0]) {
                Value::Table(keys) => names.extend(keys.keys().map(|key| format!("{section}.{key}"))),
                _ => names.push(section.clone()),
            }
        }
        names.sort_unstable();
        let mut known = RULES.map(|(name, _)| name);
        known.sort_unstable();
        assert_eq!(names, known);
    }

    #[test]
    fn whatever_a_rule_allows_a_profile_can_be_read_with() {
        for (name, rule) in RULES {
            let (low, high) = match rule {
                Whole(low, high) => (low.to_string(), high.to_string()),
                Number(low, high) => (low.to_string(), high.to_string()),
                Share => ("0".into(), "1.0".into()),
                Wholes(low, high) => (format!("[{low}, {low}]"), format!("[{low}, {high}]")),
                Liking => ("[0, 0]".into(), "[1.0, 0.5]".into()),
                Rule::Span => ("\"1ms\"".into(), "\"24h\"".into()),
                Spans => ("[\"1ms\", \"1ms\"]".into(), "[\"1s\", \"24h\"]".into()),
                YesNo => ("false".into(), "true".into()),
                Name(bytes_max) => ("\"a\"".into(), format!("\"{}\"", "a".repeat(bytes_max))),
                Words => ("\"\"".into(), "\"a b\"".into()),
                Zone => ("\"UTC\"".into(), "\"Europe/Berlin\"".into()),
                Rule::Shape => ("\"constant\"".into(), "\"sine:period=10m,low=0.2\"".into()),
                Rule::Arrivals => ("\"even\"".into(), "\"poisson\"".into()),
                Devices => ("{ tv = 1 }".into(), "{ tv = 0.5, web = 0.5 }".into()),
            };
            for value in [low, high] {
                let mut table: Table = BUILT_IN[0].1.parse().expect("it is shipped");
                let given: Table = format!("key = {value}").parse().expect(&value);
                match name.split_once('.') {
                    None => _ = table.insert(name.into(), given["key"].clone()),
                    Some((LIST, key)) => table[LIST][0][key] = given["key"].clone(),
                    Some((section, key)) => table[section][key] = given["key"].clone(),
                }
                assert_eq!(check(&table), Ok(()), "{name} = {value}");
                let read: Result<super::super::Profile, _> = table.try_into();
                assert!(read.is_ok(), "{name} = {value}: {read:?}");
            }
        }
    }
}

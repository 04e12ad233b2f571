//! The members of a JSON object, taken by name; what nobody asked for is an error that names it and the nearest known name.
//!
//! For objects that are ours alone, requests and exported records: a key that was mistyped must not be lost silently, as it would be in
//! an event, where unknown keys are free fields. `null` is absent. A key given twice is an error.

use super::RowError;
use super::check::{self, Scalar};
use super::keys::Key;
use super::raw::Raw;

/// Names that can be asked for in one object.
const NAMES_MAX: usize = 32;

/// What is left of an object.
pub(super) struct Members<'a> {
    what: &'static str,
    left: Vec<(&'a str, Raw<'a>)>,
    asked: [&'static str; NAMES_MAX],
    asked_count: usize,
}

impl<'a> Members<'a> {
    /// The members of `object`, which errors call `what`, such as `an item`.
    pub(super) fn of(what: &'static str, object: Raw<'a>) -> Result<Members<'a>, RowError> {
        if object.scalar() != Scalar::Object {
            let found = object.scalar();
            return Err(RowError::new("wrong_type", format!("expected {what} as a JSON object, found {found}")));
        }
        Ok(Members { what, left: object.entries().collect(), asked: [""; NAMES_MAX], asked_count: 0 })
    }

    /// The value of `name`, if it is there and not null. Every known name is asked for once.
    #[inline]
    pub(super) fn take(&mut self, name: &'static str) -> Option<Raw<'a>> {
        self.asked[self.asked_count] = name;
        self.asked_count += 1;
        let place = self.left.iter().position(|(n, _)| *n == name)?;
        let (_, value) = self.left.remove(place);
        (value.scalar() != Scalar::Null).then_some(value)
    }

    /// The value of `name`, which must be there; `rule` says what to send.
    pub(super) fn need(&mut self, name: &'static str, rule: &str) -> Result<Raw<'a>, RowError> {
        let what = self.what;
        self.take(name).ok_or_else(|| RowError::new("missing_field", format!("`{name}` of {what} is missing; {rule}")))
    }

    /// An id or a name of 1 to `max` bytes, under the rules of events; an integer stands for its digits.
    pub(super) fn id(&mut self, name: &'static str, max: usize) -> Result<Option<&'a str>, RowError> {
        let key = Key::own(name);
        self.take(name).map(|value| check::id(&key, value.scalar(), max, value.arena())).transpose()
    }

    /// A text as it stands.
    pub(super) fn text(&mut self, name: &'static str) -> Result<&'a str, RowError> {
        text(name, self.need(name, "it is a string")?)
    }

    /// The same, if it is there.
    pub(super) fn optional_text(&mut self, name: &'static str) -> Result<Option<&'a str>, RowError> {
        self.take(name).map(|value| text(name, value)).transpose()
    }

    /// Exactly an integer of the type.
    pub(super) fn integer<T: std::str::FromStr>(&mut self, name: &'static str) -> Result<T, RowError> {
        let value = self.need(name, "it is an integer")?;
        integer(name, value)
    }

    /// The same, if it is there.
    pub(super) fn optional_integer<T: std::str::FromStr>(&mut self, name: &'static str) -> Result<Option<T>, RowError> {
        self.take(name).map(|value| integer(name, value)).transpose()
    }

    /// A finite number.
    pub(super) fn number(&mut self, name: &'static str) -> Result<f64, RowError> {
        let value = self.need(name, "it is a number")?;
        check::number(&Key::own(name), value.scalar())
    }

    /// A truth value; absent is false.
    pub(super) fn flag(&mut self, name: &'static str) -> Result<bool, RowError> {
        self.take(name).map_or(Ok(false), |value| check::boolean(&Key::own(name), value.scalar()))
    }

    /// The elements of a list of at most `max`; none where it is absent.
    pub(super) fn list(&mut self, name: &'static str, max: usize) -> Result<Option<Vec<Raw<'a>>>, RowError> {
        self.take(name).map(|value| list(name, value, max)).transpose()
    }

    /// Ends the object: nothing may be left.
    pub(super) fn done(self) -> Result<(), RowError> {
        match self.left.first() {
            None => Ok(()),
            Some((name, _)) => Err(self.left_over(name)),
        }
    }

    #[cold]
    fn left_over(&self, name: &str) -> RowError {
        let known = &self.asked[..self.asked_count];
        let shown = &name[..name.floor_char_boundary(64)];
        let what = self.what;
        if known.contains(&name) {
            return RowError::new("bad_value", format!("`{name}` of {what} is given twice"));
        }
        let hint = nearest(shown, known).map(|near| format!("did you mean `{near}`? ")).unwrap_or_default();
        let known = known.join(", ");
        RowError::new("unknown_key", format!("`{shown}` is no key of {what}; {hint}known are {known}"))
    }
}

fn text<'a>(name: &'static str, value: Raw<'a>) -> Result<&'a str, RowError> {
    match value.scalar() {
        Scalar::Text(text) | Scalar::Printable(text) => Ok(text),
        other => Err(check::problem(&Key::own(name), "wrong_type", other, "expected a string")),
    }
}

/// Exactly an integer of the type.
pub(super) fn integer<T: std::str::FromStr>(name: &'static str, value: Raw<'_>) -> Result<T, RowError> {
    let problem = |_| check::problem(&Key::own(name), "bad_value", value.scalar(), "expected an integer in its range");
    value.text().parse().map_err(problem)
}

/// The elements of `value`, a list of at most `max`.
pub(super) fn list<'a>(name: &'static str, value: Raw<'a>, max: usize) -> Result<Vec<Raw<'a>>, RowError> {
    if value.scalar() != Scalar::Array {
        return Err(check::problem(&Key::own(name), "wrong_type", value.scalar(), "expected a list"));
    }
    let elements: Vec<_> = value.elements().take(max + 1).collect();
    if elements.len() > max {
        return Err(RowError::new(
            "too_long",
            format!("`{name}` is a list of more than {max} elements; {max} are allowed"),
        ));
    }
    Ok(elements)
}

/// The known name that fewest edits make of `name`, if a third of its letters or fewer have to change.
fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    let distances = known.iter().map(|k| (edits(name.as_bytes(), k.as_bytes()), *k));
    distances.min().filter(|(edits, k)| *edits <= k.len().max(3) / 3).map(|(_, k)| k)
}

/// Bytes to insert, remove, replace or swap with the next (optimal string alignment; Damerau 1964).
fn edits(a: &[u8], b: &[u8]) -> usize {
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = match (i, j) {
                (0, n) | (n, 0) => n,
                _ => {
                    let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                    let least = replaced.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
                    let swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
                    if swapped { least.min(rows[i - 2][j - 2] + 1) } else { least }
                }
            };
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_name_is_answered_with_the_nearest_known_one() {
        let known = ["id", "items", "viewer", "event_time", "k"];
        for (name, near) in [
            ("itmes", Some("items")),
            ("item", Some("items")),
            ("eventTime", Some("event_time")),
            ("veiwer", Some("viewer")),
            ("ids", Some("id")),
            ("kk", Some("k")),
            ("something", None),
            ("", Some("k")),
        ] {
            assert_eq!(nearest(name, &known), near, "{name}");
        }
        assert_eq!((edits(b"abc", b"acb"), edits(b"", b"ab"), edits(b"kitten", b"sitting")), (1, 2, 3));
    }
}

//! What parts of an expression give: terms, or faults.

use super::evaluate::{ELEMENTS_MAX, STEPS_MAX};
use std::borrow::Cow;
use std::rc::Rc;

/// What a node gives.
#[derive(Clone, Debug)]
pub(super) enum Term<'a> {
    Number(f64),
    Bool(bool),
    Text(Cow<'a, str>),
    List(Rc<Vec<Term<'a>>>),
}

impl<'a> Term<'a> {
    pub(super) fn number(&self) -> Result<f64, Fault<'a>> {
        match self {
            Term::Number(x) => Ok(*x),
            Term::Bool(_) => Err(Fault::Type("a number is needed, not a truth value: write `x > 0 ? 1 : 0`")),
            Term::Text(_) => Err(Fault::Type("a number is needed, not a text")),
            Term::List(_) => Err(Fault::Type("a number is needed, not a list")),
        }
    }

    pub(super) fn truth(&self) -> Result<bool, Fault<'a>> {
        match self {
            Term::Bool(b) => Ok(*b),
            Term::Number(_) => Err(Fault::Type("a truth value is needed, not a number: write `x > 0`")),
            _ => Err(Fault::Type("a truth value is needed, not a text or a list")),
        }
    }
}

/// Why there is no term.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Fault<'a> {
    /// The item does not have this field, or it is neither a number, a truth value, a text nor a list of texts.
    NoField(Cow<'a, str>),
    Type(&'static str),
    NotComparable,
    OutOfBounds,
    TooLong,
}

impl std::fmt::Display for Fault<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Fault::NoField(name) => write!(f, "the item has no field `{name}`"),
            Fault::Type(what) => f.write_str(what),
            Fault::NotComparable => f.write_str("what is compared is not of one type, or not a number"),
            Fault::OutOfBounds => f.write_str("the list has no such element"),
            Fault::TooLong => write!(f, "more than {STEPS_MAX} steps, or a list of more than {ELEMENTS_MAX}"),
        }
    }
}

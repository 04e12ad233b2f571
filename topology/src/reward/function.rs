//! The functions of reward expressions. All are total: odd arguments are a [`Fault`], never a panic.

use super::term::{Fault, Term};
use crate::math;
use std::borrow::Cow;

/// What can be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    Size,
    StartsWith,
    EndsWith,
    Contains,
    Min,
    Max,
    Abs,
    Sign,
    Floor,
    Ceil,
    Round,
    Trunc,
    Sqrt,
    Exp,
    Ln,
    Pow,
    Double,
    Int,
}

/// Names called as `name(…)`; those with a dot are CEL's extension `math`. Least and most arguments.
const GLOBAL: [(&str, Function, usize, usize); 24] = [
    ("size", Function::Size, 1, 1),
    ("min", Function::Min, 1, 64),
    ("max", Function::Max, 1, 64),
    ("abs", Function::Abs, 1, 1),
    ("sign", Function::Sign, 1, 1),
    ("floor", Function::Floor, 1, 1),
    ("ceil", Function::Ceil, 1, 1),
    ("round", Function::Round, 1, 1),
    ("trunc", Function::Trunc, 1, 1),
    ("sqrt", Function::Sqrt, 1, 1),
    ("exp", Function::Exp, 1, 1),
    ("ln", Function::Ln, 1, 1),
    ("pow", Function::Pow, 2, 2),
    ("double", Function::Double, 1, 1),
    ("int", Function::Int, 1, 1),
    ("math.least", Function::Min, 1, 64),
    ("math.greatest", Function::Max, 1, 64),
    ("math.abs", Function::Abs, 1, 1),
    ("math.sign", Function::Sign, 1, 1),
    ("math.floor", Function::Floor, 1, 1),
    ("math.ceil", Function::Ceil, 1, 1),
    ("math.round", Function::Round, 1, 1),
    ("math.trunc", Function::Trunc, 1, 1),
    ("math.sqrt", Function::Sqrt, 1, 1),
];

/// Names called as `text.name(…)`; the arguments count the text.
const METHODS: [(&str, Function, usize, usize); 4] = [
    ("size", Function::Size, 1, 1),
    ("startsWith", Function::StartsWith, 2, 2),
    ("endsWith", Function::EndsWith, 2, 2),
    ("contains", Function::Contains, 2, 2),
];

/// Names that the language takes for itself, besides those of functions.
const RESERVED: [&str; 44] = [
    "item",
    "default_reward",
    "explicit",
    "math",
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
    "has",
    "all",
    "exists",
    "exists_one",
    "existsOne",
    "map",
    "filter",
    "bool",
    "bytes",
    "uint",
    "string",
    "list",
    "type",
    "null_type",
    "dyn",
    "duration",
    "timestamp",
    "matches",
    "optional",
];

/// Whether a signal may not be called so.
pub(super) fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&name) || GLOBAL.iter().chain(&METHODS).any(|(taken, ..)| *taken == name)
}

/// The function of that name that takes `count` arguments; else how many it takes, or none where there is no such name.
pub(super) fn find(name: &str, is_method: bool, count: usize) -> Result<Function, Option<(usize, usize)>> {
    let table: &[_] = if is_method { &METHODS } else { &GLOBAL };
    let (_, function, least, most) = table.iter().find(|(known, ..)| *known == name).ok_or(None)?;
    let fits = (*least..=*most).contains(&count);
    if fits { Ok(*function) } else { Err(Some((*least, *most))) }
}

/// All names, of one kind.
pub(super) fn names(is_method: bool) -> impl Iterator<Item = &'static str> {
    let table: &[_] = if is_method { &METHODS } else { &GLOBAL };
    table.iter().map(|(name, ..)| *name)
}

/// Calls it; the number of arguments was checked by [`find`].
pub(super) fn call<'a>(function: Function, arguments: &[Term<'a>]) -> Result<Term<'a>, Fault<'a>> {
    let first = arguments.first().ok_or(Fault::Type("a function takes an argument"))?;
    match function {
        Function::Size => size(first),
        Function::StartsWith | Function::EndsWith | Function::Contains => {
            let (Term::Text(text), Some(Term::Text(part))) = (first, arguments.get(1)) else {
                return Err(Fault::Type("startsWith, endsWith and contains take two texts"));
            };
            Ok(Term::Bool(match function {
                Function::StartsWith => text.starts_with(part.as_ref()),
                Function::EndsWith => text.ends_with(part.as_ref()),
                _ => text.contains(part.as_ref()),
            }))
        }
        Function::Min | Function::Max => {
            let terms = match first {
                Term::List(list) if arguments.len() == 1 => list.as_slice(),
                _ => arguments,
            };
            extreme(terms, function == Function::Max)
        }
        Function::Double => double(first),
        _ => {
            let second = arguments.get(1).map_or(Ok(0.0), Term::number)?;
            Ok(Term::Number(of_numbers(function, first.number()?, second)))
        }
    }
}

fn of_numbers(function: Function, x: f64, y: f64) -> f64 {
    match function {
        Function::Abs => x.abs(),
        Function::Sign if x == 0.0 || x.is_nan() => x,
        Function::Sign => 1f64.copysign(x),
        Function::Floor => x.floor(),
        Function::Ceil => x.ceil(),
        Function::Round => x.round(),
        Function::Sqrt => x.sqrt(),
        Function::Exp => math::exp(x),
        Function::Ln => math::ln(x),
        Function::Pow => math::pow(x, y),
        _ => x.trunc(),
    }
}

fn size<'a>(of: &Term<'a>) -> Result<Term<'a>, Fault<'a>> {
    match of {
        Term::Text(text) => Ok(Term::Number(text.chars().count() as f64)),
        Term::List(list) => Ok(Term::Number(list.len() as f64)),
        _ => Err(Fault::Type("size takes a text or a list")),
    }
}

/// Not `f64::max`: which of 0 and −0 that gives is left open.
fn extreme<'a>(terms: &[Term<'a>], is_max: bool) -> Result<Term<'a>, Fault<'a>> {
    let mut best: Option<f64> = None;
    for term in terms {
        let x = term.number()?;
        if x.is_nan() {
            return Err(Fault::NotComparable);
        }
        if best.is_none_or(|b| if is_max { x > b } else { x < b }) {
            best = Some(x);
        }
    }
    best.map(Term::Number).ok_or(Fault::Type("the least or greatest of an empty list does not exist"))
}

fn double<'a>(of: &Term<'a>) -> Result<Term<'a>, Fault<'a>> {
    match of {
        Term::Number(x) => Ok(Term::Number(*x)),
        Term::Bool(b) => Ok(Term::Number(f64::from(u8::from(*b)))),
        Term::Text(text) => parsed(text).map(Term::Number),
        Term::List(_) => Err(Fault::Type("double takes a number, a truth value or a text")),
    }
}

fn parsed<'a>(text: &Cow<'a, str>) -> Result<f64, Fault<'a>> {
    text.trim().parse().map_err(|_| Fault::Type("this text is not a number"))
}

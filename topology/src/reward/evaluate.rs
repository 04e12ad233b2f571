//! Evaluation of a compiled expression: a walk over its tree.
//!
//! Total: whatever the signals and the item are, it ends after a bounded number of steps with a term or a [`Fault`]; recursion
//! is bounded by the nesting that was compiled. Nothing is allocated unless lists are made.

use super::function::{self, Function};
use super::term::{Fault, Term};
use super::tree::{Arithmetic, Compare, Loop, Node};
use crate::record::{Fields, Value};
use std::borrow::Cow;
use std::cmp::Ordering;
use std::rc::Rc;

/// Steps of one evaluation: a node is one, and long texts and lists cost more.
pub(super) const STEPS_MAX: usize = 10_000;
/// Elements of a list.
pub(super) const ELEMENTS_MAX: usize = 1024;
/// Bytes of text that are looked at in one step.
const BYTES_PER_STEP: usize = 64;

/// What an expression is evaluated on.
pub(super) struct Run<'a> {
    signals: &'a [f64],
    default_reward: f64,
    fields: Fields<'a>,
    locals: Vec<Term<'a>>,
    steps: usize,
}

impl<'a> Run<'a> {
    pub(super) fn new(signals: &'a [f64], default_reward: f64, fields: Fields<'a>) -> Self {
        Run { signals, default_reward, fields, locals: vec![], steps: 0 }
    }

    fn charge(&mut self, steps: usize) -> Result<(), Fault<'a>> {
        self.steps += steps;
        if self.steps > STEPS_MAX { Err(Fault::TooLong) } else { Ok(()) }
    }

    pub(super) fn term(&mut self, node: &'a Node) -> Result<Term<'a>, Fault<'a>> {
        self.charge(1)?;
        match node {
            Node::Number(x) => Ok(Term::Number(*x)),
            Node::Bool(b) => Ok(Term::Bool(*b)),
            Node::Text(text) => Ok(Term::Text(Cow::Borrowed(text))),
            Node::Signal(i) => Ok(Term::Number(self.signals[*i])),
            Node::DefaultReward => Ok(Term::Number(self.default_reward)),
            Node::Local(i) => Ok(self.locals[*i].clone()),
            Node::Field(name) => {
                let name = self.name(name)?;
                self.field(&name)?.ok_or(Fault::NoField(name))
            }
            Node::Has(name) => {
                let name = self.name(name)?;
                Ok(Term::Bool(self.field(&name)?.is_some()))
            }
            Node::Arithmetic(first, rest) => self.arithmetic(first, rest),
            Node::Compare(compare, pair) => self.compare(*compare, pair).map(Term::Bool),
            Node::Logic(stops_at, terms) => self.logic(*stops_at, terms).map(Term::Bool),
            Node::Not(of) => Ok(Term::Bool(!self.term(of)?.truth()?)),
            Node::Negate(of) => Ok(Term::Number(-self.term(of)?.number()?)),
            Node::Choose(nodes) => {
                let [condition, yes, no] = nodes.as_ref();
                let chosen = if self.term(condition)?.truth()? { yes } else { no };
                self.term(chosen)
            }
            Node::Call(function, arguments) => self.call(*function, arguments),
            Node::NotFalse(of) => match self.term(of) {
                Err(Fault::TooLong) => Err(Fault::TooLong),
                result => Ok(Term::Bool(result.and_then(|term| term.truth()).unwrap_or(true))),
            },
            Node::List(_) | Node::Index(_) | Node::In(_) | Node::Loop(_) | Node::Append(..) => self.of_lists(node),
        }
    }

    fn of_lists(&mut self, node: &'a Node) -> Result<Term<'a>, Fault<'a>> {
        match node {
            Node::List(nodes) => nodes.iter().map(|node| self.term(node)).collect::<Result<_, _>>().map(list)?,
            Node::Index(pair) => {
                let [of, at] = pair.as_ref();
                let (of, at) = (self.term(of)?, self.term(at)?.number()?);
                let Term::List(elements) = of else { return Err(Fault::Type("only lists and `item` can be indexed")) };
                let is_place = at >= 0.0 && at.fract() == 0.0;
                elements.get(at as usize).filter(|_| is_place).cloned().ok_or(Fault::OutOfBounds)
            }
            Node::In(pair) => self.is_in(pair).map(Term::Bool),
            Node::Loop(l) => {
                let locals = self.locals.len();
                let result = self.run(l);
                // A fault may be outweighed by `||` further out, where the locals are others.
                self.locals.truncate(locals);
                result
            }
            Node::Append(local, element) => {
                let element = self.term(element)?;
                let held = std::mem::replace(&mut self.locals[*local], Term::Bool(false));
                let Term::List(mut elements) = held else { return Err(Fault::Type("only lists can be appended to")) };
                Rc::make_mut(&mut elements).push(element);
                if elements.len() > ELEMENTS_MAX { Err(Fault::TooLong) } else { Ok(Term::List(elements)) }
            }
            _ => Err(Fault::Type("this is not about lists")),
        }
    }

    fn name(&mut self, node: &'a Node) -> Result<Cow<'a, str>, Fault<'a>> {
        match node {
            Node::Text(name) => Ok(Cow::Borrowed(name)),
            _ => match self.term(node)? {
                Term::Text(name) => Ok(name),
                _ => Err(Fault::Type("a field of `item` is named by a text")),
            },
        }
    }

    /// The last field of that name, as [`Fields::get`]; none where it cannot be a term.
    fn field(&mut self, name: &str) -> Result<Option<Term<'a>>, Fault<'a>> {
        let (mut found, mut fields, mut bytes) = (None, 0, 0);
        for (known, value) in self.fields.iter() {
            fields += 1;
            if let Value::Text(text) | Value::Json(text) = value {
                bytes += text.len();
            }
            if known == name {
                found = Some(value);
            }
        }
        self.charge(fields / 4 + bytes / BYTES_PER_STEP)?;
        Ok(match found {
            None => None,
            Some(Value::Number(x)) => Some(Term::Number(x)),
            Some(Value::Bool(b)) => Some(Term::Bool(b)),
            Some(Value::Text(text)) => Some(Term::Text(Cow::Borrowed(text))),
            Some(Value::Json(json)) => {
                self.charge(json.len() / 16)?;
                let texts: Result<Vec<String>, _> = serde_json::from_str(json);
                let terms = texts.map(|texts| texts.into_iter().map(|text| Term::Text(Cow::Owned(text))).collect());
                terms.ok().map(list).transpose()?
            }
        })
    }

    fn arithmetic(&mut self, first: &'a Node, rest: &'a [(Arithmetic, Node)]) -> Result<Term<'a>, Fault<'a>> {
        let mut sum = self.term(first)?;
        for (operator, node) in rest {
            let right = self.term(node)?;
            if let (Term::List(a), Term::List(b), Arithmetic::Add) = (&sum, &right, operator) {
                self.charge(a.len() + b.len())?;
                sum = list(a.iter().chain(b.iter()).cloned().collect())?;
                continue;
            }
            let (a, b) = (sum.number()?, right.number()?);
            sum = Term::Number(match operator {
                Arithmetic::Add => a + b,
                Arithmetic::Subtract => a - b,
                Arithmetic::Multiply => a * b,
                Arithmetic::Divide => a / b,
                Arithmetic::Remainder => a % b,
            });
        }
        Ok(sum)
    }

    fn compare(&mut self, compare: Compare, [left, right]: &'a [Node; 2]) -> Result<bool, Fault<'a>> {
        let (left, right) = (self.term(left)?, self.term(right)?);
        if matches!(compare, Compare::Equal | Compare::NotEqual) {
            return Ok(self.equal(&left, &right)? == (compare == Compare::Equal));
        }
        let order = match (&left, &right) {
            (Term::Number(a), Term::Number(b)) => a.partial_cmp(b),
            (Term::Text(a), Term::Text(b)) => {
                self.charge(a.len().min(b.len()) / BYTES_PER_STEP)?;
                Some(a.cmp(b))
            }
            (Term::Bool(a), Term::Bool(b)) => Some(a.cmp(b)),
            _ => None,
        };
        let order = order.ok_or(Fault::NotComparable)?;
        Ok(match compare {
            Compare::Less => order == Ordering::Less,
            Compare::LessOrEqual => order != Ordering::Greater,
            Compare::Greater => order == Ordering::Greater,
            _ => order != Ordering::Less,
        })
    }

    /// Terms of different types are not equal.
    fn equal(&mut self, left: &Term<'a>, right: &Term<'a>) -> Result<bool, Fault<'a>> {
        self.charge(1)?;
        match (left, right) {
            (Term::Number(a), Term::Number(b)) => Ok(a == b),
            (Term::Bool(a), Term::Bool(b)) => Ok(a == b),
            (Term::Text(a), Term::Text(b)) => {
                self.charge(a.len().min(b.len()) / BYTES_PER_STEP)?;
                Ok(a == b)
            }
            (Term::List(a), Term::List(b)) if a.len() == b.len() => {
                for (a, b) in a.iter().zip(b.iter()) {
                    if !self.equal(a, b)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    fn is_in(&mut self, [of, within]: &'a [Node; 2]) -> Result<bool, Fault<'a>> {
        let of = self.term(of)?;
        if let Node::List(nodes) = within {
            // A list that is written out need not be made.
            for node in nodes {
                let element = self.term(node)?;
                if self.equal(&of, &element)? {
                    return Ok(true);
                }
            }
            return Ok(false);
        }
        let Term::List(elements) = self.term(within)? else {
            return Err(Fault::Type("`in` takes a list or `item`"));
        };
        for element in elements.iter() {
            if self.equal(&of, element)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// CEL's rule: what decides outweighs faults on either side of it.
    fn logic(&mut self, stops_at: bool, nodes: &'a [Node]) -> Result<bool, Fault<'a>> {
        let mut result = Ok(!stops_at);
        for node in nodes {
            match self.term(node).and_then(|term| term.truth()) {
                Ok(truth) if truth == stops_at => return Ok(stops_at),
                Ok(_) => {}
                Err(Fault::TooLong) => return Err(Fault::TooLong),
                Err(fault) => result = result.and(Err(fault)),
            }
        }
        result
    }

    fn call(&mut self, function: Function, nodes: &'a [Node]) -> Result<Term<'a>, Fault<'a>> {
        let one;
        let several: Vec<Term<'a>>;
        let terms: &[Term<'a>] = match nodes {
            [node] => {
                one = [self.term(node)?];
                &one
            }
            _ => {
                several = nodes.iter().map(|node| self.term(node)).collect::<Result<_, _>>()?;
                &several
            }
        };
        for term in terms {
            match term {
                Term::Text(text) => self.charge(text.len() / BYTES_PER_STEP)?,
                Term::List(elements) => self.charge(elements.len() / 4)?,
                _ => {}
            }
        }
        function::call(function, terms)
    }

    fn run(&mut self, l: &'a Loop) -> Result<Term<'a>, Fault<'a>> {
        let begin = self.term(&l.begin)?;
        let Term::List(elements) = self.term(&l.over)? else {
            return Err(Fault::Type("only lists have all, exists, exists_one, map and filter"));
        };
        let gathered = self.locals.len();
        self.locals.push(begin);
        for element in elements.iter() {
            if !self.term(&l.goes_on)?.truth()? {
                break;
            }
            self.locals.push(element.clone());
            let next = self.term(&l.step);
            self.locals.truncate(gathered + 1);
            // A fault of one element of `all` or `exists` ends it, unlike in CEL: there is no term to go on with.
            self.locals[gathered] = next?;
        }
        self.term(&l.result)
    }
}

fn list<'a>(elements: Vec<Term<'a>>) -> Result<Term<'a>, Fault<'a>> {
    if elements.len() > ELEMENTS_MAX { Err(Fault::TooLong) } else { Ok(Term::List(Rc::new(elements))) }
}

//! The tree of a compiled expression.

use super::function::Function;

/// A compiled expression.
#[derive(Debug)]
pub(super) enum Node {
    Number(f64),
    Bool(bool),
    Text(Box<str>),
    /// Place among the signals.
    Signal(usize),
    DefaultReward,
    /// Place among the variables of comprehensions, outermost first.
    Local(usize),
    /// A field of the item, by name.
    Field(Box<Node>),
    /// Whether the item has the field.
    Has(Box<Node>),
    /// An element of a list.
    Index(Box<[Node; 2]>),
    List(Vec<Node>),
    /// From left to right.
    Arithmetic(Box<Node>, Vec<(Arithmetic, Node)>),
    Compare(Compare, Box<[Node; 2]>),
    In(Box<[Node; 2]>),
    /// `&&` (stops at false) or `||` (stops at true).
    Logic(bool, Vec<Node>),
    Not(Box<Node>),
    Negate(Box<Node>),
    Choose(Box<[Node; 3]>),
    Call(Function, Vec<Node>),
    /// A fault counts as true.
    NotFalse(Box<Node>),
    Loop(Box<Loop>),
    /// Appends to the list in a local and leaves the list.
    Append(usize, Box<Node>),
}

impl Node {
    /// What it is made of.
    pub(super) fn parts(&self) -> Vec<&Node> {
        match self {
            Node::Number(_)
            | Node::Bool(_)
            | Node::Text(_)
            | Node::Signal(_)
            | Node::DefaultReward
            | Node::Local(_) => {
                vec![]
            }
            Node::Field(of) | Node::Has(of) | Node::Not(of) | Node::Negate(of) | Node::NotFalse(of) => vec![of],
            Node::Append(_, of) => vec![of],
            Node::Index(pair) | Node::In(pair) | Node::Compare(_, pair) => pair.iter().collect(),
            Node::List(nodes) | Node::Logic(_, nodes) | Node::Call(_, nodes) => nodes.iter().collect(),
            Node::Arithmetic(first, rest) => {
                std::iter::once(&**first).chain(rest.iter().map(|(_, node)| node)).collect()
            }
            Node::Choose(nodes) => nodes.iter().collect(),
            Node::Loop(l) => vec![&l.over, &l.begin, &l.goes_on, &l.step, &l.result],
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compare {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// A comprehension: `all`, `exists`, `exists_one`, `map`, `filter`. The first local is what is gathered, the second the element.
#[derive(Debug)]
pub(super) struct Loop {
    pub over: Node,
    pub begin: Node,
    pub goes_on: Node,
    pub step: Node,
    pub result: Node,
}

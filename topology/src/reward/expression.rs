//! From the text of an expression to the tree that is evaluated.
//!
//! The crate `cel` parses it, with its limits and its messages; the tree is ours, because rewards need what its interpreter does
//! not give: one kind of number, no dependence on the order of a hash map, a bound on steps and memory, and no allocation.

use super::RewardError;
use super::function::{self, Function};
use super::nearest;
use super::scan::{self, BYTES_MAX, NESTING_MAX, OPERATORS_MAX, TooMuch};
use super::tree::{Arithmetic, Compare, Node};
use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, SelectExpr, SourceInfo, operators};
use cel::parser::Parser;

/// Compiles `source` over signals of these names, in the order of their places.
pub(super) fn compile(source: &str, signals: &[&str]) -> Result<Node, RewardError> {
    let size = source.len();
    if source.trim().is_empty() {
        return Err(error("empty".into(), "CEL over the signals, for example `clicked - 0.5 * abandoned`"));
    }
    if size > BYTES_MAX {
        return Err(error(format!("{size} bytes long"), format!("up to {BYTES_MAX} bytes")));
    }
    scan::scan(source).map_err(|much| match much {
        TooMuch::Nesting(byte) => {
            error(format!("nested too deep {}", at(source, byte)), format!("brackets {NESTING_MAX} deep"))
        }
        TooMuch::Operators(byte) => {
            error(format!("too long a chain {}", at(source, byte)), format!("up to {OPERATORS_MAX} operators"))
        }
    })?;
    let (expression, places) = Parser::new().parse_with_source_info(source).map_err(|errors| syntax(&errors))?;
    let mut lowering = Lowering { source, places: &places, signals, locals: vec![], depth: 0 };
    let node = lowering.node(&expression)?;
    match is_text_or_list(&node) {
        true => Err(error("a text or a list".into(), "an expression that gives a number or a truth value")),
        false => Ok(node),
    }
}

fn error(found: String, allowed: impl Into<String>) -> RewardError {
    RewardError { key: "expression".into(), found, allowed: allowed.into() }
}

fn at(source: &str, byte: usize) -> String {
    let (line, column) = scan::place(source, byte);
    format!("at line {line}, column {column}")
}

/// The parser's first message, on one line.
fn syntax(errors: &cel::ParseErrors) -> RewardError {
    let Some(first) = errors.errors.iter().find(|e| e.pos.0 > 0).or(errors.errors.first()) else {
        return error("not an expression".into(), "CEL");
    };
    let message: String = first.msg.lines().next().unwrap_or_default().chars().take(200).collect();
    let message = message.trim_start_matches("Syntax error: ");
    let (line, column) = (first.pos.0.max(1), first.pos.1.max(1));
    error(format!("not CEL at line {line}, column {column}: {message}"), "a CEL expression")
}

/// Whether some outcome of it is written as a text or a list.
fn is_text_or_list(node: &Node) -> bool {
    match node {
        Node::Text(_) | Node::List(_) | Node::Append(..) => true,
        Node::Choose(nodes) => nodes[1..].iter().any(is_text_or_list),
        Node::Loop(l) => matches!(l.begin, Node::List(_)),
        _ => false,
    }
}

pub(super) struct Lowering<'a> {
    source: &'a str,
    places: &'a SourceInfo,
    signals: &'a [&'a str],
    /// Variables of the comprehensions around, outermost first.
    pub(super) locals: Vec<&'a str>,
    depth: usize,
}

impl<'a> Lowering<'a> {
    pub(super) fn error(&self, of: &IdedExpr, found: impl Into<String>, allowed: impl Into<String>) -> RewardError {
        let byte = self.places.offset_for(of.id).map_or(0, |(start, _)| start as usize);
        error(format!("{} {}", found.into(), at(self.source, byte)), allowed)
    }

    pub(super) fn node(&mut self, expression: &'a IdedExpr) -> Result<Node, RewardError> {
        self.depth += 1;
        if self.depth > NESTING_MAX {
            return Err(self.error(expression, "nested too deep", format!("operators {NESTING_MAX} deep")));
        }
        let node = match &expression.expr {
            Expr::Literal(literal) => self.literal(expression, literal),
            Expr::Ident(name) => self.variable(expression, name),
            Expr::Select(select) => self.select(expression, select),
            Expr::Call(call) => self.call(expression, call),
            Expr::List(list) => self.nodes(&list.elements).map(Node::List),
            Expr::Comprehension(comprehension) => self.comprehension(comprehension),
            Expr::Map(_) | Expr::Struct(_) => {
                Err(self.error(expression, "a map", "numbers, truth values, texts, lists"))
            }
            Expr::Unspecified => Err(self.error(expression, "incomplete", "a CEL expression")),
        };
        self.depth -= 1;
        node
    }

    fn nodes(&mut self, expressions: &'a [IdedExpr]) -> Result<Vec<Node>, RewardError> {
        expressions.iter().map(|expression| self.node(expression)).collect()
    }

    /// All numbers are doubles, however they are written: `clicked * 2` is a number, and `7 / 2` is 3.5.
    fn literal(&self, expression: &IdedExpr, literal: &LiteralValue) -> Result<Node, RewardError> {
        match literal {
            LiteralValue::Double(x) => Ok(Node::Number(*x.inner())),
            LiteralValue::Int(x) => Ok(Node::Number(*x.inner() as f64)),
            LiteralValue::UInt(x) => Ok(Node::Number(*x.inner() as f64)),
            LiteralValue::Boolean(b) => Ok(Node::Bool(*b.inner())),
            LiteralValue::String(text) => Ok(Node::Text(text.inner().into())),
            LiteralValue::Null => {
                Err(self.error(expression, "`null`", "`has(item.NAME)` tells whether there is a field"))
            }
            LiteralValue::Bytes(_) => Err(self.error(expression, "bytes", "numbers, truth values, texts, lists")),
        }
    }

    fn variable(&self, expression: &IdedExpr, name: &str) -> Result<Node, RewardError> {
        if let Some(place) = self.locals.iter().rposition(|local| *local == name) {
            return Ok(Node::Local(place));
        }
        if let Some(place) = self.signals.iter().position(|signal| *signal == name) {
            return Ok(Node::Signal(place));
        }
        match name {
            "default_reward" => Ok(Node::DefaultReward),
            "item" => Err(self.error(expression, "`item` by itself", "a field of it: `item.NAME`")),
            _ => {
                let known: Vec<&str> = self.known_variables().collect();
                let found = format!("unknown variable `{name}`");
                Err(self.error(expression, found, nearest::listed(name, &known)))
            }
        }
    }

    fn known_variables(&self) -> impl Iterator<Item = &'a str> {
        let locals = self.locals.iter().filter(|name| !name.starts_with('@'));
        self.signals.iter().chain(locals).copied().chain(["item", "default_reward"])
    }

    pub(super) fn is_item(&self, expression: &IdedExpr) -> bool {
        matches!(&expression.expr, Expr::Ident(name) if name == "item" && !self.locals.contains(&"item"))
    }

    fn select(&mut self, expression: &'a IdedExpr, select: &'a SelectExpr) -> Result<Node, RewardError> {
        if !self.is_item(&select.operand) {
            self.node(&select.operand)?;
            let found = format!("field `{}` of what has no fields", select.field);
            return Err(self.error(expression, found, "`item.NAME`: only `item` has fields"));
        }
        let name = Box::new(Node::Text(select.field.as_str().into()));
        Ok(if select.test { Node::Has(name) } else { Node::Field(name) })
    }

    fn call(&mut self, expression: &'a IdedExpr, call: &'a CallExpr) -> Result<Node, RewardError> {
        if let Some(target) = &call.target {
            return self.method(expression, target, call);
        }
        match (call.func_name.as_str(), call.args.as_slice()) {
            (operators::CONDITIONAL, [condition, yes, no]) => {
                Ok(Node::Choose(Box::new([self.node(condition)?, self.node(yes)?, self.node(no)?])))
            }
            (operators::LOGICAL_AND, terms) => self.logic(false, terms),
            (operators::LOGICAL_OR, terms) => self.logic(true, terms),
            (operators::LOGICAL_NOT, [of]) => self.node(of).map(Box::new).map(Node::Not),
            (operators::NEGATE, [of]) => self.node(of).map(Box::new).map(Node::Negate),
            (operators::NOT_STRICTLY_FALSE, [of]) => self.node(of).map(Box::new).map(Node::NotFalse),
            (operators::INDEX, [of, name]) if self.is_item(of) => self.node(name).map(Box::new).map(Node::Field),
            (operators::INDEX, [of, place]) => Ok(Node::Index(self.pair(of, place)?)),
            (operators::IN, [name, of]) if self.is_item(of) => self.node(name).map(Box::new).map(Node::Has),
            (operators::IN, [of, within]) => Ok(Node::In(self.pair(of, within)?)),
            (name, [left, right]) if arithmetic(name).is_some() => self.arithmetic(expression, left, right),
            (name, [left, right]) => match compare(name) {
                Some(compare) => Ok(Node::Compare(compare, self.pair(left, right)?)),
                None => self.function(expression, name, false, &call.args),
            },
            (name, arguments) => self.function(expression, name, false, arguments),
        }
    }

    fn pair(&mut self, left: &'a IdedExpr, right: &'a IdedExpr) -> Result<Box<[Node; 2]>, RewardError> {
        Ok(Box::new([self.node(left)?, self.node(right)?]))
    }

    /// The parser balances chains of one operator; they are one list again.
    fn logic(&mut self, stops_at: bool, terms: &'a [IdedExpr]) -> Result<Node, RewardError> {
        let mut nodes = vec![];
        for term in terms {
            match self.node(term)? {
                Node::Logic(same, inner) if same == stops_at => nodes.extend(inner),
                node => nodes.push(node),
            }
        }
        Ok(Node::Logic(stops_at, nodes))
    }

    /// A chain `a + b - c * d …` leans left: it is walked, not recursed into, so its length is no nesting.
    fn arithmetic(
        &mut self,
        expression: &'a IdedExpr,
        left: &'a IdedExpr,
        right: &'a IdedExpr,
    ) -> Result<Node, RewardError> {
        let mut chain = vec![(expression, right)];
        let mut first = left;
        while let Expr::Call(call) = &first.expr
            && let (None, [left, right]) = (&call.target, call.args.as_slice())
            && arithmetic(&call.func_name).is_some()
        {
            chain.push((first, right));
            first = left;
        }
        let first = self.node(first)?;
        let mut rest = Vec::with_capacity(chain.len());
        for (of, right) in chain.into_iter().rev() {
            let Expr::Call(call) = &of.expr else { continue };
            if let Some(operator) = arithmetic(&call.func_name) {
                rest.push((operator, self.node(right)?));
            }
        }
        Ok(Node::Arithmetic(Box::new(first), rest))
    }

    fn method(
        &mut self,
        expression: &'a IdedExpr,
        target: &'a IdedExpr,
        call: &'a CallExpr,
    ) -> Result<Node, RewardError> {
        if let Expr::Ident(name) = &target.expr
            && name == "math"
        {
            return self.function(expression, &format!("math.{}", call.func_name), false, &call.args);
        }
        let name = &call.func_name;
        let function = self.find(expression, name, true, call.args.len() + 1)?;
        let mut nodes = vec![self.node(target)?];
        nodes.extend(self.nodes(&call.args)?);
        Ok(Node::Call(function, nodes))
    }

    fn function(
        &mut self,
        expression: &'a IdedExpr,
        name: &str,
        is_method: bool,
        arguments: &'a [IdedExpr],
    ) -> Result<Node, RewardError> {
        let function = self.find(expression, name, is_method, arguments.len())?;
        Ok(Node::Call(function, self.nodes(arguments)?))
    }

    fn find(&self, expression: &IdedExpr, name: &str, is_method: bool, count: usize) -> Result<Function, RewardError> {
        let dot = if is_method { "." } else { "" };
        function::find(name, is_method, count).map_err(|counts| match counts {
            None => {
                let mut known: Vec<&str> = function::names(is_method).collect();
                known.extend(if is_method { &["all", "exists", "exists_one", "filter", "map"][..] } else { &["has"] });
                let found = format!("unknown function `{dot}{name}`");
                self.error(expression, found, nearest::listed(name, &known))
            }
            Some((least, most)) => {
                let (own, count) = (usize::from(is_method), count - usize::from(is_method));
                let found = format!("`{dot}{name}` with {count} arguments");
                self.error(expression, found, format!("{} to {}", least - own, most - own))
            }
        })
    }
}

fn arithmetic(name: &str) -> Option<Arithmetic> {
    match name {
        operators::ADD => Some(Arithmetic::Add),
        operators::SUBSTRACT => Some(Arithmetic::Subtract),
        operators::MULTIPLY => Some(Arithmetic::Multiply),
        operators::DIVIDE => Some(Arithmetic::Divide),
        operators::MODULO => Some(Arithmetic::Remainder),
        _ => None,
    }
}

fn compare(name: &str) -> Option<Compare> {
    match name {
        operators::EQUALS => Some(Compare::Equal),
        operators::NOT_EQUALS => Some(Compare::NotEqual),
        operators::LESS => Some(Compare::Less),
        operators::LESS_EQUALS => Some(Compare::LessOrEqual),
        operators::GREATER => Some(Compare::Greater),
        operators::GREATER_EQUALS => Some(Compare::GreaterOrEqual),
        _ => None,
    }
}

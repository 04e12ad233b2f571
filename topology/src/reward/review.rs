//! What a new spec may not say, though one that a log has may: it compiles, and can never mean what is written.

use super::function::Function;
use super::tree::{Compare, Node};
use super::{Reward, RewardError};
use crate::record::is_event_type;

/// Types of rows that are something else.
const NO_EVENTS: [&str; 2] = ["decision", "item"];

/// What a node gives, as far as its form tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Number,
    Truth,
    Text,
    List,
}

impl Shape {
    fn name(self) -> &'static str {
        match self {
            Shape::Number => "a number",
            Shape::Truth => "a truth value",
            Shape::Text => "a text",
            Shape::List => "a list",
        }
    }
}

impl Reward {
    /// Refuses event types that no event can have, and comparisons of what can never be equal.
    ///
    /// ```
    /// use saccade_topology::reward::{Reward, RewardSpec};
    ///
    /// let spec = r#"{"version": 1, "expression": "clicked == true ? 1 : 0", "signals": {"clicked": {"fold": "any", "on": ["click"]}}}"#;
    /// let error = Reward::compile(&RewardSpec::from_json(spec)?)?.review().unwrap_err();
    /// assert_eq!(error.found, "`clicked` (a number) compared with a truth value: they are never equal");
    /// # Ok::<(), saccade_topology::reward::RewardError>(())
    /// ```
    pub fn review(&self) -> Result<(), RewardError> {
        for (name, signal) in &self.spec.signals {
            let kinds = signal.on.iter().flatten();
            let is_event = |kind: &str| is_event_type(kind.as_bytes()) && !NO_EVENTS.contains(&kind);
            if let Some(kind) = kinds.into_iter().find(|kind| !is_event(kind)) {
                return Err(RewardError {
                    key: format!("signals.{name}.on"),
                    found: format!("{kind:?}, which no event can be called"),
                    allowed: "event types: 1 to 64 of a-z, 0-9 and _, first a letter".into(),
                });
            }
        }
        self.review_node(&self.expression)
    }

    fn review_node(&self, node: &Node) -> Result<(), RewardError> {
        match node {
            Node::Compare(Compare::Equal | Compare::NotEqual, pair) => self.compared(&pair[0], &pair[1])?,
            Node::In(pair) => {
                if let Node::List(elements) = &pair[1] {
                    elements.iter().try_for_each(|element| self.compared(&pair[0], element))?;
                }
            }
            _ => {}
        }
        node.parts().into_iter().try_for_each(|part| self.review_node(part))
    }

    fn compared(&self, left: &Node, right: &Node) -> Result<(), RewardError> {
        match (shape(left), shape(right)) {
            (Some(one), Some(other)) if one != other => {
                let found =
                    format!("{} compared with {}: they are never equal", self.what(left, one), self.what(right, other));
                let allowed = "what is compared is of one type; signals are numbers: `clicked > 0`".into();
                Err(RewardError { key: "expression".into(), found, allowed })
            }
            _ => Ok(()),
        }
    }

    fn what(&self, node: &Node, shape: Shape) -> String {
        let signal = match node {
            Node::Signal(place) => self.spec.signals.keys().nth(*place),
            _ => None,
        };
        signal.map_or(shape.name().to_string(), |name| format!("`{name}` ({})", shape.name()))
    }
}

fn shape(node: &Node) -> Option<Shape> {
    Some(match node {
        Node::Number(_) | Node::Signal(_) | Node::DefaultReward | Node::Negate(_) => Shape::Number,
        Node::Bool(_) | Node::Has(_) | Node::Compare(..) | Node::In(_) | Node::Logic(..) | Node::Not(_) => Shape::Truth,
        Node::NotFalse(_) => Shape::Truth,
        Node::Text(_) => Shape::Text,
        Node::List(_) | Node::Append(..) => Shape::List,
        Node::Call(Function::StartsWith | Function::EndsWith | Function::Contains, _) => Shape::Truth,
        Node::Call(..) => Shape::Number,
        // Of lists, too.
        Node::Arithmetic(_, rest) if rest.iter().any(|(_, node)| shape(node) == Some(Shape::Number)) => Shape::Number,
        Node::Choose(nodes) => return shape(&nodes[1]).filter(|one| shape(&nodes[2]) == Some(*one)),
        Node::Local(_) | Node::Field(_) | Node::Index(_) | Node::Loop(_) | Node::Arithmetic(..) => return None,
    })
}

//! What the fold says while one decision is followed.

use saccade_topology::decision::Decision;
use saccade_topology::model::DecisionEnd;
use saccade_topology::{ContextRef, DecisionView, Kind, SessionEnd, Sink};

/// Looks for the context the decision was made from, and for its end.
pub(super) struct Watch<'a> {
    decision: &'a Decision<'a>,
    /// Sessions that the record being folded published at the version.
    published: Vec<(String, Vec<f32>)>,
    pub vector: Option<Vec<f32>>,
    over: Option<(DecisionEnd, DecisionView)>,
}

impl<'a> Watch<'a> {
    pub(super) fn new(decision: &'a Decision<'a>) -> Self {
        Watch { decision, published: vec![], vector: None, over: None }
    }

    /// After each record: where the decision ended with it.
    pub(super) fn take_over(&mut self) -> Option<(DecisionEnd, DecisionView)> {
        self.published.clear();
        self.over.take()
    }
}

impl Sink for Watch<'_> {
    fn takes_contexts(&self) -> bool {
        self.decision.context_version.is_some()
    }

    fn context(&mut self, c: &ContextRef<'_>) {
        if Some(c.version) != self.decision.context_version {
            return;
        }
        match c.kind {
            Kind::Session if self.decision.session.is_some() && c.session == self.decision.session => {
                self.vector = Some(c.vector.to_vec());
            }
            Kind::Session => self.published.extend(c.session.map(|session| (session.to_string(), c.vector.to_vec()))),
            // A session's own context goes before its viewer's.
            Kind::Viewer if c.viewer == self.decision.viewer && self.vector.is_none() => {
                let of_session = |(session, _): &&(String, Vec<f32>)| Some(session.as_str()) == c.session;
                self.vector = match c.vector.is_empty() {
                    true => self.published.iter().find(of_session).map(|(_, vector)| vector.clone()),
                    false => Some(c.vector.to_vec()),
                };
            }
            Kind::Viewer => {}
        }
    }

    fn ended(&mut self, _: &SessionEnd<'_>) {}

    fn decision_over(&mut self, id: &str, end: DecisionEnd, last: &dyn Fn() -> DecisionView) {
        if id == self.decision.id {
            self.over = Some((end, last()));
        }
    }

    fn removed(&mut self, _: Kind, _: u32, _: &str) {}
}

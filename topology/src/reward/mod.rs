//! Rewards: what was observed of a decision, and what it is worth.
//!
//! A [`RewardSpec`] is compiled to a [`Reward`]. Each pick of a decision has one [`Observed`] per spec that runs: signals, folded in
//! event-time order whatever the order of arrival, and explicit rewards. [`Observed::value`] is a pure function of the two.

mod check;
mod comprehension;
mod evaluate;
mod expression;
mod function;
mod nearest;
mod observed;
mod review;
mod scan;
mod spec;
mod tally;
mod term;
mod told;
mod tree;
mod waiting;
mod watched;

pub use observed::{Observed, PENDING_MAX};
pub use spec::{Aggregation, RewardSpec, SignalFold, SignalSpec};

use crate::learn::VALUE_MAX;
use crate::record::{Event, Fields, Value};
use check::SIGNALS_MAX;
use evaluate::Run;
use observed::Signal;
use std::collections::BTreeMap;
use term::{Fault, Term};
use tree::Node;

/// A compiled reward spec.
#[derive(Debug)]
pub struct Reward {
    spec: RewardSpec,
    expression: Node,
    /// In the order of their names, as in the spec.
    signals: Vec<Signal>,
    /// How many signals are of unique seconds.
    watched: usize,
    /// The fields of events that signals look at.
    inputs: Vec<Input>,
    /// The signals that look at events of any type: bits by place.
    any_kind: u32,
    /// The other signals, by event type.
    by_kind: BTreeMap<String, u32>,
}

/// A spec that cannot be used: which key, what was found, what is allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{key}` is {found}; allowed: {allowed}")]
pub struct RewardError {
    /// Key within the spec: `expression`, `signals.clicked.field`.
    pub key: String,
    /// What was found; for an expression with line and column.
    pub found: String,
    /// What is allowed.
    pub allowed: String,
}

/// What a pick is worth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Worth {
    /// The reward.
    pub reward: f64,
    /// The expression failed, or gave no number that can be learnt: this is the default reward.
    pub failed: bool,
}

/// A number of an event.
#[derive(Debug, PartialEq, Eq)]
enum Input {
    Value,
    Playhead,
    Duration,
    Position,
    Field(String),
}

impl Input {
    fn new(name: &str) -> Input {
        match name {
            "value" => Input::Value,
            "playhead_s" => Input::Playhead,
            "duration_s" => Input::Duration,
            "position" => Input::Position,
            _ => Input::Field(name.strip_prefix("fields.").unwrap_or(name).to_string()),
        }
    }

    /// None where the event does not have it, or it is not finite.
    fn of(&self, event: &Event<'_>) -> Option<f64> {
        let number = match self {
            Input::Value => event.value,
            Input::Playhead => event.playhead_s,
            Input::Duration => event.duration_s,
            Input::Position => event.position.map(f64::from),
            Input::Field(name) => match event.fields.get(name) {
                Some(Value::Number(x)) => Some(x),
                _ => None,
            },
        };
        number.filter(|x| x.is_finite())
    }
}

impl Reward {
    /// Compiles a spec, or says what is wrong with it.
    ///
    /// The expression is tried on a few assignments of the signals and an item without fields: one that gives a text, never
    /// gives a finite number, or fails each time for another reason than a field that the item lacks is refused. Takes some 30 µs,
    /// and up to a megabyte of stack where the expression is nested as deep as it may be.
    ///
    /// ```
    /// use saccade_topology::reward::{Reward, RewardSpec};
    ///
    /// let spec = r#"{"version": 1, "expression": "clickd * 2", "signals": {"clicked": {"fold": "any", "on": ["click"]}}}"#;
    /// let error = Reward::compile(&RewardSpec::from_json(spec)?).unwrap_err();
    /// assert_eq!(error.key, "expression");
    /// assert_eq!(error.found, "unknown variable `clickd` at line 1, column 1");
    /// assert_eq!(error.allowed, "clicked, item, default_reward; did you mean `clicked`?");
    /// # Ok::<(), saccade_topology::reward::RewardError>(())
    /// ```
    pub fn compile(spec: &RewardSpec) -> Result<Reward, RewardError> {
        check::check(spec)?;
        let names: Vec<&str> = spec.signals.keys().map(String::as_str).collect();
        let expression = expression::compile(&spec.expression, &names)?;
        let mut reward = Reward {
            spec: spec.clone(),
            expression,
            signals: vec![],
            watched: 0,
            inputs: vec![],
            any_kind: 0,
            by_kind: BTreeMap::new(),
        };
        for (i, signal) in spec.signals.values().enumerate() {
            reward.add_signal(1 << i, signal);
        }
        reward.try_out()?;
        Ok(reward)
    }

    fn add_signal(&mut self, bit: u32, signal: &SignalSpec) {
        match &signal.on {
            None => self.any_kind |= bit,
            Some(kinds) => kinds.iter().for_each(|kind| *self.by_kind.entry(kind.clone()).or_default() |= bit),
        }
        let is_watched = signal.fold == SignalFold::UniqueSeconds;
        let field = if is_watched { Some("playhead_s") } else { signal.field.as_deref() };
        let input = field.map(|name| {
            let input = Input::new(name);
            self.inputs.iter().position(|known| *known == input).unwrap_or_else(|| {
                self.inputs.push(input);
                self.inputs.len() - 1
            })
        });
        self.signals.push(Signal { fold: signal.fold, input, watched: is_watched.then_some(self.watched) });
        self.watched += usize::from(is_watched);
    }

    /// Evaluates the expression on samples.
    fn try_out(&self) -> Result<(), RewardError> {
        let error = |found: String, allowed: &str| {
            Err(RewardError { key: "expression".into(), found, allowed: allowed.into() })
        };
        let (mut failure, mut is_tried) = (None, false);
        for sample in [0.0, 1.0, 7.5, 1e6] {
            let signals = [sample; SIGNALS_MAX];
            let mut run = Run::new(&signals, self.spec.default_reward, Fields::default());
            match run.term(&self.expression) {
                Ok(Term::Text(_) | Term::List(_)) => {
                    return error("a text or a list".into(), "an expression that gives a number or a truth value");
                }
                Ok(Term::Number(x)) if !x.is_finite() => {
                    failure = failure.or(Some(format!("{x} whatever it is tried on")))
                }
                Ok(_) | Err(Fault::NoField(_)) => is_tried = true,
                Err(fault) => failure = failure.or(Some(format!("failing whatever it is tried on: {fault}"))),
            }
        }
        match failure {
            Some(found) if !is_tried => error(found, "an expression that gives a finite number or a truth value"),
            _ => Ok(()),
        }
    }

    /// The spec it was compiled from.
    pub fn spec(&self) -> &RewardSpec {
        &self.spec
    }

    /// Whether events of this type change a signal.
    pub fn takes(&self, kind: &str) -> bool {
        self.signals_of(kind) != 0
    }

    /// The event types that change a signal, sorted; none where any does.
    pub fn kinds(&self) -> Option<Vec<&str>> {
        (self.any_kind == 0).then(|| self.by_kind.keys().map(String::as_str).collect())
    }

    fn signals_of(&self, kind: &str) -> u32 {
        self.any_kind | self.by_kind.get(kind).copied().unwrap_or(0)
    }

    /// As [`Reward::inputs`], of an event at this time of a window counted from `since`, both ends of which are inside.
    fn signals_at(&self, since: i64, time: i64, event: &Event<'_>, numbers: &mut [f64; SIGNALS_MAX]) -> u32 {
        let (begin, end) = (since.saturating_add(self.spec.start_after.0), since.saturating_add(self.spec.wait.0));
        if (begin..=end).contains(&time) { self.inputs(event, numbers) } else { 0 }
    }

    /// Reads the inputs of an event, and says which signals it changes: those that look at its type and whose field it has.
    fn inputs(&self, event: &Event<'_>, numbers: &mut [f64; SIGNALS_MAX]) -> u32 {
        let signals = self.signals_of(event.kind);
        if signals == 0 {
            return 0;
        }
        let mut absent = 0u32;
        for (i, (input, number)) in self.inputs.iter().zip(numbers).enumerate() {
            match input.of(event) {
                Some(x) => *number = x,
                None => absent |= 1 << i,
            }
        }
        let is_there = |signal: &Signal| signal.input.is_none_or(|input| absent >> input & 1 == 0);
        let there = self.signals.iter().enumerate().filter(|(_, signal)| is_there(signal));
        there.fold(0, |bits, (i, _)| bits | 1 << i) & signals
    }

    /// The expression's number; none where it fails.
    fn evaluate(&self, signals: &[f64], fields: Fields<'_>) -> Option<f64> {
        match Run::new(signals, self.spec.default_reward, fields).term(&self.expression) {
            Ok(Term::Number(x)) => Some(x),
            Ok(Term::Bool(b)) => Some(f64::from(u8::from(b))),
            _ => None,
        }
    }

    /// Held within the clip; the default where there is none, or it is more than can be learnt.
    fn worth(&self, value: Option<f64>) -> Worth {
        let [least, greatest] = self.spec.clip.unwrap_or([f64::NEG_INFINITY, f64::INFINITY]);
        let clipped = value.filter(|x| x.is_finite()).map(|x| x.clamp(least, greatest));
        match clipped.filter(|x| x.abs() <= VALUE_MAX) {
            Some(reward) => Worth { reward, failed: false },
            None => Worth { reward: self.spec.default_reward, failed: true },
        }
    }
}

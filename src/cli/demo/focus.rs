//! The one session that is shown, and which slots of its vector have just changed.

use super::cast::{Cast, Role};
use crate::engine::{ContextKind, Engine};
use saccade_topology::Slot;
use std::time::{Duration, Instant};

/// How long a changed slot is marked.
const MARKED: Duration = Duration::from_millis(1500);
/// Figures of `playback` that are 1 while the player does so.
const STATES: [&str; 5] = ["playing", "paused", "seeking", "rebuffering", "ended"];

/// What is shown of a session.
#[derive(Clone, Default)]
pub(super) struct Focus {
    number: usize,
    pub role: Role,
    pub vector: Vec<f32>,
    pub version: u64,
    changed: Vec<Option<Instant>>,
}

impl Focus {
    /// Goes on to the next who can be watched.
    pub(super) fn next(&mut self, cast: &Cast) {
        self.number = cast.from(self.number + 1).map_or(0, |(number, _)| number);
    }

    /// Reads what is newest.
    pub(super) fn refresh(&mut self, engine: &Engine, cast: &Cast) {
        let Some((number, role)) = cast.from(self.number) else { return };
        if role.session != self.role.session {
            // A session that has not been heard of yet does not replace one that has.
            if engine.contexts().get(ContextKind::Session, &role.session).is_none() {
                return;
            }
            (self.vector, self.changed) = (vec![], vec![]);
        }
        (self.number, self.role) = (number, role);
        let Some(context) = engine.contexts().get(ContextKind::Session, &self.role.session) else { return };
        self.version = context.version;
        self.take(context.vector, Instant::now());
    }

    fn take(&mut self, vector: Vec<f32>, now: Instant) {
        self.changed.resize(vector.len(), None);
        if self.vector.len() == vector.len() {
            let changes = self.vector.iter().zip(&vector).map(|(old, new)| old != new);
            self.changed.iter_mut().zip(changes).filter(|(_, changed)| *changed).for_each(|(at, _)| *at = Some(now));
        }
        self.vector = vector;
    }

    /// True for a slot that changed a moment ago.
    pub(super) fn is_marked(&self, slot: usize) -> bool {
        self.changed.get(slot).is_some_and(|at| at.is_some_and(|at| at.elapsed() < MARKED))
    }

    /// Slots that say something: those that changed or are not as where nothing was seen. What the player does comes first.
    pub(super) fn telling(&self, slots: &[Slot]) -> Vec<usize> {
        let tells = |k: &usize| {
            let value = self.vector.get(*k).copied().unwrap_or(0.0);
            let changed = self.changed.get(*k).is_some_and(Option::is_some);
            changed || (value != slots[*k].absent as f32 && value != 0.0)
        };
        let mut telling: Vec<usize> = (0..slots.len()).filter(tells).collect();
        telling.sort_by_key(|k| slots[*k].kind != "playback");
        telling
    }

    /// The play state, in words: from the vector where it holds it, else what the player reported.
    pub(super) fn state(&self, slots: &[Slot]) -> &'static str {
        let is_on = |state: &&&str| {
            let mut figures = slots.iter().zip(&self.vector).filter(|(slot, _)| slot.kind == "playback");
            figures.any(|(slot, value)| slot.name.rsplit('.').next() == Some(**state) && *value == 1.0)
        };
        match STATES.iter().find(is_on) {
            Some(state) => state,
            None => self.role.state,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use saccade_topology::Plan;

    const PLAN: &str = "
        [[features]]
        name = \"events\"
        type = \"count\"
        [[features]]
        name = \"playback\"
        type = \"playback\"
        outputs = [\"playing\", \"paused\"]";

    fn slots() -> Vec<Slot> {
        let config = Config::parse(PLAN, "test.toml".as_ref()).expect("the plan is valid");
        Plan::compile(&config.spec()).expect("the plan compiles").slots().to_vec()
    }

    #[test]
    fn a_slot_is_marked_when_it_changes_and_not_for_its_first_value() {
        let (mut focus, now) = (Focus::default(), Instant::now());
        focus.take(vec![1.0, 1.0, 0.0], now);
        assert_eq!([0, 1, 2].map(|k| focus.is_marked(k)), [false, false, false]);
        focus.take(vec![2.0, 1.0, 0.0], now);
        assert_eq!([0, 1, 2].map(|k| focus.is_marked(k)), [true, false, false]);
    }

    #[test]
    fn the_vector_says_what_the_player_does_and_else_the_player() {
        let slots = slots();
        let mut focus = Focus { role: Role { state: "starting", ..Role::default() }, ..Focus::default() };
        for (vector, state) in
            [([3.0, 0.0, 1.0], "paused"), ([4.0, 1.0, 0.0], "playing"), ([5.0, 0.0, 0.0], "starting")]
        {
            focus.take(vector.to_vec(), Instant::now());
            assert_eq!(focus.state(&slots), state);
        }
    }

    #[test]
    fn what_the_player_does_comes_first_and_silent_slots_are_left_out() {
        let mut focus = Focus::default();
        focus.take(vec![3.0, 0.0, 1.0], Instant::now());
        assert_eq!(focus.telling(&slots()), [2, 0]);
    }
}

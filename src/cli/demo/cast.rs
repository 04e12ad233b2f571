//! Who can be watched: the recorded players and a few of the simulated viewers, the session each is in and what they do.

use std::sync::Mutex;

/// Simulated viewers that can be watched.
pub(super) const VIEWERS_MAX: usize = 6;

/// One who can be watched.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Role {
    /// Player software, or that it is simulated.
    pub who: String,
    /// The session it is in; empty before its first.
    pub session: String,
    /// Play state that it last reported, in words.
    pub state: &'static str,
    /// What the person last did, where that was recorded.
    pub did: String,
}

/// All of them, players first.
#[derive(Default)]
pub(super) struct Cast {
    roles: Mutex<Vec<Role>>,
}

impl Cast {
    fn with<T>(&self, change: impl FnOnce(&mut Vec<Role>) -> T) -> T {
        change(&mut self.roles.lock().expect("nothing panics while it holds the cast"))
    }

    fn change(&self, number: usize, change: impl FnOnce(&mut Role)) {
        self.with(|roles| {
            if roles.len() <= number {
                roles.resize_with(number + 1, Role::default);
            }
            change(&mut roles[number]);
        });
    }

    /// `number` is in `session`; what is known of an earlier one is forgotten.
    pub(super) fn enters(&self, number: usize, who: &str, session: &str) {
        self.change(number, |role| {
            if role.session != session {
                *role = Role { who: who.into(), session: session.into(), state: "", did: String::new() };
            }
        });
    }

    /// `number` reported this play state.
    pub(super) fn reported(&self, number: usize, state: &'static str) {
        self.change(number, |role| role.state = state);
    }

    /// The person at player `number` did this.
    pub(super) fn did(&self, number: usize, what: &str) {
        self.change(number, |role| role.did = what.into());
    }

    /// Role `number`, or the next after it that has a session.
    pub(super) fn from(&self, number: usize) -> Option<(usize, Role)> {
        self.with(|roles| {
            let count = roles.len().max(1);
            let order = (0..count).map(|k| (number + k) % count);
            order.filter_map(|k| roles.get(k).map(|role| (k, role.clone()))).find(|(_, role)| !role.session.is_empty())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_in_turn_is_the_next_who_has_a_session() {
        let cast = Cast::default();
        assert_eq!(cast.from(0), None);
        cast.enters(1, "hls.js", "a");
        cast.enters(3, "simulated", "b");
        let numbers: Vec<_> = (0..5).map(|n| cast.from(n).map(|(number, _)| number)).collect();
        assert_eq!(numbers, [Some(1), Some(1), Some(3), Some(3), Some(1)]);
    }

    #[test]
    fn a_new_session_forgets_the_last_one() {
        let cast = Cast::default();
        cast.enters(0, "hls.js", "a");
        cast.did(0, "pressed pause");
        cast.reported(0, "paused");
        cast.enters(0, "hls.js", "a");
        assert_eq!(cast.from(0).map(|(_, role)| role.state), Some("paused"));
        cast.enters(0, "hls.js", "b");
        assert_eq!(cast.from(0).map(|(_, role)| (role.state, role.did)), Some(("", String::new())));
    }
}

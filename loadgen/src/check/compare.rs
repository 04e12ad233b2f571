//! After the run: the contexts of the sampled viewers as the server gives them, bit for bit beside those of the fold here.

use super::Shared;
use super::context::Context;
use super::fold::{Contexts, Expected, Folder};
use super::state::State;
use super::stream::encoded;
use crate::http::Connection;
use saccade::counted::{counted, either};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

const TOLD_TO_END: &str = "the run was told to end before all contexts were compared";

/// What the comparison showed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compared {
    /// Why nothing could be compared, or not all.
    pub not_compared: Option<String>,
    /// Viewers whose events were folded here.
    pub viewers: u64,
    /// Events that were folded.
    pub events: u64,
    /// Contexts that are the same, bit for bit.
    pub same: u64,
    /// Contexts that are not, or that are missing.
    pub different: u64,
    /// The first of them.
    pub first_difference: Option<String>,
    /// Sessions that have ended on the server, which forgets their contexts.
    pub ended: u64,
    /// Viewers left out, by reason.
    pub left_out: BTreeMap<String, u64>,
}

impl Compared {
    /// Nothing could be compared.
    pub fn not(why: String) -> Compared {
        Compared { not_compared: Some(why), ..Compared::default() }
    }

    /// Contexts that were.
    pub fn compared(&self) -> u64 {
        self.same + self.different
    }

    /// Why nothing was compared, or not all; none where all was.
    pub fn why_not(&self) -> Option<String> {
        let left_out = || self.left_out.iter().max_by_key(|(_, n)| **n).map(|(why, _)| format!("left out: {why}"));
        let nothing = || match self.ended {
            0 => left_out().unwrap_or("nothing of the sampled viewers was acknowledged".into()),
            n => format!("{} had ended on the server, which forgets their contexts", counted(n, "session")),
        };
        self.not_compared.clone().or_else(|| (self.compared() == 0).then(nothing))
    }

    /// The same as a sentence.
    pub fn not_all(&self) -> Option<String> {
        let what = if self.compared() > 0 { "not all vectors were compared" } else { "vectors were not compared" };
        self.why_not().map(|why| format!("{what}: {why}"))
    }

    /// Contexts that differ, where that can be said: of a part that is the same nobody knows what the rest is.
    pub fn mismatches(&self) -> Option<u64> {
        (self.different > 0 || self.why_not().is_none()).then_some(self.different)
    }

    fn differs(&mut self, session: &str, how: &str) {
        self.different += 1;
        self.first_difference.get_or_insert_with(|| format!("session {session}: {how}"));
    }
}

/// Folds what was accepted and asks for every context of it.
pub async fn compare(shared: &Shared, folder: &Folder, slots: &[String]) -> Compared {
    let mut compared = Compared::default();
    let expected = {
        let state = shared.state.borrow();
        count_viewers(&state, &mut compared);
        let viewers = state.viewers.iter().filter(|viewer| viewer.left_out.is_none());
        folder.fold(viewers.flat_map(|viewer| viewer.events.values()).map(|kept| (&*kept.text, kept.sent_ms)))
    };
    let expected = match expected {
        Ok(expected) => expected,
        Err(why) => return Compared::not(why),
    };
    if let Some(why) = compare_each(shared, folder, slots, &expected, &mut compared).await {
        let (asked, all) = (compared.compared() + compared.ended, expected.len());
        compared.not_compared = Some(match asked {
            0 => why,
            _ => format!("only {asked} of {} {}: {why}", counted(all as u64, "context"), either(asked, "was", "were")),
        });
    }
    compared
}

/// Asks for one context after the other; why it ended before all were there, where it did.
async fn compare_each(
    shared: &Shared,
    folder: &Folder,
    slots: &[String],
    expected: &Contexts,
    compared: &mut Compared,
) -> Option<String> {
    let mut connection = Connection::new(shared.target.clone());
    for (session, expected) in expected {
        let path = format!("/v1/context/session/{}", encoded(session));
        if shared.has_given_up() {
            return Some(TOLD_TO_END.into());
        }
        match tokio::time::timeout(shared.at_most(shared.timeout), connection.get(&path)).await {
            Ok(Ok((200, body))) => match serde_json::from_slice::<Context>(&body) {
                Ok(context) => match difference(expected, &context, slots) {
                    None => compared.same += 1,
                    Some(how) => compared.differs(session, &how),
                },
                Err(e) => compared.differs(session, &format!("its context cannot be read: {e}")),
            },
            Ok(Ok((404, _))) if may_have_ended(expected, folder) => compared.ended += 1,
            Ok(Ok((status, _))) => compared.differs(session, &format!("GET {path} was answered {status}")),
            Ok(Err(e)) => return Some(format!("GET {path}: {e}")),
            Err(_) if shared.has_given_up() => return Some(TOLD_TO_END.into()),
            Err(_) => return Some(format!("GET {path} was not answered within --timeout")),
        }
    }
    None
}

fn count_viewers(state: &State, compared: &mut Compared) {
    for viewer in &state.viewers {
        match viewer.left_out {
            Some(why) => *compared.left_out.entry(why.into()).or_insert(0) += 1,
            None => {
                compared.viewers += 1;
                compared.events += viewer.events.len() as u64;
            }
        }
    }
}

/// What is not the same, in words.
fn difference(expected: &Expected, context: &Context, slots: &[String]) -> Option<String> {
    if expected.vector.len() != context.vector.len() {
        let slots = counted(context.vector.len() as u64, "slot");
        return Some(format!("the vector has {slots}, expected {}", expected.vector.len()));
    }
    let slot = expected.vector.iter().zip(&context.vector).position(|(a, b)| a.to_bits() != b.to_bits());
    if let Some(slot) = slot {
        let name = slots.get(slot).map_or("?", String::as_str);
        let (served, folded) = (context.vector[slot], expected.vector[slot]);
        return Some(format!("slot {slot} ({name}) is {served}, the fold of what was acknowledged says {folded}"));
    }
    let (event_time, folded) = (context.event_time, expected.event_time);
    (event_time != folded).then(|| format!("its event time is {event_time}, the fold says {folded}"))
}

fn may_have_ended(expected: &Expected, folder: &Folder) -> bool {
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_millis() as i64);
    now_ms.saturating_sub(expected.event_time) > folder.session_gap_ms()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_are_the_same_only_bit_for_bit() {
        let expected = Expected { event_time: 1_000, vector: vec![1.0, 0.1] };
        let names = ["events".to_owned(), "recent".to_owned()];
        let difference = |event_time, vector: &[f32]| {
            difference(&expected, &Context { version: 1, event_time, vector: vector.into() }, &names)
        };
        assert_eq!(difference(1_000, &[1.0, 0.1]), None);
        let last_bit = difference(1_000, &[1.0, 0.1f32.next_up()]);
        assert!(last_bit.expect("one bit differs").starts_with("slot 1 (recent) is 0.10000001"));
        assert!(difference(1_001, &[1.0, 0.1]).expect("another time").contains("1001"));
        assert!(difference(1_000, &[1.0]).is_some());
    }
}

//! What the demo says at its end: what was sent and what became of it, how fast, and where to go on.

use super::cast::Role;
use super::earnings::Learning;
use super::ledger::Tally;
use super::pulse::{Latencies, Pulse};
use super::words::{count, ms, value};
use crate::counted::{counted, either};
use serde::Serialize;
use std::path::PathBuf;

/// Slots of the session's table.
const SLOTS_MAX: usize = 24;

/// The result of a run.
#[derive(Serialize)]
pub(super) struct Summary {
    pub address: String,
    pub seconds: f64,
    pub events_per_second: f64,
    pub events: Events,
    /// True if every event that was sent ended in one bucket, and every decision in the server's books.
    pub accounted: bool,
    /// What decisions were worth.
    pub learning: Option<Learning>,
    /// Arrival → published.
    pub latency: Latencies,
    pub sessions_alive: usize,
    pub sessions_ended: u64,
    pub viewers: usize,
    pub session: Option<Session>,
    pub data: PathBuf,
    /// Configuration that the data was made with.
    pub config: PathBuf,
}

/// Where to look later.
pub(super) struct Place {
    pub data: PathBuf,
    pub config: PathBuf,
}

/// Events by who sent them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Events {
    pub recorded_players: Tally,
    pub simulated_viewers: Tally,
}

impl Events {
    /// `players` as the server counted them, of `sent` records; others than the demo may have sent some, too.
    pub(super) fn new(sent: u64, players: Tally, simulated_viewers: Tally) -> Events {
        let mut rest = sent;
        let mut of = |counted: u64| {
            let ours = counted.min(rest);
            rest -= ours;
            ours
        };
        // Most records of visitors are accepted: what is too much is taken off there.
        let (duplicates, late) = (of(players.duplicates), of(players.late));
        let (rejected, accepted) = (of(players.rejected), of(players.accepted));
        let recorded_players = Tally { sent, accepted, duplicates, late, rejected };
        Events { recorded_players, simulated_viewers }
    }

    pub(super) fn all(&self) -> Tally {
        self.recorded_players.and(self.simulated_viewers)
    }

    /// Every event is in one bucket.
    pub(super) fn accounted(&self) -> bool {
        [self.recorded_players, self.simulated_viewers].iter().all(|t| t.sent == t.settled())
    }
}

/// The session that was shown last.
#[derive(Serialize)]
pub(super) struct Session {
    pub id: String,
    pub who: String,
    pub state: &'static str,
    pub version: u64,
    /// Slots that say something.
    pub features: serde_json::Map<String, serde_json::Value>,
}

impl Session {
    pub(super) fn new(role: &Role, state: &'static str, version: u64, features: Vec<(&str, f32)>) -> Session {
        let features = features.into_iter().map(|(name, value)| (name.to_string(), value.into())).collect();
        Session { id: role.session.clone(), who: role.who.clone(), state, version, features }
    }
}

impl Summary {
    pub(super) fn new(address: String, pulse: &Pulse, events: Events, place: Place) -> Summary {
        let seconds = pulse.elapsed.as_secs_f64();
        Summary {
            address,
            seconds,
            events_per_second: pulse.events.sent as f64 / seconds.max(0.001),
            events,
            accounted: events.accounted(),
            learning: None,
            latency: pulse.overall,
            sessions_alive: pulse.sessions,
            sessions_ended: pulse.closed,
            viewers: pulse.viewers,
            session: None,
            data: place.data,
            config: place.config,
        }
    }

    /// What was learnt belongs to the account, too.
    pub(super) fn take_learning(&mut self, learning: Option<Learning>) {
        self.accounted &= learning.as_ref().is_none_or(Learning::adds_up);
        self.learning = learning;
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let mut out =
            format!("\n{:.1} s on http://{}, {:.0} events/s\n\n", self.seconds, self.address, self.events_per_second);
        out +=
            &format!("{:<18}{:>10}{:>10}{:>12}{:>8}{:>10}\n", "", "sent", "accepted", "duplicates", "late", "rejected");
        let rows = [
            ("recorded players", self.events.recorded_players),
            ("simulated viewers", self.events.simulated_viewers),
            ("together", self.events.all()),
        ];
        for (name, t) in rows {
            let [sent, accepted, duplicates, late, rejected] =
                [t.sent, t.accepted, t.duplicates, t.late, t.rejected].map(count);
            out += &format!("{name:<18}{sent:>10}{accepted:>10}{duplicates:>12}{late:>8}{rejected:>10}\n");
        }
        let unaccounted = self.events.recorded_players.unaccounted() + self.events.simulated_viewers.unaccounted();
        out += &match self.events.accounted() {
            true => "every event sent is accounted for\n".to_string(),
            false => format!("NOT ACCOUNTED FOR: {} without an answer\n", counted(unaccounted, "event")),
        };
        let l = &self.latency;
        out += &format!("\n{:<18}{:>10}{:>10}{:>12}{:>10}\n", "", "p50", "p99", "p99.9", "max");
        let [p50, p99, p999, max] = [l.p50_us, l.p99_us, l.p999_us, l.max_us].map(ms);
        out += &format!("{:<18}{p50:>10}{p99:>10}{p999:>12}{max:>10}\n", "arrival→published");
        let living = [self.sessions_alive as u64, self.sessions_ended, self.viewers as u64];
        let [alive, ended, viewers] = living.map(count);
        let sessions = either(living[0], "session", "sessions");
        let of = either(living[2], "viewer", "viewers");
        out += &format!("\n{alive} {sessions} alive, {ended} ended, {viewers} {of}\n");
        out += &self.session.as_ref().map(Session::text).unwrap_or_default();
        out += &self.learning.as_ref().map(Learning::text).unwrap_or_default();
        out + &self.onward()
    }

    fn onward(&self) -> String {
        let (data, config) = (self.data.display(), self.config.display());
        let mut out = format!("\ndata in {data}; it stays there. Look into it with\n");
        if let Some(session) = &self.session {
            out += &format!("  saccade inspect session {} --data {data} --config {config}\n", session.id);
        }
        out + &format!("  saccade export --data {data} --config {config}\n")
    }
}

impl Session {
    fn text(&self) -> String {
        let state = if self.state.is_empty() { String::new() } else { format!(", {}", self.state) };
        let mut out = format!("\nsession {} ({}{state}), version {}\n", self.id, self.who, self.version);
        let shown: Vec<String> = self
            .features
            .iter()
            .take(SLOTS_MAX)
            .map(|(name, v)| format!("{name:<26}{:>9}", value(v.as_f64().unwrap_or(0.0) as f32)))
            .collect();
        for pair in shown.chunks(2) {
            out += &format!("  {}\n", pair.join("    "));
        }
        let left_out = self.features.len().saturating_sub(SLOTS_MAX);
        if left_out > 0 {
            out += &format!("  and {left_out} more\n");
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(sent: u64, accepted: u64, duplicates: u64) -> Tally {
        Tally { sent, accepted, duplicates, late: 0, rejected: 0 }
    }

    #[test]
    fn the_account_is_closed_only_when_every_event_is_in_a_bucket() {
        let table = [
            (10, tally(10, 8, 2), tally(5, 5, 0), true),
            (10, tally(9, 8, 1), tally(5, 5, 0), false),
            (10, tally(10, 8, 2), tally(5, 4, 0), false),
            // An answer that claims more than was sent is wrong, too.
            (10, tally(10, 8, 2), tally(5, 6, 0), false),
            // Somebody else sent 3 more records.
            (10, tally(13, 11, 2), tally(5, 5, 0), true),
        ];
        for (sent, players, viewers, expected) in table {
            let events = Events::new(sent, players, viewers);
            assert_eq!(events.accounted(), expected, "{events:?}");
        }
    }

    #[test]
    fn the_summary_says_what_is_missing() {
        let events = Events::new(10, tally(7, 7, 0), tally(5, 5, 0));
        let place = Place { data: "d".into(), config: "c".into() };
        let summary = Summary::new("127.0.0.1:1".into(), &Pulse::default(), events, place);
        assert!(summary.text().contains("NOT ACCOUNTED FOR: 3 events"), "{}", summary.text());
    }
}

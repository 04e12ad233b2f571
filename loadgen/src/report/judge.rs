//! The verdict of a run: objectives, what failed, and whether the generator itself was the reason.

use super::{Report, Verdict};
use crate::check::Checked;
use crate::observe::Observed;
use crate::slo::{Judged, Objective, Values};
use crate::tally::Counts;
use saccade::counted::either;
use std::collections::BTreeMap;
use std::time::Duration;

/// A request that the generator began later than this is late.
pub(super) const LAG_MAX: Duration = Duration::from_millis(1);
/// More than one late request in so many, and more than a few, and the generator was too slow for the numbers to mean anything.
const LATE_ONE_IN: u64 = 100;
const LATE_FEW: u64 = 3;

/// Below this share of the time in which it had nothing to do, the generator could not keep up, wherever that shows.
const IDLE_MIN: f64 = 0.01;

/// More duplicates than this of what was acknowledged, beyond those sent twice on purpose, are events that somebody else sends, too.
const DUPLICATES_ONE_IN: u64 = 1_000;

/// Whether contexts and vectors are of others' events as well: then they say nothing of what this run sent.
pub(super) fn is_sent_by_others(counts: &Counts, repeated: u64) -> bool {
    let acknowledged = counts.accepted + counts.duplicates + counts.late;
    counts.duplicates.saturating_sub(repeated) * DUPLICATES_ONE_IN > acknowledged
}

impl Report {
    /// Latencies less the generator's own lateness: what the server cannot be blamed for.
    pub(super) fn without_lag(&self, mut values: Values) -> Values {
        let lag = BTreeMap::from(self.lag.named());
        for (name, value) in &mut values {
            let late = name.split_once('_').and_then(|(_, percentile)| lag.get(percentile));
            value.value -= late.map_or(0.0, |late| late.value);
        }
        values
    }

    /// What became of an objective; why, where nothing was measured.
    pub(super) fn judged(&self, objective: &Objective, values: &Values) -> Judged {
        let judged = objective.judge(values);
        let why_not = judged.measured.is_none().then(|| self.why_not(&judged.metric));
        Judged { why_not, ..judged }
    }

    /// Why there is no value of a metric, in words.
    pub(super) fn why_not(&self, metric: &str) -> String {
        let figure = metric.split_once('_').map_or(metric, |(figure, _)| figure);
        match (figure, &self.checked) {
            ("publish" | "unpublished" | "backwards" | "mismatches", None) => {
                "no sessions were followed, see --probes".into()
            }
            ("mismatches", Some(checked)) => checked.vectors.why_not().unwrap_or_default(),
            ("publish" | "unpublished", Some(Checked { uncounted: Some(why), .. })) => why.clone(),
            ("publish", Some(checked)) if checked.contexts == 0 => checked.no_context(),
            ("publish", Some(_)) => {
                format!("no event was sent{} while the stream of its session was open", self.measured_from())
            }
            ("intended" | "service", _) => format!("no request was acknowledged{}", self.measured_from()),
            ("rank" | "reward" | "cmcd", _) => {
                format!("no such call was answered{}, see --profile", self.measured_from())
            }
            ("server", _) => self.untimed().unwrap_or("the server's /metrics did not say".into()),
            ("throughput", _) => "the run was over before it began".into(),
            _ => format!("nothing was sent{}", self.measured_from()),
        }
    }

    /// A failure of the server is told even when the generator fell behind: a lost event is lost either way. What the generator did not
    /// send, and an objective that would be held without its own lateness (`holds_without_lag`), says nothing about the server.
    pub(super) fn judge(&self, holds_without_lag: bool) -> Verdict {
        let c = &self.counts;
        let accounted = c.accepted + c.duplicates + c.late + c.rejected_total() + c.lost;
        assert_eq!(accounted, self.asked.events, "every scheduled event ends in exactly one bucket");
        let mut failures = self.failures_of_counts();
        failures.extend(self.observed.as_ref().and_then(Observed::failure));
        failures.extend(self.checked.iter().flat_map(Checked::failures));
        failures.extend(self.failure_to_follow());
        failures.extend(self.failure_of_the_server());
        failures.extend(self.beside.failures());
        failures.extend(self.unrecorded.iter().map(|why| format!("the record (--record) is not whole: {why}")));
        let unsent = (c.unsent > 0).then(|| {
            format!(
                "{} never sent: all connections were busy and the queue before them full, or the run was over",
                events_were(c.unsent)
            )
        });
        let missed: Vec<&str> = self.objectives.iter().filter(|o| !o.held).map(|o| o.objective.as_str()).collect();
        let missed = (!missed.is_empty()).then(|| format!("missed {}", missed.join(", ")));
        let late = self.lateness();
        let is_of_unsent = c.unsent > 0 && !self.is_missed_by_far();
        let is_excused = failures.is_empty() && late.is_some() && (is_of_unsent || holds_without_lag);
        failures.extend(unsent.into_iter().chain(missed));
        let interrupted = self.interrupted_s.map(|at| format!("interrupted after {at:.1} s"));
        if !failures.is_empty() && !is_excused {
            return Verdict::Failed(failures.into_iter().chain(late).chain(interrupted).collect::<Vec<_>>().join("; "));
        }
        let nothing = (self.asked.events == 0 && self.beside.calls.values().all(|counted| counted.sent == 0))
            .then(|| "nothing was sent: the run is shorter than it takes until the first request is due".to_owned());
        let why: Vec<String> = late.into_iter().chain(failures).chain(interrupted).chain(nothing).collect();
        if why.is_empty() { Verdict::Ok } else { Verdict::Invalid(why.join("; ")) }
    }

    /// Whether what was sent missed an objective by more than the generator's lateness explains: by twice the bound and its longest.
    fn is_missed_by_far(&self) -> bool {
        let of_sent = |judged: &&Judged| ["service_", "publish_"].iter().any(|of| judged.metric.starts_with(of));
        let by_far = |judged: &Judged| {
            judged.measured.zip(judged.bound).is_some_and(|(ms, bound)| ms > 2.0 * bound + self.lag.max_ms)
        };
        self.objectives.iter().filter(of_sent).any(|judged| !judged.held && by_far(judged))
    }

    /// How the generator itself was too slow, if it was.
    pub(super) fn lateness(&self) -> Option<String> {
        let (late, of) = (self.lag_late, self.lag.count);
        let what = if late > LATE_FEW && late * LATE_ONE_IN > of {
            let ms = LAG_MAX.as_millis();
            format!(
                "{late} of {of} requests were begun more than {ms} ms late, p99 {:.3} ms; allowed 1 in {LATE_ONE_IN}",
                self.lag.p99_ms
            )
        } else if self.idle < IDLE_MIN {
            format!("it had nothing to do for {:.1} % of the time, wanted {:.0} %", self.idle * 100.0, IDLE_MIN * 100.0)
        } else {
            return None;
        };
        Some(format!("generator fell behind ({what}); lower --rate or give it a processor of its own"))
    }

    fn failures_of_counts(&self) -> Vec<String> {
        let c = &self.counts;
        let first = |first: &Option<String>| first.clone().unwrap_or_default();
        let mut failures = vec![];
        if c.lost > c.unsent {
            let lost = events_were(c.lost - c.unsent);
            failures.push(format!("{lost} not acknowledged; first: {}", first(&c.first_lost)));
        }
        if c.rejected_total() > 0 {
            let rejected = events_were(c.rejected_total());
            failures.push(format!("{rejected} rejected; first: {}", first(&c.first_rejected)));
        }
        if c.duplicates > self.asked.repeated {
            failures.push(format!(
                "{} called {}, but {} sent twice; if this server has seen --seed {} before, give another",
                events_were(c.duplicates),
                either(c.duplicates, "a duplicate", "duplicates"),
                self.asked.repeated,
                self.asked.seed
            ));
        }
        failures
    }

    /// Followers that saw nothing measured nothing, and would not have seen what was wrong.
    fn failure_to_follow(&self) -> Option<String> {
        let checked = self.checked.as_ref().filter(|checked| self.counts.accepted > 0 && checked.sessions > 0)?;
        (checked.contexts == 0).then(|| checked.no_context())
    }

    /// What was acknowledged has to be in the server's own counts; others may have sent more.
    fn failure_of_the_server(&self) -> Option<String> {
        let (server, acknowledged) = (self.server.as_ref()?, self.counts.accepted);
        let lacks = |counted: Option<u64>, what: &str| {
            let counted = counted.filter(|counted| *counted < acknowledged)?;
            let were = events_were(acknowledged);
            Some(format!("{were} acknowledged as accepted, but the server {what} only {counted}"))
        };
        lacks(server.accepted, "folded").or_else(|| lacks(server.contexts, "published contexts for"))
    }
}

/// The beginning of what happened to so many events.
fn events_were(n: u64) -> String {
    format!("{n} {}", either(n, "event was", "events were"))
}

#[cfg(test)]
mod tests {
    use super::super::Run;
    use super::super::tests::run;
    use super::*;
    use crate::check::{Compared, Findings};
    use crate::slo::objective;
    use crate::tally::{Tally, histogram};

    #[test]
    fn what_no_context_tells_is_neither_wrong_nor_passed() {
        let judged = |text: &str| {
            let mut tally = Tally::default();
            tally.counts.accepted = 10;
            let uncounted = Some("there is no count".to_owned());
            let checked = Checked { sessions: 4, contexts: 9, uncounted, ..Checked::default() };
            let findings = Findings { checked, publish: histogram(), by_second: BTreeMap::new(), refused: None };
            let objectives: Vec<_> = text.split(',').map(|text| objective(text).expect(text)).collect();
            Report::new(Run { findings: Some(findings), ..run(10, tally) }, &objectives).to_string()
        };
        let text = judged("backwards=0");
        assert!(text.contains("\nok, but not all was checked: "), "{text}");
        assert_eq!(text.matches("publish was not measured: there is no count").count(), 2, "{text}");
        assert!(!text.contains("in none") && !text.contains("(publish)"), "{text}");
        let text = judged("unpublished=0,publish_p99<1s");
        assert_eq!(text.matches("(not measured: there is no count)").count(), 2, "{text}");
    }

    #[test]
    fn where_others_send_the_same_events_nothing_is_checked_and_that_is_said() {
        let checked = |duplicates, repeated| {
            let mut tally = Tally::default();
            (tally.counts.accepted, tally.counts.duplicates) = (10_000 - duplicates, duplicates);
            let first_difference = Some("session s: slot 1".to_owned());
            let vectors = Compared { different: 1, first_difference, ..Compared::default() };
            let checked = Checked { sessions: 4, contexts: 9, unpublished: 5, vectors, ..Checked::default() };
            let mut publish = histogram();
            publish.saturating_record(10_000_000_000);
            let findings = Findings { checked, publish, by_second: BTreeMap::new(), refused: None };
            let run = run(10_000, tally);
            let asked = super::super::Asked { repeated, ..run.asked };
            Report::new(Run { findings: Some(findings), asked, ..run }, &[])
        };
        let of_others = checked(38, 0);
        let Verdict::Failed(why) = of_others.verdict() else { panic!("{of_others}") };
        assert!(why.starts_with("38 events were called duplicates") && why.contains("--seed 1"), "{why}");
        assert!(!why.contains("in no context") && !why.contains("not the fold"), "{why}");
        let text = of_others.to_string();
        assert!(
            text.contains("vectors were not compared: others send the same events") && !text.contains("10000.0"),
            "{text}"
        );
        assert!(checked(38, 35).to_string().contains("5 accepted events were in no context"), "sent twice on purpose");
        assert!(checked(10, 0).to_string().contains("1 context is not the fold"));
    }

    #[test]
    fn seconds_without_an_accepted_event_are_seconds_of_the_run() {
        let mut report = super::super::tests::stalled();
        report.checked = Some(Checked { sessions: 4, contexts: 9, ..Checked::default() });
        report.seconds[0].publish = report.seconds[0].intended;
        (report.seconds[2].accepted, report.seconds[2].lost) = (0, 1_000);
        let told = "publish was measured in 1 of 3 seconds; in 1 nothing was accepted";
        assert!(report.to_string().contains(told) && report.to_html().contains(told), "{report}");
    }
}

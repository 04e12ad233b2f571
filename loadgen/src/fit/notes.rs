//! What a fitted profile says of itself: what it rests on, and what of the log is not in it.

use super::Fit;
use super::estimate::{DAY_S, LATE_DOUBTED, LEAST};
use super::order::LATE_MS;
use super::rate::Found;
use super::tempo::Tempo;
use crate::population::Kind;
use crate::schedule::Shape;
use hdrhistogram::Histogram;
use saccade::counted::{counted, either};

impl Fit {
    /// Sentences without their stop, once the course is finished.
    pub(super) fn notes(&self, seconds: f64, viewers: u64, found: Option<&Found>, tempo: &Tempo) -> Vec<String> {
        let course = &self.course;
        let follows = !tempo.hurries() && found.is_some_and(|found| found.shape != Shape::Constant);
        let s = |lengths: &Histogram<u64>, q| lengths.value_at_quantile(q) as f64 / 1e3;
        let (sessions, events) = (&course.habits.session_length, &course.habits.session_events);
        let known: u64 = Kind::ALL.iter().filter_map(|kind| self.kinds.get(kind.name())).sum();
        let mut notes = self.doubts();
        notes.extend([
            format!(
                "{}, {} not readable, {} over {seconds:.0} s",
                counted(self.lines, "line"),
                self.unreadable,
                counted(self.order.events, "event")
            ),
            format!("about {}; {} seen to the end", counted(viewers, "viewer"), counted(sessions.len(), "session")),
        ]);
        if !sessions.is_empty() {
            notes.push(format!(
                "a session lasts {:.0} s (median; p90 {:.0} s) and has {} (median; p90 {})",
                s(sessions, 0.5),
                s(sessions, 0.9),
                counted(events.value_at_quantile(0.5), "event"),
                events.value_at_quantile(0.9)
            ));
        }
        let (cmcd, of_events) = (self.order.cmcd, self.order.events - self.order.cmcd);
        if cmcd > 0 {
            notes.push(format!(
                "{cmcd} of the events are CMCD records: they count for the rate and for cmcd.share, and for nothing else"
            ));
        }
        if known < of_events {
            let others = of_events - known;
            let are = either(others, "event is of a type", "events are of types");
            notes.push(format!("{others} {are} that viewers here do not have"));
        }
        let crowd = &course.crowd;
        if crowd.hot_acts() > 0 {
            notes.push(format!(
                "one viewer has {:.1} % of the events, which is viewers.hot_share; nothing else here rests on them",
                crowd.hot_acts() as f64 / crowd.acts.max(1) as f64 * 100.0
            ));
        }
        notes.push(self.told_of_bots());
        notes.extend(told_of_rate(found, tempo, seconds));
        notes.extend(self.left_out(seconds, follows));
        if self.is_export {
            notes.push(
                "duplicates never get to a server's log: disorder.duplicates and retries are as in steady_evening"
                    .into(),
            );
        }
        notes
    }

    /// Why the profile, or a part of it, is not to be relied on.
    fn doubts(&self) -> Vec<String> {
        let order = &self.order;
        let percent = |n: u64| order.share(n) * 100.0;
        let mut doubts = Vec::new();
        let seconds = (order.latest() - order.first()).max(1) as f64 / 1000.0;
        let rate = (order.events + order.duplicates + self.calls) as f64 / seconds;
        if rate < 0.95 {
            doubts.push(format!(
                "the log has {rate:.3} events/s, and load.rate is no less than 1: a run is {:.1} times as busy",
                1.0 / rate
            ));
        }
        if order.share(order.late.len()) > LATE_DOUBTED {
            doubts.push(format!(
                "WARNING: {:.1} % of the events are later than {} s, so it is not known when they came, and rate, lengths, disorder and clocks are \
                 wrong here; a log that was imported from events has no times of arrival, and one clock that is ahead makes all after it late: \
                 fit the events themselves",
                percent(order.late.len()),
                LATE_MS / 1000
            ));
        }
        if order.ahead > 0 {
            doubts.push(format!(
                "{} ({:.2} %) {} dated ahead of arrival, not saying when sent: such clocks are not in clocks.wrong",
                counted(order.ahead, "event"),
                percent(order.ahead),
                either(order.ahead, "is", "are")
            ));
        }
        doubts
    }

    /// What the profile does not have of the log.
    fn left_out(&self, seconds: f64, follows: bool) -> Vec<String> {
        let course = &self.course;
        let mut left_out = vec![
            "not fitted, but as in steady_evening: tastes and rewards, batches, connections, arrivals, and duration where the shape is constant"
                .into(),
            format!(
                "no pause or absence longer than the {seconds:.0} s of the log can have been seen: pause_length ends with the longest that was over"
            ),
            format!(
                "{} and {} not over at the end; pause_tail takes the pauses into account",
                counted(course.habits.unfinished_pause.len(), "pause"),
                counted(course.habits.unfinished_aways.len(), "absence")
            ),
        ];
        left_out.push(match seconds < DAY_S {
            true => "countries and absences are those of the hours of the log, which is shorter than a day: day.swing = 0 leaves them as they are".into(),
            false if follows => "day.evening is as in steady_evening".into(),
            false => "day.swing and evening are as in steady_evening".into(),
        });
        if let Some((model, asked)) = self.most_asked() {
            left_out.push(match course.visits >= LEAST {
                true => format!(
                    "rank.share rests on {} of {model:?} over {} that began within the log",
                    counted(asked.counted, "decision"),
                    counted(course.visits, "visit")
                ),
                false => {
                    format!("rank.share is not fitted: only {} began within the log", counted(course.visits, "visit"))
                }
            });
        }
        left_out
    }

    fn told_of_bots(&self) -> String {
        let (crowd, bots) = (&self.course.crowd, &self.course.crowd.bots);
        if bots.viewers == 0 {
            return "no bots: nobody acts on and on at short regular steps without ever watching; programs that pause or watch are taken for people".into();
        }
        format!(
            "{} of the viewers followed are bots: they act on and on, every {:.0} ms, and watch nothing; they have {:.1} % of the events, and bots.share \
             is what it takes for that, beside people who are away for as long as in this profile; what they look at is left out from when they are \
             known, and programs that pause or watch are taken for people",
            bots.viewers,
            bots.step_ms(),
            bots.acts as f64 / crowd.acts.max(1) as f64 * 100.0
        )
    }
}

/// What the rate did, and what a run makes of it.
fn told_of_rate(found: Option<&Found>, tempo: &Tempo, seconds: f64) -> Vec<String> {
    let Some(Found { shape, every, duration, low, high }) = found else {
        return vec!["how the rate changed cannot be told from so few events or times, load.shape is constant".into()];
    };
    if *shape == Shape::Constant {
        return vec![format!(
            "the rate, in levels of {every}, changed by no more than chance or 3 %: load.shape is constant"
        )];
    }
    let mut told = vec![
        format!(
            "the rate was {low:.1} to {high:.1} events/s, load.shape has its course in levels of {every}; what is shorter is not in it"
        ),
        if tempo.hurries() {
            "load.shape alone says how much is sent; day.swing says who is there then, and makes it no more; reports of players are closer together \
             where the rate is high, as a load generator makes them: the same viewers act faster then, and progress and pauses are as at the mean rate"
                .into()
        } else {
            "where the rate is high, more viewers are there, whose time passes like the clock's (viewers.follow_rate): they come and go with the rate at \
             once, in the middle of what they do, not one by one; day.swing = 0, as the shape has the day: countries do not change over it"
                .into()
        },
    ];
    told.push(match duration.seconds() < seconds - every.seconds() {
        true => format!(
            "a run lasts {duration} at most, and has so much of the log's course; with a smaller `every` in load.shape, and day.length made smaller as \
             well, it hurries through all of it"
        ),
        false => format!("a run lasts as long as the log, {duration}; with --duration it has the beginning of the course"),
    });
    told
}

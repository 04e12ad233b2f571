//! Whether a viewer is a program: acts on and on at short regular steps, and never watches.
//!
//! It takes a while to tell. Until then, what a viewer does while browsing is kept apart, so that nothing that a program did while
//! browsing counts for people.

use crate::population::Kind;

/// Acts without a silence between them after which it can be told. Of people who browse as in the default profile, one in 350,000 neither
/// plays anything nor leaves for so long.
const ACTS: u64 = 100;
/// Longest mean step of a program, milliseconds. People take longer.
const STEP_MS_MAX: u64 = 1_000;
/// Largest mean square of its steps, in squares of their mean: 1 where all are alike, 2 where they are exponential. Of people whose pages
/// report all they show at once it is far more.
const SQUARES_MAX: u64 = 4;

/// How a viewer acts.
#[derive(Clone, Copy, Default)]
pub(super) struct Pace {
    /// Since the last silence, or since it was looked at last: steps, their sum and that of their squares, milliseconds.
    run: [u64; 3],
    /// Steps of the runs that were as those of a program, and their sum.
    steps: u64,
    ms: u64,
    has_watched: bool,
}

impl Pace {
    /// Takes an act, and the time since the one before; none where there is none, or was a silence.
    pub(super) fn take(&mut self, kind: Kind, step_ms: Option<u64>) {
        self.has_watched |= kind.is_of_player();
        let Some(step) = step_ms else {
            self.run = [0; 3];
            return;
        };
        self.run = [self.run[0] + 1, self.run[1] + step, self.run[2] + step * step];
        let [steps, ms, squares] = self.run;
        if steps < ACTS {
            return;
        }
        // Run by run, so that one that has a gap, as where the network was gone, hides no other.
        self.run = [0; 3];
        if ms <= STEP_MS_MAX * steps && squares * steps <= SQUARES_MAX * ms * ms {
            (self.steps, self.ms) = (self.steps + steps, self.ms + ms);
        }
    }

    /// True where it is a program, as far as can be told by now.
    pub(super) fn is_bot(&self) -> bool {
        self.steps > 0 && !self.has_watched
    }

    /// True where it cannot be one any more.
    pub(super) fn is_person(&self) -> bool {
        self.has_watched
    }
}

/// What followed while browsing.
#[derive(Clone, Copy, Default)]
pub(super) struct Browsed {
    /// By kind, of those that are not of the player.
    acts: [u64; 6],
    step_ms: u64,
    pub(super) leaves: u64,
}

impl Browsed {
    pub(super) fn take(&mut self, kind: Kind, step_ms: u64) {
        self.acts[kind as usize] += 1;
        self.step_ms += step_ms;
    }

    pub(super) fn add(&mut self, other: Browsed) {
        self.acts.iter_mut().zip(other.acts).for_each(|(acts, more)| *acts += more);
        self.step_ms += other.step_ms;
        self.leaves += other.leaves;
    }

    /// How often this followed.
    pub(super) fn acts(&self, kind: Kind) -> u64 {
        self.acts[kind as usize]
    }

    /// How often anything did.
    pub(super) fn steps(&self) -> u64 {
        self.acts.iter().sum()
    }

    /// Mean time until it did, milliseconds.
    pub(super) fn step_ms(&self) -> f64 {
        self.step_ms as f64 / self.steps().max(1) as f64
    }
}

/// All who were followed, at the end of the log.
#[derive(Clone, Copy, Default)]
pub(super) struct Crowd {
    /// Events of the two viewers with most, and of all.
    first: (u64, Pace),
    second: u64,
    /// Of the two with most of those who are no programs.
    people: [u64; 2],
    pub(super) acts: u64,
    pub(super) bots: Bots,
}

/// Those that are programs.
#[derive(Clone, Copy, Default)]
pub(super) struct Bots {
    pub(super) viewers: u64,
    pub(super) acts: u64,
    steps: u64,
    ms: u64,
}

impl Bots {
    /// Mean time between two of their acts, milliseconds.
    pub(super) fn step_ms(&self) -> f64 {
        self.ms as f64 / self.steps.max(1) as f64
    }

    fn without(self, pace: Pace, acts: u64) -> Bots {
        Bots {
            viewers: self.viewers - 1,
            acts: self.acts - acts,
            steps: self.steps - pace.steps,
            ms: self.ms - pace.ms,
        }
    }
}

/// A viewer is hot who has at least this share of the events, and this many times those of the next.
const HOT_LEAST: f64 = 0.01;
const HOT_TIMES: u64 = 5;

impl Crowd {
    pub(super) fn take(&mut self, acts: u64, pace: Pace) {
        self.acts += acts;
        self.second = self.second.max(acts.min(self.first.0));
        if acts > self.first.0 {
            self.first = (acts, pace);
        }
        if !pace.is_bot() {
            let [first, second] = self.people;
            self.people = [first.max(acts), second.max(acts.min(first))];
        }
        if pace.is_bot() {
            let bots = &mut self.bots;
            bots.viewers += 1;
            bots.acts += acts;
            bots.steps += pace.steps;
            bots.ms += pace.ms;
        }
    }

    /// The one viewer who does far more than the next, if there is one, is told of as such and not as a program.
    pub(super) fn hot_is_no_bot(&mut self) {
        if self.stands_out() && self.first.1.is_bot() {
            self.bots = self.bots.without(self.first.1, self.first.0);
        }
    }

    fn stands_out(&self) -> bool {
        is_hot(self.first.0, self.second, self.acts)
    }

    /// Events of that one, else of one who stands out of all but the programs; 0 where there is none.
    pub(super) fn hot_acts(&self) -> u64 {
        let [first, second] = self.people;
        match () {
            () if self.stands_out() => self.first.0,
            () if is_hot(first, second, self.acts - self.bots.acts) => first,
            () => 0,
        }
    }
}

fn is_hot(first: u64, second: u64, acts: u64) -> bool {
    first as f64 >= HOT_LEAST * acts as f64 && first > HOT_TIMES * second
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seeded::{Draws, Stream};

    fn pace(kind: impl Fn(u64) -> Kind, steps: impl Iterator<Item = Option<u64>>) -> Pace {
        let mut pace = Pace::default();
        steps.zip(0..).for_each(|(step, n)| pace.take(kind(n), step));
        pace
    }

    fn draws(mean_ms: f64) -> impl Iterator<Item = Option<u64>> {
        let mut draws = Draws::new(3, Stream::Step, 1);
        std::iter::repeat_with(move || Some(draws.exponential(mean_ms) as u64))
    }

    #[test]
    fn a_hot_viewer_stands_out_of_people_beside_a_program_with_more() {
        let bot = pace(|_| Kind::Impression, vec![Some(100); 200].into_iter());
        assert!(bot.is_bot());
        let mut crowd = Crowd::default();
        crowd.take(10_000, bot);
        crowd.take(4_600, Pace::default());
        (0..100).for_each(|_| crowd.take(280, Pace::default()));
        crowd.hot_is_no_bot();
        assert_eq!((crowd.hot_acts(), crowd.bots.viewers), (4_600, 1));
        // One that has far more than everybody is told of as hot.
        crowd.take(100_000, bot);
        crowd.hot_is_no_bot();
        assert_eq!((crowd.hot_acts(), crowd.bots.viewers), (100_000, 1));
    }

    #[test]
    fn a_program_acts_at_regular_short_steps_without_end() {
        let looks = |_| Kind::Impression;
        let gone = [Some(29_000)].into_iter().chain(draws(100.0).take(200)).collect();
        for (what, steps) in
            [("even", vec![Some(100); 100]), ("drawn", draws(100.0).take(200).collect()), ("gone once", gone)]
        {
            assert!(pace(looks, steps.into_iter()).is_bot(), "{what}");
        }
        let page = |n: u64| if n.is_multiple_of(20) { Some(9_000) } else { Some(0) };
        let visits = |n: u64| if n.is_multiple_of(90) { None } else { Some(100) };
        for (what, steps) in [
            ("too few", vec![Some(100); 99]),
            ("at leisure", draws(1_500.0).take(500).collect()),
            ("page by page", (0..2_000).map(page).collect()),
            ("visit by visit", (0..2_000).map(visits).collect()),
        ] {
            assert!(!pace(looks, steps.into_iter()).is_bot(), "{what}");
        }
        let watches = |n| if n == 300 { Kind::Play } else { Kind::Click };
        assert!(pace(watches, draws(100.0).take(300)).is_bot());
        assert!(!pace(watches, draws(100.0).take(301)).is_bot());
    }

    #[test]
    fn one_who_does_far_more_than_the_next_is_hot_and_no_bot() {
        let bot = pace(|_| Kind::Click, draws(10.0).take(1_000));
        let mut crowd = Crowd::default();
        (0..100).for_each(|_| crowd.take(100, bot));
        assert_eq!((crowd.hot_acts(), crowd.bots.viewers), (0, 100));
        crowd.take(10_000, bot);
        crowd.hot_is_no_bot();
        assert_eq!((crowd.hot_acts(), crowd.bots.viewers, crowd.bots.acts), (10_000, 100, 10_000));
    }
}

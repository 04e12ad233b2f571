//! What simulated viewers like, which no model is told: by genre, by device, by the hour where they are; and how it changes.
//!
//! A pure function. A viewer's device and hour are in the context, so it can be learnt; and as it is known here, so is what a
//! decision was worth, what any title would have been at random, and the best of them.

use super::random::Random;

/// A title of the row.
pub(super) struct Title {
    pub id: &'static str,
    pub name: &'static str,
    genre: usize,
    /// How much more it is liked than its genre.
    charm: f64,
}

pub(super) const GENRES: [&str; 4] = ["drama", "comedy", "sport", "kids"];
pub(super) const DEVICES: [&str; 3] = ["tv", "mobile", "web"];

const fn title(id: &'static str, name: &'static str, genre: usize, charm: f64) -> Title {
    Title { id, name, genre, charm }
}

/// The row that is ranked.
pub(super) const TITLES: [Title; 12] = [
    title("long-winter", "The Long Winter", 0, 0.04),
    title("harbour", "Harbour Street", 0, 0.0),
    title("second-letter", "The Second Letter", 0, -0.04),
    title("late-laughs", "Late Laughs", 1, 0.04),
    title("flat-share", "Flat Share", 1, 0.0),
    title("wrong-wedding", "Wrong Wedding", 1, -0.04),
    title("final-whistle", "Final Whistle", 2, 0.04),
    title("mountain-stage", "Mountain Stage", 2, 0.0),
    title("the-relay", "The Relay", 2, -0.04),
    title("otter-school", "Otter School", 3, 0.04),
    title("paper-boats", "Paper Boats", 3, 0.0),
    title("moon-bus", "Moon Bus", 3, -0.04),
];

impl Title {
    pub(super) fn genre(&self) -> &'static str {
        GENRES[self.genre]
    }
}

/// Probability of a click by device and genre.
const LIKED_ON: [[f64; 4]; 3] = [[0.50, 0.15, 0.10, 0.40], [0.10, 0.50, 0.40, 0.15], [0.40, 0.10, 0.50, 0.15]];
/// What the evening adds to it, by genre, and the morning takes from it.
const IN_THE_EVENING: [f64; 4] = [0.15, 0.10, -0.10, -0.15];
/// When the evening is at its height.
const EVENING: f64 = 20.0;
/// What becomes of a click, and of a title that is not clicked, in percent.
const PLAYED_PERCENT: u64 = 80;
const SENT_AWAY_PERCENT: u64 = 5;

/// Who looks at the row, and when.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Onlooker {
    /// Place in [`DEVICES`].
    pub device: usize,
    /// Of the day, where the viewer is.
    pub hour: f64,
    /// Tastes are those after the drift: what was liked for its drama is now liked for its sport, and comedy goes with kids.
    pub drifted: bool,
}

/// What a viewer does with what was put first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Played,
    Clicked,
    SentAway,
    Ignored,
}

impl Outcome {
    /// What it is worth under the default reward spec of the model `home`.
    pub(super) fn reward(self) -> f64 {
        match self {
            Outcome::Played => 1.0,
            Outcome::Clicked => 0.3,
            Outcome::SentAway => -0.5,
            Outcome::Ignored => 0.0,
        }
    }

    pub(super) fn in_words(self) -> &'static str {
        match self {
            Outcome::Played => "plays it",
            Outcome::Clicked => "clicks only",
            Outcome::SentAway => "sends it away",
            Outcome::Ignored => "ignores it",
        }
    }
}

impl Onlooker {
    /// Probability of a click.
    fn liking(&self, title: &Title) -> f64 {
        let genre = if self.drifted { [2, 3, 0, 1][title.genre] } else { title.genre };
        let evening = (std::f64::consts::TAU * (self.hour - EVENING) / 24.0).cos();
        (LIKED_ON[self.device][genre] + IN_THE_EVENING[genre] * evening + title.charm).clamp(0.01, 0.95)
    }

    /// Expected reward of a title.
    fn worth(&self, title: &Title) -> f64 {
        let (click, played, away) =
            (self.liking(title), PLAYED_PERCENT as f64 / 100.0, SENT_AWAY_PERCENT as f64 / 100.0);
        let clicked = played * Outcome::Played.reward() + (1.0 - played) * Outcome::Clicked.reward();
        click * clicked + (1.0 - click) * away * Outcome::SentAway.reward()
    }

    /// Expected reward of a title chosen at random, and of the best one.
    pub(super) fn bounds(&self) -> (f64, f64) {
        let worth = TITLES.iter().map(|title| self.worth(title));
        (worth.clone().sum::<f64>() / TITLES.len() as f64, worth.fold(f64::NEG_INFINITY, f64::max))
    }

    /// What the viewer does with this title.
    pub(super) fn looks_at(&self, title: &Title, random: &mut Random) -> Outcome {
        match random.unit() < self.liking(title) {
            true if random.percent(PLAYED_PERCENT) => Outcome::Played,
            true => Outcome::Clicked,
            false if random.percent(SENT_AWAY_PERCENT) => Outcome::SentAway,
            false => Outcome::Ignored,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn everyone(drifted: bool) -> impl Iterator<Item = Onlooker> {
        (0..DEVICES.len())
            .flat_map(move |device| (0..24).map(move |h| Onlooker { device, hour: f64::from(h), drifted }))
    }

    #[test]
    fn what_viewers_do_is_worth_what_is_expected_of_it() {
        let (mut random, onlooker) = (Random::new(3), Onlooker { device: 1, hour: 21.5, drifted: false });
        for title in &TITLES {
            let total: f64 = (0..40_000).map(|_| onlooker.looks_at(title, &mut random).reward()).sum();
            let (average, worth) = (total / 40_000.0, onlooker.worth(title));
            assert!((average - worth).abs() < 0.012, "{}: {average} for {worth}", title.name);
        }
    }

    #[test]
    fn no_title_is_the_best_for_everyone_and_the_drift_leaves_nobody_theirs() {
        let best = |onlooker: Onlooker| {
            let worth = |k: &usize| onlooker.worth(&TITLES[*k]);
            (0..TITLES.len()).max_by(|a, b| worth(a).total_cmp(&worth(b))).expect("there are titles")
        };
        let mut genres: Vec<usize> = everyone(false).map(|who| TITLES[best(who)].genre).collect();
        genres.sort_unstable();
        genres.dedup();
        assert_eq!(genres.len(), GENRES.len());
        for (before, after) in everyone(false).zip(everyone(true)) {
            assert_ne!(best(before), best(after), "{before:?}");
            let ((_, best_before), (_, best_after)) = (before.bounds(), after.bounds());
            assert!((best_before - best_after).abs() < 1e-9, "the drift makes nothing better or worse");
        }
    }
}

//! A population of viewers, each a state machine, in a calendar of their own time. It yields acts in order, without end.
//!
//! It knows neither clock nor server: when an act is sent, and what it is dated, is not its business. Only an answer to a question
//! ([`Questions::answer`]) changes what comes next. Same profile, seed and answers: same acts.

mod act;
mod calendar;
mod questions;
mod settle;
mod stays;
mod tastes;
mod viewer;
mod world;

pub use act::{Act, Ask, Kind, Output, Reward};
pub use questions::{Loop, Questions};

use crate::profile::Profile;
use crate::schedule::Shape;
use crate::seeded::{Stream, keyed, unit};
use calendar::Calendar;
use settle::Steady;
use stays::{Stays, Turn};
use viewer::Viewer;
use world::World;

/// Most viewers of a population that has as many as it needs.
const COUNT_MAX: u32 = 2_000_000;

/// A population.
pub struct Population {
    world: World,
    viewers: Vec<Viewer>,
    calendar: Calendar,
    /// Decisions that were asked for.
    pub questions: Questions,
    /// Viewers' time, microseconds.
    now_us: u64,
    acts: u64,
    /// Share of the acts that are those of one viewer, who is the last of the viewers and not in the calendar.
    hot_share: f64,
    /// Who is there, where that changes.
    stays: Option<Stays>,
}

impl Population {
    /// The viewers of a profile. `are_answered` says whether there is somebody to ask.
    pub fn new(profile: &Profile, seed: u64, are_answered: bool) -> Population {
        let mut world = World::new(profile, seed);
        let steady = Steady::observe(&mut world);
        let bots = &profile.bots;
        let each = steady.acts_per_s * (1.0 - bots.share) + bots.share / bots.step.seconds();
        // What is sent twice takes a place in the schedule, too.
        let rate = profile.load.rate as f64 * (1.0 - profile.viewers.hot_share) / (1.0 + profile.disorder.duplicates);
        let (shape, duration_s) = (&profile.load.shape, profile.load.duration.seconds());
        let follow = profile.viewers.follow_rate && *shape != Shape::Constant;
        // What the shape averages to over the run, or is at its most, its viewers do at the speed of the clock.
        let factor = if follow { shape.most() } else { shape.integral(duration_s) / duration_s };
        let count = match profile.viewers.count {
            0 => (rate * factor / each).clamp(2.0, f64::from(COUNT_MAX)) as u32,
            count => count,
        };
        let mut viewers: Vec<Viewer> = (0..=count).map(|number| Viewer::new(&world, number)).collect();
        let settled = viewers.iter_mut().zip(0..count).map(|(viewer, number)| steady.settle(&world, viewer, number));
        let first_steps: Vec<u64> = settled.collect();
        let mut calendar = Calendar::new(1e6 / (each * f64::from(count)));
        if !follow {
            (0..).zip(&first_steps).for_each(|(number, after)| calendar.push(number, *after));
        }
        let mut population = Population {
            world,
            viewers,
            calendar,
            questions: Questions::new(are_answered),
            now_us: 0,
            acts: 0,
            hot_share: profile.viewers.hot_share,
            stays: follow.then(|| Stays::new(factor, first_steps)),
        };
        population.follow(0);
        population
    }

    /// As many are there as the schedule needs so many nanoseconds after the start, where they follow it.
    pub fn follow(&mut self, due_ns: u64) {
        let (count, now) = (self.viewers(), self.now_us);
        let Some(stays) = &mut self.stays else { return };
        let part = self.world.profile.load.shape.factor(due_ns as f64 / 1e9) / stays.most;
        let present = ((count as f64 * part).round() as usize).clamp(1, count);
        for number in stays.present..present {
            let (gone, enter_at) = stays.come(number, now);
            self.viewers[number].come(gone);
            if let Some(time) = enter_at {
                self.calendar.push(number as u32, time);
            }
        }
        for number in present..stays.present {
            stays.go(number, now);
            self.viewers[number].go();
        }
        stays.present = present;
    }

    /// Acts per second of a viewer of this profile who is no bot, here or away.
    pub fn acts_per_s(profile: &Profile) -> f64 {
        Steady::observe(&mut World::new(profile, 1)).acts_per_s
    }

    /// What happens next.
    pub fn next(&mut self) -> Output {
        loop {
            if let Some(reward) = self.questions.rewards.pop() {
                return Output::Reward(reward);
            }
            if self.hot_share > 0.0 && unit(keyed(self.world.seed, Stream::Turn, self.acts)) <= self.hot_share {
                let number = self.viewers.len() as u32 - 1;
                if let Some(output) = self.step(number).0 {
                    return output;
                }
                continue;
            }
            if let Some(coming) = self.calendar.refill() {
                // Looked at all at once, they come from memory side by side; one after the other it is half of the time.
                let seen = coming.iter().fold(0, |seen, (_, number)| seen ^ self.viewers[*number as usize].steps);
                std::hint::black_box(seen);
            }
            let (time, number) = self.calendar.pop().expect("whoever is there is in the calendar, and somebody is");
            self.now_us = self.now_us.max(time);
            match self.stays.as_mut().map_or(Turn::Act, |stays| stays.turn(number as usize, time)) {
                Turn::Act => {}
                Turn::Wait(time) => {
                    self.calendar.push(number, time);
                    continue;
                }
                Turn::Gone => continue,
            }
            let (output, after) = self.step(number);
            self.calendar.push(number, self.now_us + after.max(1));
            if let Some(output) = output {
                return output;
            }
        }
    }

    fn step(&mut self, number: u32) -> viewer::Step {
        self.acts += 1;
        self.viewers[number as usize].step(&self.world, number, self.now_us, &mut self.questions)
    }

    /// How many there are.
    pub fn viewers(&self) -> usize {
        self.viewers.len() - 1
    }

    /// Viewers' time that has passed, seconds.
    #[cfg(test)]
    pub fn now_s(&self) -> f64 {
        self.now_us as f64 / 1e6
    }

    /// What came of decisions so far.
    pub fn so_far(&self) -> &Loop {
        &self.questions.so_far
    }

    /// Device and country of a viewer, as places in the profile's lists.
    pub fn belongings(&self, viewer: u32) -> (usize, usize) {
        let viewer = &self.viewers[viewer as usize];
        (viewer.device.into(), viewer.place.into())
    }
}

#[cfg(test)]
mod tests;

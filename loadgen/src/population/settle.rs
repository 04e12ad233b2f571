//! A population in its steady state: at time 0 viewers are in the middle of what they do.
//!
//! A few viewers live through many days in which it is always the hour of the start. Moments of their lives, equally far apart, are
//! what viewers begin in. The same lives tell how much viewers do per second.

use super::act::Output;
use super::questions::Questions;
use super::viewer::Viewer;
use super::world::World;
use crate::seeded::{Draws, Stream};

/// Lives, over all places.
const LIVES: u32 = 1024;
/// Moments that are kept of each.
const MOMENTS: u64 = 64;
/// Longest time alone before the first moment and between two, in cycles of being here and away.
const BEFORE_CYCLES: f64 = 4.0;
const BETWEEN_CYCLES: f64 = 0.1;
/// Steps of all lives together; then what was seen must do.
const STEPS_MAX: u64 = 3_000_000;
/// Numbers of viewers who are nobody else.
const FIRST_NUMBER: u32 = u32::MAX - LIVES;

/// Moments in lives.
pub(super) struct Steady {
    /// By place: a viewer, at what time, and the time until the next step.
    moments: Vec<Vec<(Viewer, u64, u64)>>,
    /// Acts per second of a viewer who is no bot.
    pub(super) acts_per_s: f64,
}

impl Steady {
    /// Observes lives in this world, where time stands still meanwhile.
    pub(super) fn observe(world: &mut World) -> Steady {
        world.is_frozen = true;
        let watch = &world.profile.watch;
        let here_s = 60.0 + watch.progress.seconds() * 20.0 + world.profile.browse.step.seconds() * 20.0;
        let cycle_us = (world.profile.away.length.seconds() + here_s) * 1e6;
        let mut steady = Steady { moments: vec![Vec::new(); world.profile.countries.len()], acts_per_s: 0.0 };
        let (mut acts, mut lived_us) = (0, 0);
        let steps_max = STEPS_MAX / u64::from(LIVES);
        for life in 0..LIVES {
            let number = FIRST_NUMBER + life;
            let mut viewer = Viewer::new(world, number);
            viewer.is_bot = false;
            // In turn, so that every place has lives however few live there.
            viewer.place = (life as usize % steady.moments.len()) as u8;
            let (done, lived) = steady.live(world, viewer, number, (cycle_us, steps_max));
            let weight = world.profile.countries[life as usize % steady.moments.len()].share;
            acts += (done as f64 * weight * 1e3) as u64;
            lived_us += (lived as f64 * weight * 1e3) as u64;
        }
        steady.acts_per_s = (acts.max(1) as f64) / (lived_us.max(1) as f64 / 1e6);
        world.is_frozen = false;
        steady
    }

    /// Acts and microseconds after the time before the first moment.
    fn live(&mut self, world: &World, mut viewer: Viewer, number: u32, limits: (f64, u64)) -> (u64, u64) {
        let (cycle_us, steps_max) = limits;
        let before = (cycle_us * BEFORE_CYCLES) as u64;
        let between = (cycle_us * BETWEEN_CYCLES) as u64;
        let (mut questions, mut now, mut acts) = (Questions::default(), 0, 0);
        let mut moment = before;
        let end = before + between * MOMENTS;
        for step in 0.. {
            let (act, after) = viewer.step(world, number, now, &mut questions);
            acts += u64::from(matches!(act, Some(Output::Act(_))) && now >= before);
            while moment < end && moment < now + after {
                self.moments[viewer.place as usize].push((viewer.clone(), moment.max(now), now + after));
                moment += between;
            }
            now += after;
            if now >= end || (step >= steps_max && now > before / 8) {
                break;
            }
        }
        if moment == before {
            // Too busy to get there: this is what there is.
            self.moments[viewer.place as usize].push((viewer.clone(), now, now + 1));
            return (acts.max(steps_max), now);
        }
        // No more than was observed: the last step goes on behind the end, most often as a long absence.
        (acts, now.min(end) - before)
    }

    /// Puts a viewer into a moment of somebody's life; returns the time until the next step.
    pub(super) fn settle(&self, world: &World, viewer: &mut Viewer, number: u32) -> u64 {
        let mut draws = Draws::new(!world.seed, Stream::Viewer, u64::from(number));
        if viewer.is_bot {
            return draws.exponential(world.profile.bots.step.micros() as f64) as u64;
        }
        let moments = &self.moments[viewer.place as usize];
        let (other, now, next) = &moments[(draws.bits() % moments.len() as u64) as usize];
        viewer.take_place_of(other, *now);
        // Many begin in the same moment: not all go on at the same microsecond.
        ((*next - *now) as f64 * (0.5 + draws.unit())) as u64
    }
}

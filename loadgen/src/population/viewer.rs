//! One viewer: what they do next, and when.
//!
//! A state machine whose draws are keyed by viewer and step. Before a report of the player is due it must be known whether something
//! comes before it; the draws of the next step can be made again, so it is not remembered.

use super::act::{Act, Ask, Kind, Output};
use super::questions::{Looked, Questions};
use super::tastes::Outcome;
use super::world::World;
use crate::seeded::{Draws, Stream};

/// Time from the first event of a visit to its question: what is asked must know who is there, on what device.
const BEFORE_ASKING_US: u64 = 200_000;
/// Time between two impressions of a slate.
const BETWEEN_POSITIONS_US: u64 = 60_000;
/// Bitrates of a player, kbit/s.
const LADDER: [u32; 6] = [400, 900, 1_800, 3_500, 6_000, 12_000];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doing {
    /// Will come with a new session.
    Away,
    /// Is about to see the home page.
    Home,
    Browsing,
    /// Is on the home page, which is about to ask what to show.
    Asking,
    /// Has asked, and will look at the answer.
    Looking,
    /// Sees the answer, position by position.
    Seeing,
    /// Has chosen, and waits for the picture.
    Starting,
    Watching,
    Paused,
    Stalled,
}

/// A viewer.
#[derive(Clone, Debug)]
pub(super) struct Viewer {
    pub(super) doing: Doing,
    pub(super) device: u8,
    pub(super) place: u8,
    pub(super) is_bot: bool,
    depth: u8,
    position: u16,
    pub(super) steps: u32,
    visit: u32,
    item: u32,
    playhead_ms: u32,
    /// When the playhead was there.
    since_us: u64,
    kbps: u32,
    rtt_ms: u16,
    /// The question that was asked.
    slot: u32,
    /// The decision that led to what is watched.
    decision: Option<u64>,
}

/// What was done, if it shows, and after how many microseconds comes the next.
pub(super) type Step = (Option<Output>, u64);

impl Viewer {
    /// Viewer `number`, who is about to come.
    pub(super) fn new(world: &World, number: u32) -> Viewer {
        let mut draws = Draws::new(world.seed, Stream::Viewer, u64::from(number));
        let (device, place) = world.belongings(&mut draws);
        let is_bot = draws.chance(world.profile.bots.share);
        let (kbps, rtt_ms) = world.network(&mut draws);
        Viewer {
            doing: Doing::Home,
            device,
            place,
            is_bot,
            depth: 0,
            position: 0,
            steps: 0,
            visit: 1,
            item: world.item(&mut draws),
            playhead_ms: 0,
            since_us: 0,
            kbps,
            rtt_ms,
            slot: 0,
            decision: None,
        }
    }

    /// Continues where `other` is, as somebody else.
    pub(super) fn take_place_of(&mut self, other: &Viewer, now_us: u64) {
        let behind_us = now_us.saturating_sub(other.since_us);
        self.doing = other.doing;
        self.depth = other.depth;
        self.position = other.position;
        self.item = other.item;
        self.playhead_ms = other.playhead_ms.saturating_add((behind_us / 1000) as u32);
        if !matches!(other.doing, Doing::Watching) {
            self.playhead_ms = other.playhead_ms;
        }
        self.since_us = 0;
    }

    /// Goes, in the middle of what they do, and is back in another session; who waits for an answer, in the one in which they asked.
    pub(super) fn go(&mut self) {
        if !matches!(self.doing, Doing::Looking | Doing::Seeing) {
            (self.visit, self.decision) = (self.visit + 1, None);
        }
    }

    /// Is back, for whom so much time has not passed.
    pub(super) fn come(&mut self, gone_us: u64) {
        self.since_us += gone_us;
    }

    /// Does what is next.
    pub(super) fn step(&mut self, world: &World, number: u32, now_us: u64, questions: &mut Questions) -> Step {
        let mut draws = self.draws(world, number);
        self.steps = self.steps.wrapping_add(1);
        match self.doing {
            Doing::Away => {
                self.visit += 1;
                (self.kbps, self.rtt_ms) = world.network(&mut draws);
                self.decision = None;
                self.home(world, number, &mut draws, questions)
            }
            Doing::Home => self.home(world, number, &mut draws, questions),
            Doing::Browsing => self.browse(world, number, now_us, &mut draws),
            Doing::Asking => {
                let (decision, slot) = questions.ask(world);
                (self.slot, self.doing) = (slot, Doing::Looking);
                let ask = Ask { decision, viewer: number, visit: self.visit, slot };
                (Some(Output::Ask(ask)), world.profile.rank.look_after.micros())
            }
            Doing::Looking => self.look(world, number, &mut draws, questions),
            Doing::Seeing => self.see(world, number, &mut draws, questions),
            Doing::Starting => {
                (self.playhead_ms, self.since_us, self.doing) = (0, now_us, Doing::Watching);
                let mut act = self.playing(world, number, Kind::Play);
                act.decision = self.decision.take();
                act.position = act.decision.map(|_| self.position);
                (Some(Output::Act(act)), self.until_report(world, number))
            }
            Doing::Paused => self.goes_on(world, number, now_us, Kind::Play),
            Doing::Stalled => self.goes_on(world, number, now_us, Kind::BufferEnd),
            Doing::Watching => self.watch(world, number, now_us, &mut draws),
        }
    }

    fn draws(&self, world: &World, number: u32) -> Draws {
        Draws::new(world.seed, Stream::Step, u64::from(number) << 32 | u64::from(self.steps))
    }

    fn act(&self, number: u32, kind: Kind) -> Act {
        Act::new(number, self.visit, kind)
    }

    fn on_item(&self, number: u32, kind: Kind) -> Step {
        let act = Act { item: Some(self.item), position: Some(self.position), ..self.act(number, kind) };
        (Some(Output::Act(act)), 0)
    }

    fn playing(&self, world: &World, number: u32, kind: Kind) -> Act {
        let playhead = Some((self.playhead_ms, world.length_ms(self.item)));
        let network = Some((self.kbps, self.rtt_ms));
        Act { item: Some(self.item), playhead, network, ..self.act(number, kind) }
    }

    fn home(&mut self, world: &World, number: u32, draws: &mut Draws, questions: &Questions) -> Step {
        (self.depth, self.position, self.doing) = (0, 0, Doing::Browsing);
        self.item = world.item(draws);
        let act = self.on_item(number, Kind::Impression).0;
        if questions.are_answered && !self.is_bot && draws.chance(world.profile.rank.share) {
            self.doing = Doing::Asking;
            return (act, BEFORE_ASKING_US);
        }
        (act, self.browse_gap(world, draws))
    }

    fn browse_gap(&self, world: &World, draws: &mut Draws) -> u64 {
        let step = if self.is_bot { world.profile.bots.step } else { world.profile.browse.step };
        draws.exponential(step.micros() as f64) as u64
    }

    fn browse(&mut self, world: &World, number: u32, now_us: u64, draws: &mut Draws) -> Step {
        let browse = &world.profile.browse;
        let after = self.browse_gap(world, draws);
        let mut left = draws.unit();
        let mut is = |share: f64| {
            left -= share;
            left <= 0.0
        };
        if self.is_bot {
            let kind = if is(0.75) { Kind::Impression } else { Kind::Click };
            if kind == Kind::Impression {
                self.item = world.item(draws);
                self.position = (self.position + 1) % 100;
            }
            return (self.on_item(number, kind).0, after);
        }
        let kind = if is(browse.impression) {
            self.item = world.item(draws);
            self.position = (self.position + 1) % 1000;
            Kind::Impression
        } else if is(browse.scroll) {
            self.depth = (self.depth + 3 + (draws.bits() % 12) as u8).min(100);
            let act = Act { depth: Some(self.depth), ..self.act(number, Kind::Scroll) };
            return (Some(Output::Act(act)), after);
        } else if is(browse.hover) {
            Kind::Hover
        } else if is(browse.click) {
            self.doing = Doing::Starting;
            return (self.on_item(number, Kind::Click).0, self.startup(world, draws));
        } else if is(browse.add_to_list) {
            Kind::AddToList
        } else if is(browse.not_interested) {
            Kind::NotInterested
        } else {
            return (None, self.leave(world, now_us, draws));
        };
        (self.on_item(number, kind).0, after)
    }

    fn startup(&self, world: &World, draws: &mut Draws) -> u64 {
        draws.exponential(world.profile.watch.startup.micros() as f64) as u64
    }

    /// Goes away, for how long.
    fn leave(&mut self, world: &World, now_us: u64, draws: &mut Draws) -> u64 {
        let away = &world.profile.away;
        if draws.chance(away.return_share) {
            self.doing = Doing::Home;
            return draws.exponential(away.return_after.micros() as f64) as u64;
        }
        self.doing = Doing::Away;
        (draws.exponential(away.length.micros() as f64) / world.coming(self.place, now_us)) as u64
    }

    fn look(&mut self, world: &World, number: u32, draws: &mut Draws, questions: &mut Questions) -> Step {
        match questions.look(world, self.slot, u32::from(self.device)) {
            Looked::Answered => {
                (self.doing, self.position) = (Doing::Seeing, 0);
                self.see(world, number, draws, questions)
            }
            Looked::Unanswered => {
                self.doing = Doing::Browsing;
                (None, self.browse_gap(world, draws))
            }
        }
    }

    /// Sees one position after the other, then does what there is to do about the one that was looked at.
    fn see(&mut self, world: &World, number: u32, draws: &mut Draws, questions: &mut Questions) -> Step {
        if let Some((item, decision)) = questions.shown(self.slot, self.position) {
            self.item = item;
            let position = Some(self.position);
            let act = Act { item: Some(item), position, decision, ..self.act(number, Kind::Impression) };
            self.position += 1;
            return (Some(Output::Act(act)), BETWEEN_POSITIONS_US);
        }
        let seen = questions.decide(world, self.slot, u32::from(self.device));
        (self.item, self.position, self.doing) = (seen.item, seen.position, Doing::Browsing);
        let kind = match seen.outcome {
            Outcome::Ignored => return (None, self.browse_gap(world, draws)),
            Outcome::SentAway => Kind::NotInterested,
            Outcome::Clicked | Outcome::Played => Kind::Click,
        };
        let position = Some(seen.position);
        let act = Act { item: Some(seen.item), position, decision: seen.decision, ..self.act(number, kind) };
        if seen.outcome == Outcome::Played {
            (self.doing, self.decision) = (Doing::Starting, seen.decision);
            return (Some(Output::Act(act)), self.startup(world, draws));
        }
        (Some(Output::Act(act)), self.browse_gap(world, draws))
    }

    fn goes_on(&mut self, world: &World, number: u32, now_us: u64, kind: Kind) -> Step {
        (self.since_us, self.doing) = (now_us, Doing::Watching);
        (Some(Output::Act(self.playing(world, number, kind))), self.until_report(world, number))
    }

    /// Time until the player reports, something comes before it, or the item ends.
    fn until_report(&self, world: &World, number: u32) -> u64 {
        let watch = &world.profile.watch;
        let mut draws = self.draws(world, number);
        let progress = watch.progress.micros();
        let comes_before = draws.unit() <= interruptions(world);
        let until = if comes_before { (progress as f64 * draws.unit()) as u64 } else { progress };
        until.min(u64::from(world.length_ms(self.item).saturating_sub(self.playhead_ms)) * 1000)
    }

    fn watch(&mut self, world: &World, number: u32, now_us: u64, draws: &mut Draws) -> Step {
        let length_ms = world.length_ms(self.item);
        let played_ms = now_us.saturating_sub(self.since_us) / 1000;
        self.playhead_ms = (u64::from(self.playhead_ms) + played_ms).min(u64::from(length_ms)) as u32;
        self.since_us = now_us;
        if self.playhead_ms >= length_ms {
            return self.end(world, number, now_us, draws, true);
        }
        let watch = &world.profile.watch;
        let mut left = draws.unit();
        let _how_soon = draws.unit();
        let mut is = |share: f64| {
            left -= share;
            left <= 0.0
        };
        let act = if is(watch.pause) {
            return self.pause(world, number, now_us, draws);
        } else if is(watch.seek) {
            self.playhead_ms = (draws.unit() * f64::from(length_ms)) as u32;
            self.playing(world, number, Kind::Seek)
        } else if is(watch.rebuffer) {
            self.doing = Doing::Stalled;
            let length = draws.exponential(watch.rebuffer_length.micros() as f64) as u64;
            return (Some(Output::Act(self.playing(world, number, Kind::BufferStart))), length);
        } else if is(watch.quality_change) {
            self.kbps = (f64::from(self.kbps) * (0.6 + draws.unit())).clamp(1.0, 1e7) as u32;
            let bitrate = LADDER.into_iter().rfind(|rung| *rung < self.kbps * 4 / 5).unwrap_or(LADDER[0]);
            Act { bitrate_kbps: Some(bitrate), ..self.playing(world, number, Kind::QualityChange) }
        } else if is(watch.abandon) {
            return self.end(world, number, now_us, draws, false);
        } else if is(watch.error) {
            self.doing = Doing::Home;
            return (Some(Output::Act(self.playing(world, number, Kind::Error))), self.browse_gap(world, draws));
        } else {
            self.playing(world, number, Kind::Progress)
        };
        (Some(Output::Act(act)), self.until_report(world, number))
    }

    fn pause(&mut self, world: &World, number: u32, now_us: u64, draws: &mut Draws) -> Step {
        let watch = &world.profile.watch;
        let act = Some(Output::Act(self.playing(world, number, Kind::Pause)));
        if draws.chance(watch.pause_leave) {
            return (act, self.leave(world, now_us, draws));
        }
        self.doing = Doing::Paused;
        let [least, most] = watch.pause_length.map(|span| span.micros() as f64);
        (act, draws.pareto(least, most, watch.pause_tail) as u64)
    }

    /// Closes the player, at the end of the item or before.
    fn end(&mut self, world: &World, number: u32, now_us: u64, draws: &mut Draws, is_whole: bool) -> Step {
        let act = Some(Output::Act(self.playing(world, number, Kind::Stop)));
        let watch = &world.profile.watch;
        if is_whole && draws.chance(watch.binge) {
            self.item = (self.item + 1) % world.profile.catalogue.items;
            self.doing = Doing::Starting;
            return (act, self.startup(world, draws));
        }
        if draws.chance(watch.leave) {
            return (act, self.leave(world, now_us, draws));
        }
        self.doing = Doing::Home;
        (act, self.browse_gap(world, draws))
    }
}

/// Probability that something comes before a report.
fn interruptions(world: &World) -> f64 {
    let watch = &world.profile.watch;
    watch.pause + watch.seek + watch.rebuffer + watch.quality_change + watch.abandon + watch.error
}

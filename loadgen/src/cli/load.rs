//! What is sent and when: a profile, or the simple load of before; options go before the profile.

use super::values::{RATE_MAX, batch, duration, skew, whole};
use crate::http::Target;
use crate::profile::Profile;
use crate::report::Asked;
use crate::schedule::{Arrivals, Plan, Shape};
use crate::source::{Simple, Source, Viewers};
use crate::span::Span;
use clap::Args;
use clap::builder::ArgPredicate;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::ops::RangeInclusive;
use std::time::Duration;

/// Options of whatever sends a load.
#[derive(Args, Clone)]
pub struct LoadArgs {
    /// Viewers that behave like people: steady_evening, prime_time_spike, bot_flood, bad_network, one_hot_viewer,
    /// million_idle_sessions, or a file like those in configs/load. Without it, events are drawn independently
    #[arg(long, value_name = "NAME|FILE")]
    profile: Option<String>,
    /// Events per second, all connections together; with a profile, all calls: 1 to 10000000 [default: the profile's, else
    /// 20000]
    #[arg(long, allow_negative_numbers = true, value_parser = whole::<u64>(1, RATE_MAX))]
    rate: Option<u64>,
    /// How the rate changes: constant, ramp:from=0.1,to=1,over=60s, step:every=10s,by=0.5,steps=6, sine:period=10m,low=0.2,
    /// spike:at=10s,for=5s,times=4, levels:every=10s,of=0.5x6/2.5/1x3 (six times 0.5, then 2.5, then three times 1, and again);
    /// factors are of --rate [default: the profile's, else constant]
    #[arg(long, value_parser = Shape::parse)]
    shape: Option<Shape>,
    /// How events are spread where the rate is what it is [default: the profile's, else even]
    #[arg(long, value_enum)]
    arrivals: Option<Arrivals>,
    /// Events per request: a number, or a range drawn from evenly, 1 to 10000 [default: the profile's, else 1..20]
    #[arg(long, value_parser = batch)]
    batch: Option<RangeInclusive<u32>>,
    /// Length of the run: 500ms, 30s, 2m, 1h, at most 24h [default: the profile's, else 30s]
    #[arg(long, value_parser = duration)]
    duration: Option<Duration>,
    /// Without a profile: sessions that events belong to, 1 to 10000000; two sessions make a viewer
    #[arg(long, default_value_t = 10_000, value_parser = whole::<u64>(1, 10_000_000))]
    #[arg(conflicts_with = "profile")]
    sessions: u64,
    /// Without a profile: Zipf exponent of the sessions' popularity, 0 to 5: 0 all alike, 1 the first twice as busy as the second
    #[arg(long, default_value_t = 0.0, value_parser = skew, allow_negative_numbers = true, conflicts_with = "profile")]
    skew: f64,
    /// With a profile: how many viewers there are, 0 to 20000000; 0 is as many as the rate needs [default: the profile's]
    #[arg(long, requires = "profile", value_parser = whole::<u32>(0, 20_000_000))]
    viewers: Option<u32>,
    /// Keep-alive connections, 1 to 4096 [default: the profile's, else 32]
    #[arg(long, value_parser = whole::<u16>(1, 4096))]
    connections: Option<u16>,
    /// Decides batch sizes, arrivals and events: the same seed, the same traffic [default: one of its own for each run;
    /// with `run --write` 1]
    #[arg(long, allow_negative_numbers = true, default_value_t = drawn(), default_value_if("write", ArgPredicate::IsPresent, "1"), hide_default_value = true)]
    seed: u64,
}

/// A seed that no other run is likely to have.
fn drawn() -> u64 {
    RandomState::new().build_hasher().finish() % 1_000_000_000
}

/// Acts of a viewer who is there while a run lasts, about.
const ACTS_OF_A_VIEWER: u64 = 10;

/// A load that is decided.
pub struct Load {
    /// When.
    pub plan: Plan,
    /// Keep-alive connections.
    pub connections: u16,
    /// Length of the run.
    pub duration: Duration,
    what: What,
}

enum What {
    Simple {
        sessions: u64,
        skew: f64,
    },
    /// `hash` is that of what the profile says of viewers and network: how much is sent, and when, is asked for beside it.
    Viewers {
        name: String,
        profile: Box<Profile>,
        hash: String,
    },
}

impl LoadArgs {
    /// The same load at another rate, for another time where one is given; `nth` makes its ids its own.
    pub fn changed(&self, rate: u64, duration: Option<Duration>, nth: u64) -> LoadArgs {
        let (rate, duration) = (Some(rate), duration.or(self.duration));
        LoadArgs { rate, duration, seed: self.seed.wrapping_add(nth), ..self.clone() }
    }

    /// What decides batch sizes, arrivals and events.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Whether a rate was given.
    pub fn names_a_rate(&self) -> bool {
        self.rate.is_some()
    }

    /// Reads the profile, if there is one, and decides.
    pub fn resolve(&self) -> Result<Load, String> {
        let profile = self.profile.as_deref().map(Profile::load).transpose()?;
        let of = profile.as_ref().map(|profile| &profile.load);
        let rate = self.rate.or(of.map(|load| load.rate)).unwrap_or(20_000);
        let shape = self.shape.clone().or(of.map(|load| load.shape.clone())).unwrap_or_default();
        let duration = self.duration.or(of.map(|load| load.duration.0)).unwrap_or(Duration::from_secs(30));
        let of_profile = of.map(|load| load.batch[0]..=load.batch[1]);
        let plan = Plan {
            rate,
            shape: shape.clone(),
            arrivals: self.arrivals.or(of.map(|load| load.arrivals)).unwrap_or_default(),
            batch: self.batch.clone().or(of_profile).unwrap_or(1..=20),
            events: Plan::events_in(rate, &shape, duration.as_nanos() as u64),
            seed: self.seed,
        };
        let connections = self.connections.or(of.map(|load| load.connections)).unwrap_or(32);
        let what = match (profile, &self.profile) {
            (Some(mut profile), Some(name)) => {
                // The population is made for the load it is going to have.
                (profile.load.rate, profile.load.shape, profile.load.duration) = (rate, shape, Span(duration));
                profile.viewers.count = self.viewers.unwrap_or(profile.viewers.count);
                let hash = profile.hash_of_viewers();
                What::Viewers { name: name.clone(), profile: Box::new(profile), hash }
            }
            _ => What::Simple { sessions: self.sessions, skew: self.skew },
        };
        Ok(Load { plan, connections, duration, what })
    }
}

impl Load {
    /// The source of the requests. Without `are_calls_made` there are events only.
    pub fn source(&self, are_calls_made: bool) -> Source {
        match &self.what {
            What::Simple { sessions, skew } => {
                Source::Simple(Box::new(Simple::new(self.plan.clone(), *sessions, *skew)))
            }
            What::Viewers { profile, .. } => {
                Source::Viewers(Box::new(Viewers::new(profile, self.plan.clone(), are_calls_made)))
            }
        }
    }

    /// Says what may surprise of the shape, before anything is sent.
    pub fn warn(&self) {
        if let Some(beyond) = self.plan.shape.beyond(Span(self.duration)) {
            eprintln!("warning: {beyond}");
        }
    }

    /// Viewers of its source that do something in the run, about.
    pub fn viewers(&self, source: &Source) -> u64 {
        match (&self.what, source) {
            (_, Source::Viewers(viewers)) => viewers.population_len().min(self.plan.events / ACTS_OF_A_VIEWER),
            // Two sessions make a viewer.
            (What::Simple { sessions, .. }, _) => sessions.div_ceil(2),
            (What::Viewers { .. }, Source::Simple(_)) => unreachable!("a profile's source is its viewers"),
        }
    }

    /// Whether it is that of a profile.
    pub fn has_profile(&self) -> bool {
        matches!(self.what, What::Viewers { .. })
    }

    /// What was asked for, for the report, but for how it is watched.
    pub fn asked(&self, target: &Target, events: u64, repeated: u64, measure_from: Duration) -> Asked {
        let (profile, sessions, skew, profile_hash) = match &self.what {
            What::Simple { sessions, skew } => (None, *sessions, *skew, None),
            What::Viewers { name, profile, hash } => {
                (Some(name.clone()), profile.viewers.count.into(), 0.0, Some(hash.clone()))
            }
        };
        Asked {
            target: target.authority.clone(),
            profile,
            shape: self.plan.shape.to_string(),
            arrivals: Some(self.plan.arrivals),
            rate: self.plan.rate,
            batch: [*self.plan.batch.start(), *self.plan.batch.end()],
            duration_s: self.duration.as_secs_f64(),
            measure_from_s: measure_from.as_secs_f64(),
            sessions,
            skew,
            connections: self.connections.into(),
            timeout_s: None,
            probes: None,
            observe: None,
            profile_hash,
            seed: self.plan.seed,
            events,
            repeated,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Only {
        #[command(flatten)]
        load: LoadArgs,
    }

    #[test]
    fn as_many_viewers_are_expected_as_the_population_has_and_the_run_lets_act() {
        let viewers = |options: &str| {
            let load = Only::parse_from(format!("run {options}").split(' ')).load.resolve().expect("it can be sent");
            load.viewers(&load.source(false))
        };
        // The profile says as many as the rate needs: how many that are, its population knows.
        assert_eq!(viewers("--profile steady_evening --rate 1000 --duration 2s"), 200);
        assert!((1_000..100_000).contains(&viewers("--profile steady_evening --rate 1000 --duration 10m")));
        assert_eq!(viewers("--profile steady_evening --rate 1000 --duration 10m --viewers 70"), 70);
        assert_eq!(viewers("--sessions 9"), 5);
    }
}

//! The demo while it runs: on a screen with keys, or as a line a second; and its end.

use super::DemoArgs;
use super::choosing::MODEL;
use super::client::Client;
use super::earnings::{Learning, Server};
use super::focus::Focus;
use super::pulse::{Observer, Pulse};
use super::scores::Chart;
use super::screen::{self, Picture};
use super::setting;
use super::summary::{Events, Place, Session, Summary};
use super::terminal::{Key, Screen};
use super::traffic::Traffic;
use super::words::{clock, count, ms};
use crate::cli::serve;
use crate::config::Config;
use crate::engine::Engine;
use saccade_topology::decision::Served;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Time between two pictures.
const REFRESH: Duration = Duration::from_millis(200);

/// What a paused picture shows: of the loop, its chart, and when tastes change.
type Still = (Pulse, Focus, Option<(Chart, String)>);

/// A demo that runs.
pub(super) struct Demo {
    engine: Arc<Engine>,
    address: String,
    /// What a reader's curl must send.
    credentials: &'static str,
    traffic: Traffic,
    observer: Observer,
    focus: Focus,
    /// Told by a signal.
    stopped: Arc<AtomicBool>,
    ends: Option<Instant>,
    /// When tastes change; none where nothing is asked.
    drift: Option<Instant>,
    /// How long the last rewards may take; none where they are not waited for.
    settling: Option<Duration>,
    /// Rewards are those that guests mean.
    is_own: bool,
}

impl Demo {
    /// Starts the traffic to the server at `address`. Call it within a runtime.
    pub(super) fn start(args: &DemoArgs, config: &Config, engine: Arc<Engine>, address: SocketAddr) -> Demo {
        let address = reached(address);
        let client = Client::new(address, config.auth.write_keys.first().map(String::as_str));
        let stopped = Arc::new(AtomicBool::new(false));
        let told = stopped.clone();
        tokio::spawn(async move {
            serve::stop_signal().await;
            told.store(true, Ordering::SeqCst);
        });
        let observer = Observer::new(engine.clone());
        let plan = setting::plan(args, config);
        Demo {
            engine,
            address: address.to_string(),
            credentials: if config.auth.read_token.is_some() { "-H \"authorization: Bearer $TOKEN\" " } else { "" },
            traffic: Traffic::start(client, args.rate, args.seed, plan),
            observer,
            focus: Focus::default(),
            stopped,
            ends: args.duration.map(|duration| Instant::now() + duration),
            drift: plan.map(|plan| Instant::now() + plan.drift),
            settling: setting::settling(config),
            is_own: args.config.is_none(),
        }
    }

    /// Whether the end waits for rewards.
    pub(super) fn settles(&self) -> bool {
        self.drift.is_some() && self.settling.is_some()
    }

    /// What decisions are worth, and when tastes change.
    fn chart(&self) -> Option<(Chart, String)> {
        let drift = self.drift?;
        let left = drift.saturating_duration_since(Instant::now());
        let words = match left.is_zero() {
            true => "tastes have changed".to_string(),
            false => format!("tastes change in {} s", left.as_secs() + 1),
        };
        Some((self.traffic.scores.chart(), words))
    }

    fn goes_on(&self) -> bool {
        !self.stopped.load(Ordering::SeqCst) && self.ends.is_none_or(|ends| Instant::now() < ends)
    }

    /// Until the next picture, or the end where that is nearer.
    fn moment(&self) -> Duration {
        self.ends.map_or(REFRESH, |ends| ends.saturating_duration_since(Instant::now()).min(REFRESH))
    }

    /// Shows pictures until a key, a signal or the duration ends it.
    pub(super) fn show_screen(&mut self) -> std::io::Result<()> {
        let mut screen = Screen::take()?;
        let mut paused: Option<Still> = None;
        while self.goes_on() && screen.is_there() {
            self.observer.each_second();
            self.focus.refresh(&self.engine, &self.traffic.cast);
            let now = self.chart();
            let (pulse, focus, chart) = match &paused {
                Some((pulse, focus, chart)) => (pulse, focus, chart),
                None => (self.observer.pulse(), &self.focus, &now),
            };
            let picture = Picture {
                address: &self.address,
                credentials: self.credentials,
                pulse,
                focus,
                slots: self.engine.plan().slots(),
                chart: chart.as_ref().map(|(chart, words)| (chart, words.as_str())),
                paused: paused.is_some(),
            };
            screen.draw(|frame| screen::draw(frame, &picture))?;
            match screen.key(self.moment())? {
                Some(Key::Quit) => break,
                Some(Key::Next) => {
                    self.focus.next(&self.traffic.cast);
                    paused = None;
                }
                Some(Key::Pause) if paused.is_some() => paused = None,
                Some(Key::Pause) => paused = Some((self.observer.pulse().clone(), self.focus.clone(), now)),
                Some(Key::Other) | None => {}
            }
        }
        Ok(())
    }

    /// Says a line a second until a signal or the duration ends it, or `say` is false because nobody listens.
    pub(super) fn show_lines(&mut self, say: &mut dyn FnMut(&str) -> bool) {
        while self.goes_on() {
            std::thread::sleep(self.moment());
            self.focus.refresh(&self.engine, &self.traffic.cast);
            let state = self.focus.state(self.engine.plan().slots());
            if !self.observer.each_second() {
                continue;
            }
            let learning = self.chart().map(|(chart, words)| learning_line(&chart, &words));
            let lines = [Some(line(self.observer.pulse(), &self.focus, state)), learning];
            if !lines.iter().flatten().all(|line| say(line)) {
                return;
            }
        }
    }

    /// Ends the traffic, waits for every answer and sums up.
    pub(super) async fn finish(mut self, place: Place) -> Summary {
        self.traffic.finish_asking().await;
        let learning = self.learning().await;
        self.traffic.finish().await;
        self.observer.take();
        self.focus.refresh(&self.engine, &self.traffic.cast);
        let pulse = self.observer.pulse();
        let ledger = &self.traffic.ledger;
        let events = Events::new(ledger.players_sent(), pulse.players, ledger.viewers());
        let mut summary = Summary::new(self.address.clone(), pulse, events, place);
        summary.session = self.session();
        summary.take_learning(learning);
        summary
    }

    /// What was learnt, once the server knows every reward or should.
    async fn learning(&self) -> Option<Learning> {
        let mut learning = self.traffic.scores.sum_up()?;
        let until = Instant::now() + self.settling.unwrap_or_default();
        loop {
            let earned = self.engine.version(MODEL)?.earned(Served::Policy);
            let (rewards, average) = (earned.so_far.picks, earned.so_far.average());
            learning.server = Server { decisions: earned.decisions, rewards, average, is_own: self.is_own };
            let is_settled = rewards >= learning.counts.decisions();
            if is_settled || Instant::now() > until {
                return Some(learning);
            }
            tokio::time::sleep(REFRESH).await;
        }
    }

    fn session(&self) -> Option<Session> {
        let (focus, slots) = (&self.focus, self.engine.plan().slots());
        let value = |k: usize| focus.vector.get(k).copied().unwrap_or(0.0);
        let features = focus.telling(slots).into_iter().map(|k| (slots[k].name.as_str(), value(k))).collect();
        (!focus.role.session.is_empty()).then(|| Session::new(&focus.role, focus.state(slots), focus.version, features))
    }
}

/// Where a client finds what listens on `address`: what listens everywhere is reached on loopback.
fn reached(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(a) if a.ip().is_unspecified() => (Ipv4Addr::LOCALHOST, a.port()).into(),
        SocketAddr::V6(a) if a.ip().is_unspecified() => (Ipv6Addr::LOCALHOST, a.port()).into(),
        address => address,
    }
}

fn line(pulse: &Pulse, focus: &Focus, state: &str) -> String {
    let (events, lately) = (&pulse.events, &pulse.lately);
    let [p50, p99, max] = [lately.p50_us, lately.p99_us, lately.max_us].map(ms);
    let [rate, sessions] = [pulse.rates.back().copied().unwrap_or(0), pulse.sessions as u64].map(count);
    let [accepted, duplicates] = [events.accepted, events.duplicates].map(count);
    let (late, rejected) = (count(events.late), count(events.rejected));
    format!(
        "{:>5}  {rate} events/s  published p50 {p50} p99 {p99} max {max}  sessions {sessions}  \
         accepted {accepted} duplicates {duplicates} late {late} rejected {rejected}  {} {state}",
        clock(pulse.elapsed),
        focus.role.session,
    )
}

fn learning_line(chart: &Chart, drift: &str) -> String {
    let now = chart.points.last().copied().unwrap_or_default();
    format!(
        "       {} decisions/s  reward {:.3}, at random {:.3}, best {:.3}  rank p99 {}  {drift}  {}",
        count(chart.per_second),
        now.reward,
        now.uniform,
        now.best,
        ms(chart.rank_p99_us),
        chart.last,
    )
}

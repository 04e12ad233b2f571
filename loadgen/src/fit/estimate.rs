//! From counts to a profile, and that as text.

use super::tempo::Tempo;
use super::{Asked, Fit, rate, zipf};
use crate::population::{Kind, Population};
use crate::profile::{CODE_MAX, Country, NAME_MAX, Profile, is_name};
use crate::schedule::Shape;
use crate::span::Span;
use hdrhistogram::Histogram;
use saccade::counted::counted;
use saccade_topology::math::{ln, pow};
use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::time::Duration;

/// Places that a profile names; the others come with the last of them.
const PLACES_MAX: usize = 32;
/// Of viewers whose country is not known, or cannot be said.
pub(super) const UNKNOWN_COUNTRY: &str = "ZZ";
/// Fewer events are no log.
const EVENTS_MIN: u64 = 100;
/// A shorter log does not tell a country of many viewers from one where it is evening, seconds.
pub(super) const DAY_S: f64 = 86_400.0;
/// Fewer of something say nothing about its length.
pub(super) const LEAST: u64 = 20;
/// Where a larger share of the events is late, it is not known when they came.
pub(super) const LATE_DOUBTED: f64 = 0.5;

/// A profile that resembles a log, and what else there is to say about it.
pub struct Estimate {
    /// The profile.
    pub profile: Profile,
    /// Events by type, the most frequent first.
    pub kinds: Vec<(String, u64)>,
    notes: Vec<String>,
    /// The log is a server's, where duplicates do not get to.
    is_export: bool,
}

impl Fit {
    /// What was read, as a profile.
    pub fn finish(mut self, name: &str) -> Result<Estimate, String> {
        let latest = self.order.latest();
        let seconds = self.order.seconds();
        let (events, viewers) = (self.order.events, self.course.viewers());
        if events < EVENTS_MIN || seconds <= 0.0 {
            return Err(format!(
                "{name} holds {} over {seconds} s (not readable: {} of {}): at least {EVENTS_MIN} are needed, that came \
                 one after the other. A server that is stopped gives its log with `saccade export --data DIR --out log.ndjson`, and \
                 `saccade-loadgen run --profile NAME --write log.ndjson` writes one without a server",
                counted(events, "event"),
                self.unreadable,
                counted(self.lines, "line")
            ));
        }
        self.course.finish(latest);
        let mut profile = Profile::load("steady_evening").expect("what is built in is read by a test");
        profile.description =
            format!("Fitted to {name}: {events} events of about {} within {seconds:.0} s", counted(viewers, "viewer"));
        profile.load.rate =
            ((events + self.order.duplicates + self.calls) as f64 / seconds).round().clamp(1.0, 1e7) as u64;
        profile.day.starts = self.order.first().rem_euclid(86_400_000) as f64 / 3_600_000.0;
        profile.day.starts = (profile.day.starts * 100.0).floor() / 100.0;
        if seconds < DAY_S {
            // What was counted is who was there at that hour. With the day on top of it others would come.
            profile.day.swing = 0.0;
        }
        self.mixes(&mut profile);
        let found = self.rate_found();
        let tempo = Tempo::of(found.as_ref(), self.order.first(), &self.course.habits.progress);
        self.behaviour(&mut profile, &tempo);
        self.pauses(&mut profile, &tempo);
        self.disorder(&mut profile);
        self.rank(&mut profile);
        if let Some(rate::Found { shape: shape @ Shape::Levels(_), duration, .. }) = &found {
            (profile.load.shape, profile.load.duration) = (shape.clone(), *duration);
            // With the day on top of the shape, whoever is there would be slow in the evening. Where the same viewers hurry it must swing: else as few
            // as at night would send the evening's acts.
            if !tempo.hurries() {
                (profile.viewers.follow_rate, profile.day.swing) = (true, 0.0);
            }
        }
        let crowd = &self.course.crowd;
        profile.viewers.hot_share = (crowd.hot_acts() as f64 / crowd.acts.max(1) as f64).min(0.99);
        profile.cmcd.share = self.cmcd_share();
        self.bots(&mut profile);
        let mut kinds: Vec<_> = self.kinds.clone().into_iter().collect();
        kinds.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
        let notes = self.notes(seconds, viewers, found.as_ref(), &tempo);
        let estimate = Estimate { notes, kinds, profile, is_export: self.is_export };
        // What cannot be run is no profile.
        Profile::read(name, &estimate.toml())
            .map(|_| estimate)
            .map_err(|e| format!("no profile can be made of it: {e}"))
    }

    fn mixes(&self, profile: &mut Profile) {
        let mut devices: Vec<_> = self.devices.iter().filter(|(name, _)| is_name(name, NAME_MAX)).collect();
        devices.sort_by_key(|(_, n)| std::cmp::Reverse(**n));
        devices.truncate(16);
        let whole: u64 = devices.iter().map(|(_, n)| **n).sum();
        if whole > 0 {
            let share = |n: u64| n as f64 / whole as f64;
            profile.viewers.devices = devices.into_iter().map(|(name, n)| (name.clone(), share(*n))).collect();
        }
        let mut by_zone = BTreeMap::<(&str, &str), u64>::new();
        for ((code, zone), n) in self.places.iter().filter(|((_, zone), _)| jiff::tz::TimeZone::get(zone).is_ok()) {
            // What a profile cannot say of a country is not where it is.
            let code = if is_name(code, CODE_MAX) { code } else { UNKNOWN_COUNTRY };
            *by_zone.entry((code, zone)).or_insert(0) += n;
        }
        let mut places: Vec<_> = by_zone.into_iter().collect();
        places.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
        places.truncate(PLACES_MAX);
        let whole: u64 = places.iter().map(|(_, n)| n).sum();
        if whole > 0 {
            let country = |((code, timezone), n): ((&str, &str), u64)| Country {
                code: code.to_owned(),
                timezone: timezone.to_owned(),
                share: n as f64 / whole as f64,
            };
            profile.countries = places.into_iter().map(country).collect();
        }
        let habits = &self.course.habits;
        if !habits.items.is_empty() {
            profile.catalogue.items = habits.items.len() as u32;
            profile.catalogue.zipf = zipf::exponent(habits.items.values().copied().collect()).unwrap_or(0.0);
            profile.rank.pool = profile.rank.pool.min(profile.catalogue.items);
            profile.rank.candidates = profile.rank.candidates.min(profile.rank.pool);
            profile.rank.k = profile.rank.k.min(profile.rank.candidates);
        }
        if habits.item_length.len() >= LEAST {
            profile.catalogue.length = [span(habits.item_length.min()), span(habits.item_length.max())];
        }
        if let Some((median, spread)) = habits.throughput.spread() {
            (profile.network.throughput_kbps, profile.network.throughput_spread) =
                (median.clamp(1.0, 1e7), spread.min(3.0));
        }
        if let Some((median, spread)) = habits.rtt.spread() {
            (profile.network.rtt_ms, profile.network.rtt_spread) = (median.min(6e4), spread.min(3.0));
        }
    }

    fn behaviour(&self, profile: &mut Profile, tempo: &Tempo) {
        let habits = &self.course.habits;
        let steps = habits.browse.steps() + habits.browse.leaves;
        let browse = &mut profile.browse;
        if steps >= LEAST {
            let share = |kind| habits.browse.acts(kind) as f64 / steps as f64;
            (browse.impression, browse.scroll, browse.hover) =
                (share(Kind::Impression), share(Kind::Scroll), share(Kind::Hover));
            (browse.click, browse.add_to_list, browse.not_interested) =
                (share(Kind::Click), share(Kind::AddToList), share(Kind::NotInterested));
        }
        if habits.browse.steps() >= LEAST {
            browse.step = span(habits.browse.step_ms().round() as u64);
        }
        let steps: u64 = habits.watch.values().sum();
        let watch = &mut profile.watch;
        if steps >= LEAST {
            let share = |kind| habits.watch.get(&kind).copied().unwrap_or(0) as f64 / steps as f64;
            (watch.pause, watch.seek, watch.rebuffer) =
                (share(Kind::Pause), share(Kind::Seek), share(Kind::BufferStart));
            (watch.quality_change, watch.abandon, watch.error) =
                (share(Kind::QualityChange), share(Kind::Stop), share(Kind::Error));
        }
        set_mean(&mut watch.startup, &habits.startup);
        set_mean(&mut watch.rebuffer_length, &habits.rebuffer);
        if habits.progress.len() >= LEAST {
            watch.progress = span(habits.progress.in_time(|ms| tempo.ms(ms)).value_at_quantile(0.5));
        }
        if habits.ends >= LEAST {
            watch.binge = habits.binges as f64 / habits.ends as f64;
        }
        if habits.stays + habits.stop_leaves >= LEAST {
            watch.leave = habits.stop_leaves as f64 / (habits.stays + habits.stop_leaves) as f64;
        }
        let (returned, gone) = (habits.returns.len(), habits.aways.len() + habits.unfinished_aways.len());
        if returned + gone >= LEAST {
            profile.away.return_share = returned as f64 / (returned + gone) as f64;
        }
        set_mean(&mut profile.away.return_after, &habits.returns);
        if habits.aways.len() >= LEAST {
            // Of an exponential with unfinished lengths: all time over what has ended.
            let time = total(&habits.aways) + total(&habits.unfinished_aways);
            profile.away.length = span((time / habits.aways.len() as f64) as u64);
        }
    }

    fn pauses(&self, profile: &mut Profile, tempo: &Tempo) {
        let (habits, watch) = (&self.course.habits, &mut profile.watch);
        if habits.pauses >= LEAST {
            watch.pause_leave = habits.pause_leaves as f64 / habits.pauses as f64;
        }
        if habits.pause.len() < LEAST {
            return;
        }
        let time = |ms| tempo.ms(ms);
        let (pauses, unfinished) = (habits.pause.in_time(time), habits.unfinished_pause.in_time(time));
        // Maximum likelihood of a Pareto over a threshold (Hill 1975), of which the longest are cut off or not over yet. What is below the
        // threshold is as likely an error of a clock.
        const BELOW: f64 = 0.05;
        let (threshold, most) = (pauses.value_at_quantile(BELOW), pauses.max());
        let above = |lengths: &Histogram<u64>| -> (f64, f64) {
            let above = lengths.iter_recorded().filter(|value| value.value_iterated_to() > threshold);
            above.fold((0.0, 0.0), |(n, logs), value| {
                let count = value.count_at_value() as f64;
                (n + count, logs + count * ln(value.value_iterated_to() as f64 / threshold as f64))
            })
        };
        let cut_off = pauses.count_between(most - most / 100, most) as f64;
        let cut_off = if cut_off > 0.002 * pauses.len() as f64 { cut_off } else { 0.0 };
        let ((ended, logs), (_, unfinished)) = (above(&pauses), above(&unfinished));
        let unfinished = unfinished * habits.unfinished_pause.weight() / habits.pause.weight();
        let stayed = 1.0 - watch.pause_leave;
        watch.pause_tail = ((ended - cut_off) / (logs + stayed * unfinished).max(1e-9)).clamp(0.1, 10.0);
        let least = threshold as f64 * pow(1.0 - BELOW, 1.0 / watch.pause_tail);
        watch.pause_length = [span(least.round() as u64), span(most)];
    }

    fn disorder(&self, profile: &mut Profile) {
        let (order, disorder) = (&self.order, &mut profile.disorder);
        let share = |n| order.share(n);
        (disorder.reordered, disorder.late) = (share(order.reordered.len()), share(order.late.len()));
        if order.reordered.len() >= LEAST {
            disorder.reordered_max = span(order.reordered.value_at_quantile(0.995));
        }
        if order.late.len() >= LEAST {
            disorder.late_by = [span(order.late.value_at_quantile(0.005)), span(order.late.value_at_quantile(0.995))];
        }
        if !self.is_export {
            // Copies of events and of requests look alike.
            (disorder.duplicates, disorder.retries) = (share(order.duplicates).min(1.0), 0.0);
        }
        let viewers = self.clocks[0] + self.clocks[1];
        profile.clocks.wrong = self.clocks[1] as f64 / viewers.max(1) as f64;
        if order.off.len() >= LEAST {
            profile.clocks.off_max = span(order.off.value_at_quantile(0.995));
        }
    }

    /// Share of the viewers whose player reports by CMCD, from what players report that way and as events. 0 to 1.
    fn cmcd_share(&self) -> f64 {
        let of_player = Kind::ALL.into_iter().filter(|kind| kind.is_of_player());
        let events: u64 = of_player.filter_map(|kind| self.kinds.get(kind.name())).sum();
        self.order.cmcd as f64 / (self.order.cmcd + events).max(1) as f64
    }

    /// What the rate did; none where there is too little to tell, or where it is not known when events came.
    fn rate_found(&self) -> Option<rate::Found> {
        let order = &self.order;
        if order.share(order.late.len()) > LATE_DOUBTED { None } else { self.rate.found(order.first(), order.latest()) }
    }

    /// Programs have the share of the acts that they have in the log. It is not the share of the viewers that were seen: of people, a log shows only
    /// those who are there, while a profile counts those who are away, too.
    fn bots(&self, profile: &mut Profile) {
        let crowd = &self.course.crowd;
        if crowd.bots.viewers == 0 {
            return;
        }
        let of_acts = crowd.bots.acts as f64 / (crowd.acts - crowd.hot_acts()).max(1) as f64;
        profile.bots.step = span(crowd.bots.step_ms().round() as u64);
        // With s the share, of_acts = s/step / (s/step + (1 − s)·acts of people per second).
        let (people, bots) = (of_acts * Population::acts_per_s(profile), (1.0 - of_acts) / profile.bots.step.seconds());
        profile.bots.share = (people / (people + bots).max(f64::MIN_POSITIVE)).min(0.99);
    }

    pub(super) fn most_asked(&self) -> Option<(&String, &Asked)> {
        self.models.iter().filter(|(name, _)| is_name(name, NAME_MAX)).max_by_key(|(_, asked)| asked.counted)
    }

    fn rank(&self, profile: &mut Profile) {
        let Some((model, asked)) = self.most_asked() else {
            profile.rank.share = 0.0;
            return;
        };
        let rank = &mut profile.rank;
        rank.model.clone_from(model);
        // Visits that began within the log over decisions of the same time: sessions that ended within a short log are but a few of them.
        if self.course.visits >= LEAST {
            rank.share = (asked.counted as f64 / self.course.visits as f64).min(1.0);
        }
        rank.candidates = (asked.candidates as u32).clamp(1, profile.catalogue.items.min(10_000));
        rank.pool = rank.pool.max(rank.candidates).min(profile.catalogue.items);
        rank.k = (asked.positions as u32).clamp(1, rank.candidates);
    }
}

fn span(ms: u64) -> Span {
    Span(Duration::from_millis(ms.clamp(1, 86_400_000)))
}

fn total(lengths: &Histogram<u64>) -> f64 {
    lengths.mean() * lengths.len() as f64
}

fn set_mean(to: &mut Span, lengths: &Histogram<u64>) {
    if lengths.len() >= LEAST {
        *to = span(lengths.mean().round() as u64);
    }
}

/// The profile, as a file.
impl Estimate {
    /// TOML that is read again to the same profile.
    pub fn toml(&self) -> String {
        let p = &self.profile;
        let mut text = String::from("# configs/load/steady_evening.toml explains every key.\n");
        for note in &self.notes {
            text += &format!("# {note}.\n");
        }
        text += &format!("\ndescription = {}\n", toml::Value::from(p.description.as_str()));
        let (l, v, d, c) = (&p.load, &p.viewers, &p.day, &p.catalogue);
        let pair = |[a, b]: [Span; 2]| format!("[\"{a}\", \"{b}\"]");
        text += &format!("\n[load]\nrate = {}\nduration = \"{}\"\nshape = \"{}\"\n", l.rate, l.duration, l.shape);
        text += &format!("batch = [{}, {}]\nconnections = {}\n", l.batch[0], l.batch[1], l.connections);
        text += &format!("\n[viewers]\ncount = {}\nfollow_rate = {}\n", v.count, v.follow_rate);
        text += &format!("hot_share = {:.4}\n", v.hot_share);
        text += &format!("devices = {{ {} }}\n", shares(&v.devices));
        for Country { code, timezone, share } in &p.countries {
            text += &format!(
                "\n[[countries]]\ncode = \"{code}\"\ntimezone = \"{timezone}\"\nshare = {}\n",
                self::share(*share)
            );
        }
        text += &format!("\n[day]\nstarts = {:.2}\nswing = {:.2}\n", d.starts, d.swing);
        text += &format!("\n[catalogue]\nitems = {}\nzipf = {:.3}\nlength = {}\n", c.items, c.zipf, pair(c.length));
        let b = &p.browse;
        text += &format!("\n[browse]\nstep = \"{}\"\nimpression = {}\n", b.step, share(b.impression));
        text += &format!("scroll = {}\nhover = {}\nclick = {}\n", share(b.scroll), share(b.hover), share(b.click));
        text += &format!("add_to_list = {}\nnot_interested = {}\n", share(b.add_to_list), share(b.not_interested));
        let w = &p.watch;
        text += &format!("\n[watch]\nstartup = \"{}\"\nprogress = \"{}\"\n", w.startup, w.progress);
        text += &format!("pause = {}\nseek = {}\nrebuffer = {}\n", share(w.pause), share(w.seek), share(w.rebuffer));
        text += &format!("quality_change = {}\nabandon = {}\n", share(w.quality_change), share(w.abandon));
        text += &format!("error = {}\n", share(w.error));
        text += &format!("pause_length = {}\npause_tail = {:.3}\n", pair(w.pause_length), w.pause_tail);
        text += &format!("pause_leave = {:.4}\nrebuffer_length = \"{}\"\n", w.pause_leave, w.rebuffer_length);
        text += &format!("binge = {:.4}\nleave = {:.4}\n", w.binge, w.leave);
        let a = &p.away;
        text += &format!("\n[away]\nreturn_share = {:.4}\nreturn_after = \"{}\"\n", a.return_share, a.return_after);
        text += &format!("length = \"{}\"\n", a.length);
        let n = &p.network;
        text += &format!("\n[network]\nthroughput_kbps = {:.0}.0\nrtt_ms = {:.0}.0\n", n.throughput_kbps, n.rtt_ms);
        text += &format!("throughput_spread = {:.3}\nrtt_spread = {:.3}\n", n.throughput_spread, n.rtt_spread);
        text += &format!("\n[clocks]\nwrong = {:.5}\noff_max = \"{}\"\n", p.clocks.wrong, p.clocks.off_max);
        let o = &p.disorder;
        text += &format!("\n[disorder]\nreordered = {}\nreordered_max = \"{}\"\n", share(o.reordered), o.reordered_max);
        text += &format!("late = {}\nlate_by = {}\n", share(o.late), pair(o.late_by));
        if self.is_export {
            text += "# Not of the log, which has none: as in steady_evening.\n";
        }
        text += &format!("duplicates = {:.6}\nduplicates_after = \"{}\"\n", o.duplicates, o.duplicates_after);
        text += &format!("retries = {:.6}\nretries_after = \"{}\"\n", o.retries, o.retries_after);
        text += &format!("\n[bots]\nshare = {:.6}\nstep = \"{}\"\n", p.bots.share, p.bots.step);
        let r = &p.rank;
        text += &format!("\n[rank]\nshare = {:.4}\nmodel = \"{}\"\npool = {}\n", r.share, r.model, r.pool);
        text += &format!("candidates = {}\nk = {}\n", r.candidates, r.k);
        text += &format!("\n[cmcd]\nshare = {:.5}\n", p.cmcd.share);
        text
    }
}

/// A share among others, as it is written: rounded down, so that together they are not above 1.
fn share(of: f64) -> String {
    // What is a part of a millionth below a number that can be written is that number.
    format!("{:.5}", (of * 1e5 + 1e-6).floor() / 1e5)
}

fn shares(devices: &BTreeMap<String, f64>) -> String {
    devices.iter().map(|(name, share)| format!("{name:?} = {}", self::share(*share))).collect::<Vec<_>>().join(", ")
}

impl Display for Estimate {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.notes.iter().try_for_each(|note| writeln!(f, "{note}"))?;
        let (p, all) = (&self.profile, self.kinds.iter().map(|(_, n)| n).sum::<u64>());
        for (kind, n) in self.kinds.iter().take(20) {
            writeln!(f, "  {kind:<16} {n:>10}  {:>6.2} %", *n as f64 / all as f64 * 100.0)?;
        }
        let (w, o) = (&p.watch, &p.disorder);
        match &p.load.shape {
            Shape::Levels(levels) => {
                let (least, most) = levels.runs().fold((f64::MAX, 0.0f64), |(a, b), (x, _)| (a.min(x), b.max(x)));
                writeln!(
                    f,
                    "rate       {} events/s, {least} to {most} times that in levels of {}",
                    p.load.rate,
                    levels.every()
                )?;
            }
            _ => writeln!(f, "rate       {} events/s", p.load.rate)?,
        }
        match p.bots.share > 0.0 {
            true => writeln!(f, "bots       {:.2} % of viewers, an act in {}", p.bots.share * 100.0, p.bots.step)?,
            false => writeln!(f, "bots       none")?,
        }
        writeln!(f, "items      {}, Zipf exponent {:.2}", p.catalogue.items, p.catalogue.zipf)?;
        let [least, most] = w.pause_length;
        writeln!(
            f,
            "pauses     {least} to {most}, Pareto exponent {:.2}; {:.1} % for good",
            w.pause_tail,
            w.pause_leave * 100.0
        )?;
        let percent = |share: f64| share * 100.0;
        writeln!(
            f,
            "disorder   {:.2} % reordered by up to {}, {:.3} % late, {:.1} % of clocks wrong",
            percent(o.reordered),
            o.reordered_max,
            percent(o.late),
            percent(p.clocks.wrong)
        )?;
        let (twice, retries) = (percent(o.duplicates), percent(o.retries));
        match self.is_export {
            true => writeln!(
                f,
                "duplicates not to be seen in an exported log: left as they were, {twice:.2} % of events and {retries:.2} % of requests"
            )?,
            false => writeln!(f, "duplicates {twice:.2} % of events")?,
        }
        writeln!(f, "cmcd       {:.1} % of players", percent(p.cmcd.share))?;
        let devices: Vec<_> =
            p.viewers.devices.iter().map(|(name, share)| format!("{name} {:.0} %", share * 100.0)).collect();
        writeln!(f, "devices    {}", devices.join(", "))?;
        let places: Vec<_> = p.countries.iter().map(|c| format!("{} {:.0} %", c.code, c.share * 100.0)).collect();
        writeln!(f, "countries  {}", places.join(", "))
    }
}

//! Ranges of a profile's numbers, and what they must be together.

use super::Profile;
use crate::span::Span;
use jiff::tz::TimeZone;
use std::fmt::Display;

impl Profile {
    /// Every number is in its range; says which is not.
    pub(super) fn check(&self) -> Result<(), String> {
        self.check_load()?;
        self.check_places()?;
        self.check_behaviour()?;
        self.check_world()?;
        self.check_rank()
    }

    fn check_load(&self) -> Result<(), String> {
        let load = &self.load;
        within("load.rate", load.rate, 1, 10_000_000)?;
        within("load.connections", load.connections, 1, 4096)?;
        let [low, high] = load.batch;
        if low == 0 || low > high || high > 10_000 {
            return Err(format!("load.batch is [{low}, {high}]; allowed: two numbers in order, from 1 to 10000"));
        }
        within("viewers.count", self.viewers.count, 0, 20_000_000)?;
        within("viewers.hot_share", self.viewers.hot_share, 0.0, 0.99)
    }

    fn check_places(&self) -> Result<(), String> {
        if self.viewers.devices.len() > 16 || self.countries.len() > 64 {
            return Err("viewers.devices or countries are too many; allowed: 16 devices, 64 countries".into());
        }
        for (device, share) in &self.viewers.devices {
            plain("viewers.devices", device, 64)?;
            within("viewers.devices", *share, 0.0, 1.0)?;
        }
        whole("viewers.devices", self.viewers.devices.values().sum())?;
        for country in &self.countries {
            plain("countries.code", &country.code, 8)?;
            within("countries.share", country.share, 0.0, 1.0)?;
            if TimeZone::get(&country.timezone).is_err() {
                let zone = &country.timezone;
                return Err(format!(
                    "countries.timezone is `{zone}`; allowed: an IANA time zone such as Europe/Berlin"
                ));
            }
        }
        whole("countries.share", self.countries.iter().map(|country| country.share).sum())
    }

    fn check_behaviour(&self) -> Result<(), String> {
        let (browse, watch) = (&self.browse, &self.watch);
        shares(
            "browse",
            &[
                ("impression", browse.impression),
                ("scroll", browse.scroll),
                ("hover", browse.hover),
                ("click", browse.click),
                ("add_to_list", browse.add_to_list),
                ("not_interested", browse.not_interested),
            ],
        )?;
        shares(
            "watch",
            &[
                ("pause", watch.pause),
                ("seek", watch.seek),
                ("rebuffer", watch.rebuffer),
                ("quality_change", watch.quality_change),
                ("abandon", watch.abandon),
                ("error", watch.error),
            ],
        )?;
        in_order("watch.pause_length", watch.pause_length)?;
        within("watch.pause_tail", watch.pause_tail, 0.1, 10.0)?;
        within("watch.pause_leave", watch.pause_leave, 0.0, 1.0)?;
        within("watch.binge", watch.binge, 0.0, 1.0)?;
        within("watch.leave", watch.leave, 0.0, 1.0)?;
        within("away.return_share", self.away.return_share, 0.0, 1.0)?;
        within("day.starts", self.day.starts, 0.0, 24.0)?;
        within("day.evening", self.day.evening, 0.0, 24.0)?;
        within("day.swing", self.day.swing, 0.0, 0.99)?;
        within("bots.share", self.bots.share, 0.0, 1.0)?;
        within("cmcd.share", self.cmcd.share, 0.0, 1.0)
    }

    fn check_world(&self) -> Result<(), String> {
        within("catalogue.items", self.catalogue.items, 1, 10_000_000)?;
        within("catalogue.zipf", self.catalogue.zipf, 0.0, 5.0)?;
        in_order("catalogue.length", self.catalogue.length)?;
        let network = &self.network;
        within("network.throughput_kbps", network.throughput_kbps, 1.0, 10_000_000.0)?;
        within("network.throughput_spread", network.throughput_spread, 0.0, 3.0)?;
        within("network.rtt_ms", network.rtt_ms, 0.0, 60_000.0)?;
        within("network.rtt_spread", network.rtt_spread, 0.0, 3.0)?;
        within("clocks.wrong", self.clocks.wrong, 0.0, 1.0)?;
        let disorder = &self.disorder;
        shares("disorder", &[("reordered", disorder.reordered), ("late", disorder.late)])?;
        in_order("disorder.late_by", disorder.late_by)?;
        within("disorder.duplicates", disorder.duplicates, 0.0, 1.0)?;
        within("disorder.retries", disorder.retries, 0.0, 1.0)
    }

    fn check_rank(&self) -> Result<(), String> {
        let rank = &self.rank;
        within("rank.share", rank.share, 0.0, 1.0)?;
        plain("rank.model", &rank.model, 64)?;
        within("rank.pool", rank.pool, 1, self.catalogue.items)?;
        within("rank.candidates", rank.candidates, 1, rank.pool.min(10_000))?;
        within("rank.k", rank.k, 1, rank.candidates)?;
        within("rank.clusters", rank.clusters, 1, 64)?;
        within("rank.liking", rank.liking[0], 0.0, 1.0)?;
        within("rank.liking", rank.liking[1], 0.0, rank.liking[0])?;
        within("rank.played", rank.played, 0.0, 1.0)?;
        within("rank.sent_away", rank.sent_away, 0.0, 1.0)?;
        within("rank.explicit", rank.explicit, 0.0, 1.0)
    }
}

fn within<T: PartialOrd + Display>(key: &str, value: T, low: T, high: T) -> Result<(), String> {
    if value >= low && value <= high { Ok(()) } else { Err(format!("{key} is {value}; allowed: {low} to {high}")) }
}

fn shares(section: &str, all: &[(&str, f64)]) -> Result<(), String> {
    for (key, share) in all {
        within(&format!("{section}.{key}"), *share, 0.0, 1.0)?;
    }
    let sum: f64 = all.iter().map(|(_, share)| share).sum();
    if sum <= 1.0 + 1e-9 {
        return Ok(());
    }
    let names: Vec<_> = all.iter().map(|(key, _)| *key).collect();
    Err(format!("{section}: {} are {sum:.4} together; allowed: at most 1", names.join(", ")))
}

fn whole(key: &str, sum: f64) -> Result<(), String> {
    let is_whole = (sum - 1.0).abs() < 1e-3;
    if is_whole { Ok(()) } else { Err(format!("{key}: the shares are {sum} together; allowed: 1")) }
}

fn in_order(key: &str, [low, high]: [Span; 2]) -> Result<(), String> {
    if low <= high { Ok(()) } else { Err(format!("{key} is [\"{low}\", \"{high}\"]; allowed: two spans in order")) }
}

/// Texts are written into JSON, CMCD and paths as they are.
fn plain(key: &str, text: &str, bytes_max: usize) -> Result<(), String> {
    let is_plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b));
    if is_plain && (1..=bytes_max).contains(&text.len()) {
        return Ok(());
    }
    Err(format!("{key} has `{text}`; allowed: 1 to {bytes_max} letters, digits, `_`, `-` or `.`"))
}

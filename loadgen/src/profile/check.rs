//! What the numbers of a profile must be together.

use super::Profile;

impl Profile {
    /// What numbers have to be together is so; says which are not. Each alone is what [`super::rules`] allows.
    pub(super) fn check(&self) -> Result<(), String> {
        self.check_places()?;
        self.check_behaviour()?;
        self.check_rank()
    }

    fn check_places(&self) -> Result<(), String> {
        at_most("viewers.devices", self.viewers.devices.len(), 16)?;
        at_most("countries", self.countries.len(), 64)?;
        whole("viewers.devices", self.viewers.devices.values().sum())?;
        whole("countries.share", self.countries.iter().map(|country| country.share).sum())
    }

    fn check_behaviour(&self) -> Result<(), String> {
        let (browse, watch, disorder) = (&self.browse, &self.watch, &self.disorder);
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
        shares("disorder", &[("reordered", disorder.reordered), ("late", disorder.late)])
    }

    fn check_rank(&self) -> Result<(), String> {
        let (rank, items) = (&self.rank, self.catalogue.items);
        no_more("rank.pool", rank.pool, "catalogue.items", items)?;
        no_more("rank.candidates", rank.candidates, "rank.pool", rank.pool)?;
        no_more("rank.k", rank.k, "rank.candidates", rank.candidates)
    }
}

fn at_most(key: &str, given: usize, max: usize) -> Result<(), String> {
    if given <= max { Ok(()) } else { Err(format!("{key} are {given}; allowed: at most {max}")) }
}

fn no_more(key: &str, value: u32, bound: &str, max: u32) -> Result<(), String> {
    if value <= max { Ok(()) } else { Err(format!("{key} is {value}; allowed: 1 to {max}, which is {bound}")) }
}

fn shares(section: &str, all: &[(&str, f64)]) -> Result<(), String> {
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

//! What a model knows, for people: estimates per action, reward specs side by side, what the policy earns against the hold-out.

use super::books::{Dangled, DecisionEnd, RewardEnd, SpecBook};
use super::earned::{Earned, Estimated};
use super::version::{ModelVersion, SpecVersion};
use super::{Activated, Mode};
use crate::decision::Served;
use crate::learn::{Candidates, Evidence, HalfLife, Key, Model, Policy, Scores, Setting, Sums};
use serde::Serialize;
use std::collections::BTreeMap;

/// Posterior draws behind the probability of being best.
const DRAWS: u32 = 512;

/// One model.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ModelReport {
    /// Its name.
    pub model: String,
    /// Offset per partition before which the log is learnt.
    pub version: Vec<u64>,
    /// Who answers.
    pub mode: Mode,
    /// How it chooses.
    pub policy: Policy,
    /// Version of the reward spec in force; 0 before the first.
    pub reward_version: u32,
    /// Decisions taken in.
    pub decisions: u64,
    /// Of them, how many wait for their reward.
    pub open: u64,
    /// Where the others ended.
    pub outcomes: BTreeMap<&'static str, u64>,
    /// The reward specs that run, by version: the one in force and those in shadow.
    pub rewards: Vec<SpecReport>,
    /// Activations, oldest first.
    pub history: Vec<Activated>,
    /// Who answered how often while the spec in force was, and what it brought: the `in_force` of that spec.
    pub served: Vec<ServedReport>,
    /// Share of decisions in which the policy would have put first what the caller did; only in `apprentice`.
    pub agreement: Option<f64>,
    /// Reward expressions that failed and gave the default reward, of all specs there were.
    pub expressions_failed: u64,
    /// Features in the order of the weights.
    pub context: Option<usize>,
    /// By expected reward, best first.
    pub actions: Vec<ActionReport>,
}

/// A reward spec that runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SpecReport {
    /// Its version.
    pub version: u32,
    /// Whether it is in force.
    pub active: bool,
    /// What it is meant to reward.
    pub description: String,
    /// Decisions learnt from.
    pub decisions: u64,
    /// Rewards learnt.
    pub rewards: u64,
    /// Average reward learnt, as rewards are weighted now; none before the first. While windows are open it is mostly of decisions
    /// with a signal: what decisions bring is in `in_force` and `in_shadow`.
    pub average: Option<f64>,
    /// The half-life in use.
    pub half_life: Option<HalfLife>,
    /// What estimates depart from.
    pub centre: Option<f64>,
    /// Standard deviation of a reward around its estimate.
    pub noise: Option<f64>,
    /// Times that its expression failed and gave the default reward.
    pub expressions_failed: u64,
    /// By who answered: decisions that were made while it was in force, and what they brought by it.
    pub in_force: Vec<ServedReport>,
    /// The same of decisions that were made while another was: what ranks by that brought by the measure of this one.
    pub in_shadow: Vec<ServedReport>,
}

/// What decisions of one kind brought by one reward spec. Averages are of picks whose windows are over: while they are open, those
/// with a signal would count more. Standard errors are of 64 groups of viewers (of sessions or decisions where none is named), as
/// what one viewer is shown is not independent; none where fewer than two groups have any, or all rewards are the same, and of a
/// lift where that is so of either side. With few groups the quantile is Student's.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ServedReport {
    /// Whose choice.
    pub served: Served,
    /// Decisions.
    pub decisions: u64,
    /// Picks whose windows are over.
    pub rewards: u64,
    /// Their average reward.
    pub average: Option<f64>,
    /// Its standard error.
    pub standard_error: Option<f64>,
    /// What it is above the hold-out's average.
    pub lift: Option<f64>,
    /// Its standard error.
    pub lift_standard_error: Option<f64>,
    /// Picks whose reward is known so far, also those whose windows are open.
    pub rewards_so_far: u64,
    /// Their average; too high or too low while windows are open.
    pub average_so_far: Option<f64>,
}

/// An item that decisions were made for.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ActionReport {
    /// The item.
    pub item: String,
    /// Decisions learnt from; none for an estimator that keeps no sums per item.
    pub decisions: Option<u64>,
    /// Its share of them.
    pub share: Option<f64>,
    /// Rewards learnt.
    pub rewards: Option<u64>,
    /// Their average, as they are weighted now.
    pub average: Option<f64>,
    /// Reward expected at the mean context.
    pub estimate: f64,
    /// Its standard error.
    pub standard_error: f64,
    /// How often it is the best of posterior draws at the mean context.
    pub probability_best: f64,
}

impl ModelVersion {
    /// What is known.
    pub fn report(&self) -> ModelReport {
        let books = || (0..self.learnt.len()).map(|partition| self.book(partition));
        let outcomes: BTreeMap<_, _> = self.ends().collect();
        let ended = outcomes.values().sum();
        let spec = &self.plan().spec;
        let apprentice = self.served(Served::Apprentice);
        let agreed: u64 = books().map(|book| book.agreed).sum();
        ModelReport {
            model: spec.name.clone(),
            version: self.covers.clone(),
            mode: spec.mode,
            policy: spec.policy,
            reward_version: self.active,
            decisions: self.decisions,
            open: self.decisions.saturating_sub(ended),
            outcomes,
            rewards: self.specs.iter().map(|spec| self.spec_report(spec)).collect(),
            history: self.rewards().history.clone(),
            served: self.served_reports(self.active, |book| &book.in_force),
            agreement: (apprentice > 0).then(|| agreed as f64 / apprentice as f64),
            expressions_failed: books().map(|book| book.failed).sum(),
            context: self.context(),
            actions: self.action_reports(),
        }
    }

    fn spec_report(&self, spec: &SpecVersion) -> SpecReport {
        let evidence = self.evidence(spec.version);
        let (decisions, rewards) = evidence.map_or((0, 0), Evidence::counts);
        let frame = spec.model.as_ref().map(|model| model.frame());
        SpecReport {
            version: spec.version,
            active: spec.version == self.active,
            description: spec.reward.spec().description.clone(),
            decisions,
            rewards,
            average: evidence.and_then(average_of_all),
            half_life: evidence.map(Evidence::half_life),
            centre: frame.map(|frame| frame.centre),
            noise: frame.map(|frame| frame.noise),
            expressions_failed: self.spec_books(spec.version).map(|book| book.failed).sum(),
            in_force: self.served_reports(spec.version, |book| &book.in_force),
            in_shadow: self.served_reports(spec.version, |book| &book.in_shadow),
        }
    }

    /// Where decisions ended, over all partitions.
    pub fn ends(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let count = |end| (0..self.learnt.len()).map(|partition| self.book(partition).ends[end as usize]).sum();
        DecisionEnd::ALL.into_iter().map(move |(end, name)| (name, count(end)))
    }

    /// Where rewards of all models ended, over all partitions.
    pub fn reward_ends(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let count = |end| self.learnt.iter().map(|learnt| learnt.books.rewards[end as usize]).sum();
        RewardEnd::ALL.into_iter().map(move |(end, name)| (name, count(end)))
    }

    /// The latest rewards of all models that never found their decision, with their partition.
    pub fn dangled(&self) -> impl Iterator<Item = (usize, &Dangled)> {
        self.learnt.iter().enumerate().flat_map(|(p, learnt)| learnt.books.dangled.iter().map(move |d| (p, &**d)))
    }

    /// Decisions of one kind, over all partitions.
    pub fn served(&self, served: Served) -> u64 {
        (0..self.learnt.len()).map(|partition| self.book(partition).served[served as usize]).sum()
    }

    /// What decisions of one kind brought while the spec in force was, over all partitions.
    pub fn earned(&self, served: Served) -> Earned {
        self.sum_earned(self.active, |book| &book.in_force[served as usize])
    }

    fn sum_earned(&self, spec: u32, of: impl Fn(&SpecBook) -> &Earned) -> Earned {
        self.spec_books(spec).fold(Earned::default(), |mut all, book| {
            all.add(of(book));
            all
        })
    }

    fn spec_books(&self, version: u32) -> impl Iterator<Item = &SpecBook> {
        let books = (0..self.learnt.len()).map(|partition| self.book(partition));
        books.filter_map(move |book| book.specs.iter().find(|book| book.version == version))
    }

    fn served_reports(&self, spec: u32, of: impl Fn(&SpecBook) -> &[Earned; Served::ALL.len()]) -> Vec<ServedReport> {
        let earned = |served: Served| self.sum_earned(spec, |book| &of(book)[served as usize]);
        let held_out = earned(Served::HeldOut);
        let report = |served| {
            let earned = earned(served);
            let average = earned.average();
            let lift = (served != Served::HeldOut).then(|| earned.lift(&held_out)).flatten();
            let error = |of: Option<Estimated>| of.and_then(|of| of.standard_error);
            ServedReport {
                served,
                decisions: earned.decisions,
                rewards: earned.matured().picks,
                average: average.map(|average| average.value),
                standard_error: error(average),
                lift: lift.map(|lift| lift.value),
                lift_standard_error: error(lift),
                rewards_so_far: earned.so_far.picks,
                average_so_far: earned.so_far.average(),
            }
        };
        Served::ALL.into_iter().map(report).filter(|report| report.decisions > 0).collect()
    }

    fn action_reports(&self) -> Vec<ActionReport> {
        let width = self.plan().learning.joint;
        let (Some(evidence), Some(model)) = (self.evidence(self.active), self.model()) else { return vec![] };
        let (places, items): (Vec<u32>, Vec<&str>) = self.items().iter().unzip();
        let x = mean_context(evidence, model, &places);
        let mut joint = vec![];
        for item in items.iter().filter(|_| width > 0) {
            let known = self.catalogue().get(item).unwrap_or_default();
            self.plan().joint_of(&x, &[known], &mut joint);
        }
        let mut scores = Scores::default();
        model.score(&Candidates { context: &x, joint: &joint, actions: &places }, &mut scores);
        let posterior = Policy::Thompson { scale: Setting::Fixed(1.0), draws: DRAWS, floor: 0.0 };
        let mut best = vec![];
        posterior.distribution(&scores, Key::new(self.plan().spec.seed, b"report"), &mut best);
        let total: u64 = places.iter().filter_map(|place| evidence.action(*place)).map(|sums| sums.counts().0).sum();
        let mut reports: Vec<ActionReport> = places
            .iter()
            .zip(items)
            .enumerate()
            .map(|(at, (place, item))| {
                let sums = evidence.action(*place);
                let counts = sums.map(Sums::counts);
                ActionReport {
                    item: item.to_string(),
                    decisions: counts.map(|(entered, _)| entered),
                    share: counts.map(|(entered, _)| entered as f64 / total.max(1) as f64),
                    rewards: counts.map(|(_, settled)| settled),
                    average: sums.and_then(|sums| average([sums.moments(model.frame().now)])),
                    estimate: scores.expected(at),
                    standard_error: scores.deviations_std[at],
                    probability_best: best[at],
                }
            })
            .collect();
        reports.sort_by(|a, b| b.estimate.total_cmp(&a.estimate).then_with(|| a.item.cmp(&b.item)));
        reports
    }
}

/// The mean of settled decisions' contexts, as they are weighted now; the constant alone where no sums tell it.
fn mean_context(evidence: &Evidence, model: &Model, places: &[u32]) -> Vec<f64> {
    let (n, now) = (model.context(), model.frame().now);
    let (mut sum, mut weight) = (vec![0.0; n], 0.0);
    for sums in places.iter().filter_map(|place| evidence.action(*place)) {
        let (_, _, settled, scale) = sums.at(now);
        sum.iter_mut().zip(settled).for_each(|(sum, x)| *sum += scale * x);
        weight += sums.moments(now)[0];
    }
    if weight > 0.0 {
        sum.iter_mut().for_each(|x| *x /= weight);
    } else if let Some(first) = sum.first_mut() {
        *first = 1.0;
    }
    sum
}

fn average_of_all(evidence: &Evidence) -> Option<f64> {
    let now = evidence.frame().now;
    match evidence.shared() {
        Some(shared) => average([shared.moments(now)]),
        None => average((0..).map_while(|action| evidence.action(action)).map(|sums| sums.moments(now))),
    }
}

/// Σ w·r / Σ w.
fn average(moments: impl IntoIterator<Item = [f64; 3]>) -> Option<f64> {
    let sums = moments.into_iter().fold([0.0; 2], |[w, r], [weight, reward, _]| [w + weight, r + reward]);
    (sums[0] > 0.0).then(|| sums[1] / sums[0])
}

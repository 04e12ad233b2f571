//! Model versions: what ranks, cut from what the partitions learnt.
//!
//! A version is a pure function of one [`Learnt`] per partition: cut again from the same ones it has the same bits, whatever was cut
//! in between. What did not change since the last version is shared with it. Versions are never changed: readers may hold them.

use super::actions::Actions;
use super::books::ModelBook;
use super::plan::ModelPlan;
use super::{Catalogue, Learnt, Registry, Rewards};
use crate::learn::{CutScratch, Evidence, Learning, Model};
use crate::plan::Plan;
use crate::reward::Reward;
use std::sync::Arc;

/// An immutable version of one model.
#[derive(Clone, Debug)]
pub struct ModelVersion {
    pub(super) plan: Arc<Plan>,
    pub(super) place: usize,
    /// Offset per partition before which the log is learnt: names the version.
    pub covers: Vec<u64>,
    /// One per reward spec that runs, by version.
    pub specs: Vec<SpecVersion>,
    /// Version of the reward spec in force; 0 before the first.
    pub active: u32,
    /// Decisions taken in.
    pub decisions: u64,
    /// By partition.
    pub(super) learnt: Vec<Arc<Learnt>>,
    /// Items of all partitions and their places by partition; none for a single one, whose own places are used.
    merged: Option<Arc<Merged>>,
    /// What ranks before anything is learnt, where the number of features is configured.
    prior: Option<Arc<Model>>,
}

/// A model version under one reward spec.
#[derive(Clone, Debug)]
pub struct SpecVersion {
    /// The spec's version.
    pub version: u32,
    /// The spec.
    pub reward: Arc<Reward>,
    /// None before the first decision.
    pub model: Option<Arc<Model>>,
    /// Offset of the record that proposed the spec.
    since: u64,
    /// The sums of all partitions; none for a single one, whose books have them.
    evidence: Option<Arc<Evidence>>,
}

#[derive(Debug, Default)]
struct Merged {
    actions: Actions,
    places: Vec<Vec<u32>>,
}

impl ModelVersion {
    /// The model as configured.
    pub fn plan(&self) -> &ModelPlan {
        &self.plan.models()[self.place]
    }

    /// The plan it belongs to.
    pub fn whole_plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// Items with estimates of their own.
    pub fn actions(&self) -> &Actions {
        match &self.merged {
            Some(merged) => &merged.actions,
            None => &self.book(0).actions,
        }
    }

    /// What is known of items.
    pub fn catalogue(&self) -> &Catalogue {
        &self.learnt[0].catalogue
    }

    /// Who proposed and activated what.
    pub fn rewards(&self) -> &Rewards {
        self.learnt[0].registry.model(self.place)
    }

    /// The reward specs of all models.
    pub fn registry(&self) -> &Registry {
        &self.learnt[0].registry
    }

    /// A reward spec that runs.
    pub fn spec(&self, version: u32) -> Option<&SpecVersion> {
        self.specs.iter().find(|spec| spec.version == version)
    }

    /// The model under the reward spec in force; none before its first decision.
    pub fn model(&self) -> Option<&Arc<Model>> {
        self.spec(self.active)?.model.as_ref()
    }

    /// Features of the context that a decision must have; none where the request brings them and the first has not come.
    pub fn context(&self) -> Option<usize> {
        match self.plan().learning.context {
            0 => self.model().map(|model| model.context()),
            context => Some(context),
        }
    }

    /// What ranks before anything is learnt of contexts of this size.
    pub(super) fn prior(&self, context: usize) -> Arc<Model> {
        let fitting = self.prior.as_ref().filter(|prior| prior.context() == context);
        fitting.map_or_else(|| Arc::new(prior(&self.plan().learning, context)), Arc::clone)
    }

    /// The sums under one spec that runs.
    pub(super) fn evidence(&self, spec: u32) -> Option<&Evidence> {
        match &self.spec(spec)?.evidence {
            Some(merged) => Some(merged),
            None => learnt_under(self.book(0), spec),
        }
    }

    pub(super) fn book(&self, partition: usize) -> &ModelBook {
        &self.learnt[partition].books.models[self.place]
    }
}

fn prior(learning: &Learning, context: usize) -> Model {
    Model::cut(&Evidence::new(&Learning { context, ..learning.clone() }))
}

fn learnt_under(book: &ModelBook, spec: u32) -> Option<&Evidence> {
    book.specs.iter().find(|book| book.version == spec)?.evidence.as_ref()
}

/// Cuts versions of all models from the latest that each partition learnt.
pub struct Cutter {
    plan: Arc<Plan>,
    learnt: Vec<Arc<Learnt>>,
    last: Vec<Option<Arc<ModelVersion>>>,
    scratch: CutScratch,
}

impl Cutter {
    /// Begins with what each partition learnt, in order; at least one.
    pub fn new(plan: &Arc<Plan>, learnt: Vec<Learnt>) -> Self {
        assert!(!learnt.is_empty(), "there is at least one partition");
        let last = vec![None; plan.models().len()];
        let learnt = learnt.into_iter().map(Arc::new).collect();
        Cutter { plan: Arc::clone(plan), learnt, last, scratch: CutScratch::default() }
    }

    /// Replaces what a partition learnt.
    pub fn take(&mut self, partition: usize, learnt: Learnt) {
        self.learnt[partition] = Arc::new(learnt);
    }

    /// A version of each model, in the plan's order.
    pub fn cut(&mut self) -> Vec<Arc<ModelVersion>> {
        let places = 0..self.plan.models().len();
        places
            .map(|place| {
                let version = Arc::new(self.version(place));
                self.last[place] = Some(Arc::clone(&version));
                version
            })
            .collect()
    }

    fn version(&mut self, place: usize) -> ModelVersion {
        let last = self.last[place].take();
        let learning = &self.plan.models()[place].learning;
        let prior = match &last {
            Some(last) => last.prior.clone(),
            None => (learning.context > 0).then(|| Arc::new(prior(learning, learning.context))),
        };
        let rewards = self.learnt[0].registry.model(place);
        let mut version = ModelVersion {
            plan: Arc::clone(&self.plan),
            place,
            covers: self.learnt.iter().map(|learnt| learnt.offset).collect(),
            specs: vec![],
            active: rewards.active,
            decisions: self.learnt.iter().map(|learnt| learnt.books.models[place].decisions).sum(),
            merged: (self.learnt.len() > 1).then(|| merged(&self.learnt, place, last.as_deref())),
            learnt: self.learnt.clone(),
            prior,
        };
        let running = rewards.running.iter().map(|running| SpecVersion {
            version: running.reward.spec().version,
            reward: Arc::clone(&running.reward),
            model: None,
            since: running.since,
            evidence: None,
        });
        let specs = running.map(|spec| cut_spec(spec, &version, last.as_deref(), &mut self.scratch)).collect();
        version.specs = specs;
        version
    }
}

/// Items of all partitions, in their order.
fn merged(learnt: &[Arc<Learnt>], place: usize, last: Option<&ModelVersion>) -> Arc<Merged> {
    let same = |(now, then): (&Arc<Learnt>, &Arc<Learnt>)| {
        now.books.models[place].actions.shares_names(&then.books.models[place].actions)
    };
    if let Some(last) = last
        && learnt.iter().zip(&last.learnt).all(same)
        && let Some(merged) = &last.merged
    {
        return Arc::clone(merged);
    }
    let mut merged = Merged::default();
    for learnt in learnt {
        let theirs = &learnt.books.models[place].actions;
        merged.places.push((0..theirs.len() as u32).map(|i| merged.actions.adopt(theirs.name(i))).collect());
    }
    Arc::new(merged)
}

/// The model of one spec: the last one's where nothing was learnt since.
fn cut_spec(
    mut spec: SpecVersion,
    version: &ModelVersion,
    last: Option<&ModelVersion>,
    scratch: &mut CutScratch,
) -> SpecVersion {
    // A spec that was retired and proposed again has other sums.
    let before = last.and_then(|last| Some((last, last.spec(spec.version).filter(|old| old.since == spec.since)?)));
    let now = by_partition(version, spec.version);
    if let Some((last, old)) = before
        && by_partition(last, spec.version).iter().zip(&now).all(|(then, now)| match (then, now) {
            (Some(then), Some(now)) => now.is_same(then),
            (then, now) => then.is_none() && now.is_none(),
        })
    {
        spec.model.clone_from(&old.model);
        spec.evidence.clone_from(&old.evidence);
        return spec;
    }
    match (&version.merged, now.as_slice()) {
        (None, [Some(evidence)]) => {
            let before = before.and_then(|(last, old)| Some((old.model.as_deref()?, last.evidence(spec.version)?)));
            spec.model = Some(Arc::new(match before {
                Some((model, shown)) => {
                    let mut model = model.clone();
                    model.refresh(evidence, Some(shown), scratch);
                    model
                }
                None => Model::cut(evidence),
            }));
        }
        (Some(merged), evidences) => {
            spec.evidence = merge(evidences, &merged.places).map(Arc::new);
            spec.model = spec.evidence.as_deref().map(|evidence| Arc::new(Model::cut(evidence)));
        }
        _ => {}
    }
    spec
}

fn by_partition(version: &ModelVersion, spec: u32) -> Vec<Option<&Evidence>> {
    (0..version.learnt.len()).map(|partition| learnt_under(version.book(partition), spec)).collect()
}

/// The sums of all partitions, in their order. Where requests bring contexts of different sizes, the first partition's size counts.
fn merge(evidences: &[Option<&Evidence>], places: &[Vec<u32>]) -> Option<Evidence> {
    let learning = evidences.iter().flatten().next()?.learning();
    let mut merged = Evidence::new(learning);
    for (evidence, places) in evidences.iter().zip(places) {
        if let Some(evidence) = evidence.filter(|evidence| evidence.learning() == learning) {
            merged.merge(evidence, places);
        }
    }
    Some(merged)
}

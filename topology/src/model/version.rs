//! Model versions: what ranks, cut from what the partitions learnt.
//!
//! A version is a pure function of one [`Learnt`] per partition: cut again from the same ones it has the same bits, whatever was cut
//! in between. What did not change since the last version is shared with it. Versions are never changed: readers may hold them.

use super::books::ModelBook;
use super::plan::ModelPlan;
use super::{Catalogue, Items, Learnt, Registry, Rewards};
use crate::learn::{CutScratch, Evidence, Learning, Model, Share};
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
    /// The sums of all partitions; none for a single one, whose books have them.
    evidence: Option<Arc<Evidence>>,
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
    pub fn items(&self) -> Items<'_> {
        Items::new(&self.learnt, self.place)
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
            learnt: self.learnt.clone(),
            prior,
        };
        let running = rewards.running.iter().map(|running| SpecVersion {
            version: running.reward.spec().version,
            reward: Arc::clone(&running.reward),
            model: None,
            evidence: None,
        });
        let specs = running.map(|spec| cut_spec(spec, &version, last.as_deref(), &mut self.scratch)).collect();
        version.specs = specs;
        version
    }
}

/// The model of one spec: the last one's where nothing was learnt since, else that brought up to what was.
fn cut_spec(
    mut spec: SpecVersion,
    version: &ModelVersion,
    last: Option<&ModelVersion>,
    scratch: &mut CutScratch,
) -> SpecVersion {
    let before = last.and_then(|last| Some((last, last.spec(spec.version).filter(|_| is_same(version, last, &spec))?)));
    let now = by_partition(version, spec.version);
    if let Some((last, old)) = before
        && version.items().are(last.items())
        && by_partition(last, spec.version).iter().zip(&now).all(|(then, now)| match (then, now) {
            (Some(then), Some(now)) => now.is_same(then),
            (then, now) => then.is_none() && now.is_none(),
        })
    {
        spec.model.clone_from(&old.model);
        spec.evidence.clone_from(&old.evidence);
        return spec;
    }
    let evidence = match now.as_slice() {
        [alone] => *alone,
        several => {
            spec.evidence = together(several, version, before).map(Arc::new);
            spec.evidence.as_deref()
        }
    };
    let shown = before.and_then(|(last, old)| Some((old.model.as_deref()?, last.evidence(spec.version)?)));
    spec.model = evidence.map(|evidence| match shown.filter(|(_, shown)| shown.learning() == evidence.learning()) {
        Some((model, shown)) => {
            let mut model = model.clone();
            model.refresh(evidence, Some(shown), scratch);
            Arc::new(model)
        }
        None => Arc::new(Model::cut(evidence)),
    });
    spec
}

/// Whether a spec has run in all partitions from one version to the next: one that was retired and proposed again has other sums.
fn is_same(version: &ModelVersion, last: &ModelVersion, spec: &SpecVersion) -> bool {
    let since = |learnt: &Learnt| learnt.registry.model(version.place).run(spec.version).map(|running| running.since);
    version.learnt.iter().zip(&last.learnt).all(|(now, then)| since(now) == since(then))
}

fn by_partition(version: &ModelVersion, spec: u32) -> Vec<Option<&Evidence>> {
    (0..version.learnt.len()).map(|partition| learnt_under(version.book(partition), spec)).collect()
}

/// What all partitions learnt under a spec: of the last version, what no partition has learnt anything of since, is kept.
fn together(
    now: &[Option<&Evidence>],
    version: &ModelVersion,
    before: Option<(&ModelVersion, &SpecVersion)>,
) -> Option<Evidence> {
    let items = version.items();
    let shown = before.and_then(|(_, old)| old.evidence.as_deref());
    let (mut all, is_kept) = Evidence::together(now, items.places(), shown)?;
    let places = match before.filter(|_| is_kept) {
        Some((last, old)) => {
            let then = by_partition(last, old.version);
            let learnt = now.iter().zip(then).enumerate().filter_map(|(p, (now, then))| Some((p, (*now)?, then)));
            let learnt =
                learnt.flat_map(|(p, now, then)| all.changed(now, then).into_iter().map(move |place| (p, place)));
            items.affected(last.items(), learnt)
        }
        None => items.iter().map(|(place, _)| place).collect(),
    };
    for place in places {
        let known = items.known(place).filter_map(|(p, action)| Some((p, action, now[p]?)));
        all.put(
            place,
            known.map(|(p, action, evidence)| Share { evidence, action, whose: (p as u64) << 32 | u64::from(action) }),
        );
    }
    Some(all)
}

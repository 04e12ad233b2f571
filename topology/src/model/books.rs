//! The books of a partition: what was learnt and counted of each model, by addition only.
//!
//! Books contain the log before one offset. While catching up from a checkpoint, what they contain comes again and is passed over
//! (see `snapshot`): so everything that enters them names the offset of its record.

use super::actions::Actions;
use super::earned::Earned;
use super::plan::ModelPlan;
use crate::decision::Served;
use crate::learn::{Delays, Entry, Evidence, Learning};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Where a decision ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DecisionEnd {
    /// Something was observed of it within its window.
    Joined,
    /// Nothing was: it got the default reward.
    Default,
    /// Its window was over before it came.
    Late,
    /// It had to make room.
    Evicted,
    /// It was the hold-out's.
    HeldOut,
    /// Its viewer does not want to be learnt from.
    OptedOut,
    /// It was deferred and never shown.
    NotActivated,
    /// Its features do not fit the model.
    Unfit,
}

impl DecisionEnd {
    /// All of them, with their names in metrics.
    pub const ALL: [(DecisionEnd, &'static str); 8] = [
        (DecisionEnd::Joined, "joined"),
        (DecisionEnd::Default, "default"),
        (DecisionEnd::Late, "late"),
        (DecisionEnd::Evicted, "evicted"),
        (DecisionEnd::HeldOut, "held_out"),
        (DecisionEnd::OptedOut, "opted_out"),
        (DecisionEnd::NotActivated, "not_activated"),
        (DecisionEnd::Unfit, "unfit"),
    ];
}

/// Where an explicit reward, or an event that names a decision or was matched to one, ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RewardEnd {
    /// It counts for its decision.
    Joined,
    /// Its decision's window was over, or not begun.
    Late,
    /// Its decision was never heard of, or has no such item or position.
    Dangling,
    /// It waited for its decision and had to make room.
    Evicted,
    /// It was told in its decision's partition too, while it was on its way there; or it counts for its decision already, and came
    /// again when its id was forgotten.
    Duplicate,
}

impl RewardEnd {
    /// All of them, with their names in metrics.
    pub const ALL: [(RewardEnd, &'static str); 5] = [
        (RewardEnd::Joined, "joined"),
        (RewardEnd::Late, "late"),
        (RewardEnd::Dangling, "dangling"),
        (RewardEnd::Evicted, "evicted"),
        (RewardEnd::Duplicate, "duplicate"),
    ];

    /// Its name, as in JSON and metrics.
    pub fn name(self) -> &'static str {
        RewardEnd::ALL[self as usize].1
    }
}

/// All books of a partition.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Books {
    /// They contain the records before this offset.
    pub as_of: u64,
    /// By place in the plan.
    pub models: Vec<ModelBook>,
    /// Ends of rewards, by [`RewardEnd`].
    pub rewards: [u64; RewardEnd::ALL.len()],
    /// The latest that never found their decision.
    pub dangled: Arc<Vec<Arc<Dangled>>>,
    /// Names of models that the log knows and the plan does not.
    pub lapsed: Arc<BTreeSet<String>>,
    /// Where the ids of decisions that are over stand: generation and ids in it. In checkpoints.
    pub over: (u64, u64),
    /// Grows with each change.
    #[serde(skip)]
    pub revision: u64,
}

/// A reward that belongs to nothing that was decided.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dangled {
    /// The decision it names.
    pub decision: String,
    /// The item it names.
    pub item: Option<String>,
    /// The position it names.
    pub position: Option<u32>,
    /// Event type, or `reward` for an explicit one.
    pub kind: String,
    /// Its event time, epoch ms.
    pub event_time: i64,
    /// Offset of its record.
    pub offset: u64,
    /// The decision is there, but has not that item or position; else it was never heard of.
    pub is_decided: bool,
}

/// What was learnt and counted of one model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ModelBook {
    /// The model's name.
    pub name: String,
    /// [`ModelPlan::hash`] it was learnt by.
    pub hash: u64,
    /// Items with sums of their own.
    pub actions: Actions,
    /// One per reward spec that runs or ran.
    pub specs: Vec<SpecBook>,
    /// Decisions taken in.
    pub decisions: u64,
    /// Their ends, by [`DecisionEnd`].
    pub ends: [u64; DecisionEnd::ALL.len()],
    /// Of them, by [`Served`].
    pub served: [u64; Served::ALL.len()],
    /// In `apprentice`: decisions in which the policy would have chosen as the caller did.
    pub agreed: u64,
    /// Reward expressions that failed and gave the default reward, also of specs that are retired.
    pub failed: u64,
}

/// What was learnt under one reward spec.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SpecBook {
    /// The spec's version.
    pub version: u32,
    /// What decisions brought by it that were made while it was in force, by [`Served`].
    pub in_force: [Earned; Served::ALL.len()],
    /// The same while another was: it ran in shadow.
    pub in_shadow: [Earned; Served::ALL.len()],
    /// Times that a reward became one whose expression failed, which gives the default reward.
    pub failed: u64,
    /// None before the first decision.
    pub evidence: Option<Evidence>,
    /// How long its rewards take.
    pub delays: Delays,
    /// Picks without a reward so far, by (offset of the decision, position): share that counts with the default reward already.
    pub(crate) leant: BTreeMap<(u64, u32), f64>,
}

/// Dangling rewards kept for people.
const DANGLED_MAX: usize = 256;
/// Models remembered that are not configured any more.
const LAPSED_MAX: usize = 1024;

impl Books {
    pub(crate) fn new(plans: &[ModelPlan]) -> Self {
        let book =
            |plan: &ModelPlan| ModelBook { name: plan.spec.name.clone(), hash: plan.hash, ..ModelBook::default() };
        Books { models: plans.iter().map(book).collect(), ..Books::default() }
    }

    /// A copy for those who read them: cheap, as it leaves out what only learning itself looks at, of which there is some per open decision.
    pub(crate) fn to_read(&self) -> Books {
        let models = self.models.iter().map(ModelBook::to_read).collect();
        Books { models, dangled: Arc::clone(&self.dangled), lapsed: Arc::clone(&self.lapsed), ..*self }
    }

    /// Notes that what the log has of a model is not taken in: under a plan that has it, this state could not be gone on from.
    pub(crate) fn lapse(&mut self, model: &str) {
        if self.lapsed.len() < LAPSED_MAX && !self.lapsed.contains(model) {
            Arc::make_mut(&mut self.lapsed).insert(model.to_string());
        }
    }

    /// The books, for what the record at `offset` adds; none where they contain it.
    pub(crate) fn at(&mut self, offset: u64) -> Option<&mut Books> {
        if offset < self.as_of {
            return None;
        }
        self.revision += 1;
        Some(self)
    }

    pub(crate) fn reward(&mut self, offset: u64, end: RewardEnd) {
        if let Some(books) = self.at(offset) {
            books.rewards[end as usize] += 1;
        }
    }

    pub(crate) fn dangling(&mut self, offset: u64, dangled: Dangled) {
        if let Some(books) = self.at(offset) {
            books.rewards[RewardEnd::Dangling as usize] += 1;
            let latest = Arc::make_mut(&mut books.dangled);
            if latest.len() >= DANGLED_MAX {
                latest.remove(0);
            }
            latest.push(Arc::new(dangled));
        }
    }
}

impl ModelBook {
    fn to_read(&self) -> ModelBook {
        let specs = self.specs.iter().map(|book| SpecBook {
            in_force: book.in_force.clone(),
            in_shadow: book.in_shadow.clone(),
            evidence: book.evidence.clone(),
            delays: book.delays.clone(),
            leant: BTreeMap::new(),
            ..*book
        });
        ModelBook { name: self.name.clone(), actions: self.actions.clone(), specs: specs.collect(), ..*self }
    }

    /// What is learnt under a spec; made where it is new.
    pub(crate) fn spec(&mut self, version: u32) -> &mut SpecBook {
        let at = self.specs.iter().position(|book| book.version == version).unwrap_or_else(|| {
            self.specs.push(SpecBook { version, ..SpecBook::default() });
            self.specs.len() - 1
        });
        &mut self.specs[at]
    }

    /// The place of an item that was decided for at `offset`.
    pub(crate) fn action(&mut self, item: &str, offset: u64, max: usize) -> u32 {
        let taken = self.actions.take(item, offset, max);
        if taken.is_reused {
            self.specs.iter_mut().filter_map(|book| book.evidence.as_mut()).for_each(|e| e.forget(taken.place));
        }
        taken.place
    }

    /// What is learnt under a spec that decisions were made under.
    pub(crate) fn find_spec(&mut self, version: u32) -> Option<&mut SpecBook> {
        self.specs.iter_mut().find(|book| book.version == version)
    }
}

impl SpecBook {
    /// What decisions of one kind brought by it. `is_in_force`: they were made while it was.
    pub(crate) fn earned(&mut self, served: Served, is_in_force: bool) -> &mut Earned {
        let all = if is_in_force { &mut self.in_force } else { &mut self.in_shadow };
        &mut all[served as usize]
    }

    /// The evidence for decisions with this many features of context; none where it has another number.
    pub(crate) fn evidence(&mut self, learning: &Learning, entry: &Entry<'_>) -> Option<&mut Evidence> {
        let context = if learning.context == 0 { entry.context.len() } else { learning.context };
        let evidence = self.evidence.get_or_insert_with(|| Evidence::new(&Learning { context, ..learning.clone() }));
        evidence.accepts(entry, None).then_some(evidence)
    }
}

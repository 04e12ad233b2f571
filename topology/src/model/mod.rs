//! Models: what they are configured with, what was learnt, the versions that rank.
//!
//! [`ModelSpec`] is configuration, [`ModelPlan`] what it compiles to. [`Books`] hold what a partition learnt and counted,
//! [`Registry`] the reward specs that run, [`Catalogue`] what is known of items. [`Cutter`] makes [`ModelVersion`]s of them, and
//! [`rank()`] decisions.

mod actions;
mod ask;
mod books;
mod catalogue;
mod earned;
mod explain;
mod items;
mod plan;
mod rank;
mod registry;
mod report;
mod spec;
#[cfg(test)]
mod tests;
mod version;

pub use actions::Actions;
pub use ask::{Ask, Given, RankError};
pub use books::{Books, Dangled, DecisionEnd, ModelBook, RewardEnd, SpecBook};
pub use catalogue::{Catalogue, ITEMS_MAX};
pub use earned::{Brought, Earned, Estimated};
pub use explain::{Explained, draws, explain};
pub use items::Items;
pub use plan::{CONTEXT_MAX, JOINT_MAX, ModelPlan};
pub use rank::{RankScratch, elsewhere, rank};
pub use registry::{Activated, ControlError, Registry, Rewards, Running, SPECS_MAX, StoredRewards};
pub use spec::{Attribute, Baseline, ContextName, ContextSpec, ItemFeature, Mode, ModelSpec, RewardSource};

pub use report::{ActionReport, ModelReport, ServedReport, SpecReport};
pub use version::{Cutter, ModelVersion, SpecVersion};

/// What a partition hands over for model versions: cheap copies, shared until they change.
#[derive(Clone, Debug)]
pub struct Learnt {
    /// It contains the records before this offset.
    pub offset: u64,
    /// What was learnt.
    pub books: Books,
    /// Which specs run.
    pub registry: Registry,
    /// What is known of items; empty but in partition 0.
    pub catalogue: Catalogue,
}

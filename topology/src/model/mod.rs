//! Models: what they are configured with, what was learnt, the versions that rank.

mod spec;

pub use spec::{Attribute, Baseline, ContextName, ContextSpec, ItemFeature, Mode, ModelSpec, RewardSource};

//! Learning: sums against their definition, models against plain references, policies against their own propensities.

mod learner;
mod models;
mod policies;
mod provisional;
mod reference;
mod sums;

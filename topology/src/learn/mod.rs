//! Learning is addition: sums in forward decay, model versions cut from them, policies over what they predict.
//!
//! ```text
//! decision, reward ─► Evidence (sums per action and half-life) ─► Model (posteriors) ─► Scores ─► Policy ─► distribution ─► draw
//!                        │ merged over partitions, exact corrections    cut: only what changed            keyed by decision id
//! ```
//!
//! Reading order: [`decay`] what an observation weighs, [`sums`] what is added, [`frame`] what is measured for all actions,
//! [`estimate`] one posterior, [`hybrid`](Estimator::Hybrid) shared beside own weights, [`rung`](Ladder) several half-lives,
//! [`evidence`](Evidence) and [`model`](Model) all of a model, [`policy`](Policy), [`slate`](Policy::fill), [`draw`](Key).
//!
//! Everything is a pure function of records: no clock, no randomness but keyed, summation in a fixed order.

pub mod decay;
mod draw;
pub mod estimate;
mod evidence;
mod factor;
pub mod frame;
mod hybrid;
mod learning;
mod model;
mod policy;
mod provisional;
mod rung;
mod scores;
mod setting;
mod slate;
pub mod sums;
mod triangle;

pub use decay::{At, HalfLife, Stamp};
pub use draw::{Drawn, Key, Stream};
pub use estimate::{CutScratch, Estimate};
pub use evidence::{Evidence, Share, VALUE_MAX};
pub use frame::{Frame, Prior};
pub use learning::{Entry, Estimator, Learning};
pub use model::Model;
pub use policy::{DRAWS, DRAWS_MAX, FLOOR, FLOOR_MIN, Policy, Width};
pub use provisional::{Delays, Provisional};
pub use rung::Ladder;
pub use scores::{Candidates, Scores};
pub use setting::Setting;
pub use slate::{Placed, SlateScratch};
pub use sums::Sums;

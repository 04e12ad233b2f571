//! The plan: features from configuration, compiled to a layout of inputs, state words and vector slots.
//!
//! The layout is a function of the specification alone; `schema_version` is its hash, so two vectors with the same version have
//! the same slots. Nothing here depends on events.

mod check;
mod compile;
pub(crate) mod input;

pub use check::PlanError;
pub(crate) use check::error;
use input::Inputs;

use crate::model::ModelPlan;
use crate::names::Names;
use crate::row::RowPlan;
use crate::spec::{Scope, Spec};

/// One number of the vector.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Slot {
    /// Unique name: feature, group, half-life, joined by dots.
    pub name: String,
    /// Name of the `[[features]]` table.
    pub feature: String,
    /// Its type, as in configuration.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whose state it is about.
    pub scope: Scope,
    /// What it says.
    pub description: String,
    /// Unit of the number.
    pub unit: &'static str,
    /// Value where nothing was seen.
    pub absent: f64,
}

/// A compiled specification.
#[derive(Debug)]
pub struct Plan {
    pub(crate) spec: Spec,
    pub(crate) slots: Vec<Slot>,
    pub(crate) profile_slots: Vec<u32>,
    pub(crate) schema_version: String,
    /// What sessions take from an event.
    pub(crate) session_inputs: Inputs,
    /// What viewers take from it.
    pub(crate) viewer_inputs: Inputs,
    pub(crate) kinds: Names,
    pub(crate) session: RowPlan,
    pub(crate) viewer: RowPlan,
    pub(crate) models: Vec<ModelPlan>,
}

impl Plan {
    /// Compiles a specification, or says which key is wrong, what was found and what is allowed.
    pub fn compile(spec: &Spec) -> Result<Plan, PlanError> {
        compile::compile(spec)
    }

    /// The vector's slots in order.
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// Places of the slots that are about the viewer, not about one session.
    pub fn profile_slots(&self) -> &[u32] {
        &self.profile_slots
    }

    /// The models in order.
    pub fn models(&self) -> &[ModelPlan] {
        &self.models
    }

    /// The place of a model in [`Plan::models`].
    pub fn model(&self, name: &str) -> Option<usize> {
        self.models.iter().position(|model| model.spec.name == name)
    }

    /// Names the layout: 16 hexadecimal digits.
    pub fn schema_version(&self) -> &str {
        &self.schema_version
    }

    /// Bytes of state of one session and one viewer with nothing pending: a row each.
    pub fn row_bytes(&self) -> (usize, usize) {
        (8 * self.session.words, 8 * self.viewer.words)
    }

    /// True where profiles are kept.
    pub fn keeps_viewers(&self) -> bool {
        self.spec.viewer.enabled
    }

    /// Bit of the event's type in filters.
    pub(crate) fn kind_bit(&self, kind: &str) -> u64 {
        let place = if self.kinds.is_empty() { None } else { self.kinds.place(kind) };
        1 << place.unwrap_or(63)
    }
}

//! Which reward specs run, and which of them is in force: folded from control records.

use crate::decision::{Act, Control};
use crate::reward::{Reward, RewardSpec};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Specs that run at once per model.
pub const SPECS_MAX: usize = 8;
/// Activations remembered per model.
const HISTORY_MAX: usize = 64;

/// The reward specs of all models, in the plan's order.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    pub(crate) models: Vec<Rewards>,
}

/// The reward specs of one model.
#[derive(Clone, Debug, Default)]
pub struct Rewards {
    /// Those that run, by version.
    pub running: Vec<Running>,
    /// Version of the one in force; 0 before the first.
    pub active: u32,
    /// Activations, oldest first.
    pub history: Vec<Activated>,
    /// The greatest version that was put in force before those.
    forgotten: u32,
    /// Arrival of the latest change, epoch ms.
    changed: i64,
}

/// A spec that runs.
#[derive(Clone, Debug)]
pub struct Running {
    /// Compiled.
    pub reward: Arc<Reward>,
    /// Who proposed it.
    pub by: String,
    /// Offset of the record that did.
    pub since: u64,
}

/// An activation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Activated {
    /// The spec's version.
    pub version: u32,
    /// Who.
    pub by: String,
    /// Offset of the record.
    pub offset: u64,
    /// Arrival of the record, epoch ms.
    pub at: i64,
}

/// Why a control record changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// Not configured.
    #[error("there is no model `{0}`")]
    Model(String),
    /// The spec itself.
    #[error("{0}")]
    Spec(String),
    /// Another spec of this version runs.
    #[error("version {0} is taken by another spec; a changed spec needs a version of its own")]
    Taken(u32),
    /// The configuration has another spec of this version.
    #[error("version {0} is that of another spec in the configuration; a changed spec needs a version of its own")]
    Configured(u32),
    /// Nothing of this version runs.
    #[error("version {0} does not run; propose it first")]
    Unknown(u32),
    /// The one in force cannot be retired.
    #[error("version {0} is in force; activate another one first")]
    InForce(u32),
    /// Too many run.
    #[error("{SPECS_MAX} specs run already; retire one first")]
    Full,
}

/// As checkpoints hold one model's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredRewards {
    model: String,
    running: Vec<(RewardSpec, String, u64)>,
    active: u32,
    history: Vec<Activated>,
    forgotten: u32,
    changed: i64,
}

impl Registry {
    pub(crate) fn new(models: usize) -> Self {
        Registry { models: vec![Rewards::default(); models] }
    }

    /// The specs of the model at this place of the plan.
    pub fn model(&self, model: usize) -> &Rewards {
        &self.models[model]
    }

    /// Arrival of the latest change of all, epoch ms.
    pub fn changed(&self) -> i64 {
        self.models.iter().map(Rewards::changed).max().unwrap_or_default()
    }

    /// What a control record would change, as an error where it would change nothing.
    pub fn check(&self, model: usize, control: &Control<'_>) -> Result<Option<Arc<Reward>>, ControlError> {
        let rewards = &self.models[model];
        match control.action {
            Act::Propose => {
                let spec = RewardSpec::from_json(control.spec).map_err(|e| ControlError::Spec(e.to_string()))?;
                if spec.version != control.version {
                    let what = format!("`version` is {}; allowed: {}", spec.version, control.version);
                    return Err(ControlError::Spec(what));
                }
                match rewards.spec(spec.version) {
                    Some(running) if *running.spec() == spec => return Ok(None),
                    Some(_) => return Err(ControlError::Taken(spec.version)),
                    None if rewards.running.len() >= SPECS_MAX => return Err(ControlError::Full),
                    None => {}
                }
                let reward = Reward::compile(&spec).map_err(|e| ControlError::Spec(e.to_string()))?;
                Ok(Some(Arc::new(reward)))
            }
            Act::Activate if rewards.spec(control.version).is_none() => Err(ControlError::Unknown(control.version)),
            Act::Retire if rewards.spec(control.version).is_none() => Err(ControlError::Unknown(control.version)),
            Act::Retire if rewards.active == control.version => Err(ControlError::InForce(control.version)),
            Act::Activate | Act::Retire => Ok(None),
        }
    }

    /// Does what the record says.
    pub fn apply(&mut self, model: usize, control: &Control<'_>, offset: u64, at: i64) -> Result<(), ControlError> {
        let proposed = self.check(model, control)?;
        let rewards = &mut self.models[model];
        let by = control.by.to_string();
        match control.action {
            Act::Propose => {
                if let Some(reward) = proposed {
                    rewards.running.push(Running { reward, by, since: offset });
                    rewards.running.sort_by_key(|running| running.reward.spec().version);
                }
            }
            Act::Activate => {
                rewards.active = control.version;
                rewards.history.push(Activated { version: control.version, by, offset, at });
                if rewards.history.len() > HISTORY_MAX {
                    rewards.forgotten = rewards.forgotten.max(rewards.history.remove(0).version);
                }
            }
            Act::Retire => rewards.running.retain(|running| running.reward.spec().version != control.version),
        }
        rewards.changed = rewards.changed.max(at);
        Ok(())
    }

    pub(crate) fn stored(&self, names: impl Iterator<Item = String>) -> Vec<StoredRewards> {
        let stored = |(rewards, model): (&Rewards, String)| StoredRewards {
            model,
            running: rewards.running.iter().map(|r| (r.reward.spec().clone(), r.by.clone(), r.since)).collect(),
            active: rewards.active,
            history: rewards.history.clone(),
            forgotten: rewards.forgotten,
            changed: rewards.changed,
        };
        self.models.iter().zip(names).map(stored).collect()
    }

    /// Puts back what was stored of a model; specs that no longer compile do not run.
    pub(crate) fn restore(&mut self, stored: &StoredRewards, place: impl Fn(&str) -> Option<usize>) {
        let Some(model) = place(&stored.model) else { return };
        let running = stored.running.iter().filter_map(|(spec, by, since)| {
            let reward = Arc::new(Reward::compile(spec).ok()?);
            Some(Running { reward, by: by.clone(), since: *since })
        });
        let StoredRewards { active, forgotten, changed, .. } = *stored;
        let history = stored.history.clone();
        self.models[model] = Rewards { running: running.collect(), active, history, forgotten, changed };
    }
}

impl Rewards {
    /// The spec of this version, where it has run since before the record at `offset`: one that was retired and proposed again is another,
    /// though it be the same, as what was learnt under the first is gone.
    pub fn spec_since(&self, version: u32, offset: u64) -> Option<&Arc<Reward>> {
        self.run(version).filter(|running| running.since <= offset).map(|running| &running.reward)
    }

    /// Whether a spec of this version was ever put in force. Of the activations that are not remembered any more, only the greatest version is
    /// known: all up to it count as having been.
    pub fn was_in_force(&self, version: u32) -> bool {
        version <= self.forgotten || self.history.iter().any(|activated| activated.version == version)
    }

    /// Arrival of the latest change, epoch ms; 0 before the first.
    pub fn changed(&self) -> i64 {
        self.changed
    }

    /// The spec of this version, where it runs.
    pub fn spec(&self, version: u32) -> Option<&Arc<Reward>> {
        self.run(version).map(|running| &running.reward)
    }

    /// The run of a spec of this version.
    pub fn run(&self, version: u32) -> Option<&Running> {
        self.running.iter().find(|running| running.reward.spec().version == version)
    }
}

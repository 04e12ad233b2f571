//! The reward specs: one change at a time, the same in all partitions. Those of the configuration are made to run, and the first put in force,
//! before the loop starts.
//!
//! They enter the log as control records like any other, so that the log alone tells which spec was in force when.

#[cfg(test)]
mod tests;

use super::{Batch, Engine, EngineError, Fold, Receipt, Restored, SubmitError};
use crate::clock::now;
use crate::config::read_reward;
use crate::log::{Log, LogError, RecordBatch};
use saccade_topology::decision::{Act, Control};
use saccade_topology::model::{ControlError, ModelSpec, Registry, RewardSource, Rewards};
use saccade_topology::reward::{Reward, RewardSpec};
use saccade_topology::{Arrived, Ignore, IngestTime, Offset, Plan, Record};
use std::sync::Arc;

/// Who does what the configuration says.
const BY: &str = "configuration";
/// Who ends what a stop has interrupted, where it is not known who began it.
const BY_START: &str = "start";

/// Why a change of what is rewarded was not made.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// It would change nothing.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// It was not taken.
    #[error(transparent)]
    Submit(#[from] SubmitError),
}

impl Engine {
    /// Makes changes of what is rewarded, in all partitions; where one is refused, none. Returns when they are durable, and looks only then at
    /// those of the next call: so the logs of all partitions have them in one order, and a stop interrupts the last at most.
    pub async fn change(&self, controls: &[Control<'_>]) -> Result<Receipt, ChangeError> {
        let mut registry = self.registry.lock().await;
        let mut changed = registry.clone();
        // Later than the one before, whatever the clock says: by this a start knows which partition has more of them.
        let at = IngestTime(now().0.max(changed.changed() + 1));
        let mut batch = Batch::new(self, at).at_once();
        for control in controls {
            let model = self.plan().model(control.model);
            let model = model.ok_or_else(|| ControlError::Model(control.model.to_string()))?;
            review(changed.check(model, control)?)?;
            changed.apply(model, control, 0, at.0)?;
            self.check_configured(control)?;
            batch.push_control(*control);
        }
        let mut sent = self.send(batch)?;
        // It counts from here on, whether or not somebody waits for the answer.
        *registry = changed;
        Ok(sent.answer().await?)
    }

    /// Another spec of the version that the configuration has: the next start could not go on.
    fn check_configured(&self, control: &Control<'_>) -> Result<(), ControlError> {
        let config = &self.shared.config;
        // A file is read anew by the next start, and may have changed since this one.
        let is_contradicted = match config.reward_files.get(control.model) {
            Some(file) => read_reward(file).is_ok_and(|spec| proposes_another(control, &spec)),
            None => {
                let of_model = config.models.iter().filter(|model| model.name == control.model);
                of_model.filter_map(|model| Configured::of(model).ok()).any(|spec| spec.is_contradicted(control))
            }
        };
        if is_contradicted { Err(ControlError::Configured(control.version)) } else { Ok(()) }
    }
}

/// What only a spec that is new may not say: one that runs was taken.
fn review(proposed: Option<Arc<Reward>>) -> Result<(), ControlError> {
    proposed.map_or(Ok(()), |reward| reward.review()).map_err(|error| ControlError::Spec(error.to_string()))
}

/// Makes a change that a stop has interrupted in the partitions that have it not: all get what the one has that was changed last.
pub(super) fn complete(plan: &Plan, log: &dyn Log, partitions: &mut [Restored]) -> Result<(), LogError> {
    let mut appended = false;
    for (place, model) in plan.models().iter().enumerate() {
        let all = partitions.iter().map(|partition| partition.fold.rewards(place));
        // Of several the first: it is the one that is shown.
        let Some(furthest) = all.rev().max_by_key(|rewards| rewards.changed()).cloned() else { continue };
        let mut versions = vec![];
        for (number, partition) in (0..).zip(&mut *partitions) {
            let first = partition.next;
            let batch = follow(&furthest, &model.spec.name, place, partition, &mut versions);
            if batch.count() > 0 {
                log.append(number, first, &batch)?;
                appended = true;
            }
        }
        versions.sort_unstable();
        versions.dedup();
        if !versions.is_empty() {
            let model = model.spec.name.as_str();
            tracing::warn!(
                model,
                ?versions,
                "a change of its reward specs was interrupted: it was completed in all partitions"
            );
        }
    }
    if appended { log.sync() } else { Ok(()) }
}

/// Makes the changes that a partition lacks, and gives them for its log.
fn follow(
    furthest: &Rewards,
    model: &str,
    place: usize,
    partition: &mut Restored,
    versions: &mut Vec<u32>,
) -> RecordBatch {
    let mut batch = RecordBatch::default();
    while let Some((action, version)) = missing(furthest, partition.fold.rewards(place)) {
        let (spec, by) = match (action, furthest.run(version)) {
            (Act::Propose, Some(running)) => {
                (serde_json::to_string(running.reward.spec()).expect("a spec is plain data"), running.by.as_str())
            }
            (Act::Activate, _) => (String::new(), furthest.history.last().map_or(BY_START, |last| last.by.as_str())),
            _ => (String::new(), BY_START),
        };
        let control = Control { model, action, version, spec: &spec, by };
        // As many as may run do, and none of them can end: it stays as it is.
        if partition.fold.check_control(&control).is_err() {
            break;
        }
        let arrived = Arrived { ingest_time: IngestTime(furthest.changed()), record: Record::Control(control) };
        batch.push(&arrived);
        partition.fold.apply(partition.next, &arrived, &mut Ignore);
        partition.next.0 += 1;
        versions.push(version);
    }
    batch
}

/// The next change that makes `behind` more like `furthest`.
fn missing(furthest: &Rewards, behind: &Rewards) -> Option<(Act, u32)> {
    let spec = |rewards: &Rewards, version| rewards.spec(version).map(|reward| reward.spec().clone());
    let is_same = |version: &u32| spec(furthest, *version) == spec(behind, *version);
    let versions = |rewards: &Rewards| rewards.running.iter().map(|running| running.reward.spec().version).collect();
    let (wanted, running): (Vec<u32>, Vec<u32>) = (versions(furthest), versions(behind));
    let ended = running.iter().find(|version| !is_same(version) && **version != behind.active);
    let proposed = wanted.iter().find(|version| !running.contains(version));
    let activated = Some(&furthest.active)
        .filter(|version| **version != behind.active && wanted.contains(version) && is_same(version));
    let retire = ended.map(|version| (Act::Retire, *version));
    let propose = proposed.map(|version| (Act::Propose, *version));
    retire.or(propose).or(activated.map(|version| (Act::Activate, *version)))
}

/// An error where a start would refuse the configured spec of a model: the registry has another of its version, or has no room.
pub(crate) fn check_specs(plan: &Plan, registry: &Registry) -> Result<(), EngineError> {
    (0..).zip(plan.models()).try_for_each(|(place, model)| runnable(&model.spec, registry, place).map(drop))
}

/// The configured spec of a model, which can run, or was in force and is retired.
fn runnable<'m>(model: &'m ModelSpec, registry: &Registry, place: usize) -> Result<Configured<'m>, EngineError> {
    let refuse = |why: String| EngineError::Reward { model: model.name.clone(), why };
    let configured = Configured::of(model).map_err(|file| refuse(format!("the file {file} was not read")))?;
    let (version, rewards) = (configured.spec.version, registry.model(place));
    let is_known = rewards.was_in_force(version);
    if is_known && rewards.spec(version).is_none() {
        return Ok(configured);
    }
    let [propose, _] = configured.controls();
    let proposed = registry.check(place, &propose).map_err(|why| refuse(cannot_run(&why, rewards, version)))?;
    if !is_known {
        review(proposed).map_err(|why| refuse(why.to_string()))?;
    }
    Ok(configured)
}

/// Proposes and activates the configured spec of each model that never had one of that version.
pub(super) fn ensure(plan: &Plan, log: &dyn Log, partitions: &mut [Restored]) -> Result<(), EngineError> {
    let mut appended = false;
    for (number, partition) in (0..).zip(partitions) {
        let mut batch = RecordBatch::default();
        let first = partition.next;
        for (place, model) in plan.models().iter().enumerate() {
            let configured = runnable(&model.spec, partition.fold.registry(), place)?;
            let (version, controls) = (configured.spec.version, configured.controls());
            let rewards = partition.fold.rewards(place);
            let is_known = rewards.was_in_force(version);
            let in_force = rewards.active;
            if is_known && in_force != version && number == 0 {
                tracing::warn!(
                    model = configured.model,
                    version,
                    in_force,
                    "another reward spec is in force than the configuration names: that one was before, and is activated over HTTP"
                );
            }
            if is_known {
                continue;
            }
            for control in controls {
                let arrived = Arrived { ingest_time: now(), record: Record::Control(control) };
                batch.push(&arrived);
                partition.fold.apply(partition.next, &arrived, &mut Ignore);
                partition.next.0 += 1;
            }
            tracing::info!(
                model = configured.model,
                version,
                partition = number,
                "the reward spec of the configuration is in force"
            );
        }
        if batch.count() > 0 {
            log.append(number, first, &batch)?;
            appended = true;
        }
    }
    if appended {
        log.sync()?;
    }
    Ok(())
}

/// Puts the configured specs in force in a fold of a log whose first records were dropped, so that rewards can be looked at. What the
/// log says later goes before.
pub(crate) fn propose_configured(fold: &mut Fold) {
    for model in fold.plan().clone().models() {
        let Ok(configured) = Configured::of(&model.spec) else { continue };
        for control in configured.controls() {
            let arrived = Arrived { ingest_time: IngestTime(0), record: Record::Control(control) };
            fold.apply(Offset(0), &arrived, &mut Ignore);
        }
    }
}

/// Whether this proposes a spec of the same version that is another.
fn proposes_another(control: &Control<'_>, spec: &RewardSpec) -> bool {
    (control.action, control.version) == (Act::Propose, spec.version)
        && RewardSpec::from_json(control.spec).ok().as_ref() != Some(spec)
}

/// The spec of a model's configuration.
pub(crate) struct Configured<'m> {
    pub(crate) model: &'m str,
    spec: &'m RewardSpec,
    json: String,
}

impl Configured<'_> {
    /// `Err` names the file that should hold it, and was not read.
    pub(crate) fn of(model: &ModelSpec) -> Result<Configured<'_>, &str> {
        match &model.reward {
            RewardSource::Inline(spec) => {
                let json = serde_json::to_string(spec).expect("a spec is plain data");
                Ok(Configured { model: &model.name, spec, json })
            }
            RewardSource::File(file) => Err(file),
        }
    }

    /// Whether this is of its version, and another.
    pub(crate) fn is_contradicted(&self, control: &Control<'_>) -> bool {
        control.model == self.model && proposes_another(control, self.spec)
    }

    /// Whether this proposes a spec of its version.
    pub(crate) fn proposes(&self, control: &Control<'_>) -> bool {
        (control.model, control.action, control.version) == (self.model, Act::Propose, self.spec.version)
    }

    /// The changes that put it in force.
    pub(crate) fn controls(&self) -> [Control<'_>; 2] {
        [(Act::Propose, self.json.as_str()), (Act::Activate, "")].map(|(action, spec)| Control {
            model: self.model,
            action,
            version: self.spec.version,
            spec,
            by: BY,
        })
    }
}

/// Why the spec of the configuration cannot run, and what to do without a server.
fn cannot_run(why: &ControlError, rewards: &Rewards, version: u32) -> String {
    match why {
        ControlError::Taken(_) => {
            let by = rewards.run(version).map_or("", |running| running.by.as_str());
            format!("{why} (the other one was proposed by {by})")
        }
        ControlError::Full => {
            format!("{why}: start with the spec that was configured before, retire one over HTTP, then change it")
        }
        _ => why.to_string(),
    }
}

//! The reward specs of the configuration: made to run, and the first put in force, before the loop starts.
//!
//! They enter the log as control records like any other, so that the log alone tells which spec was in force when.

use super::{EngineError, Fold, Restored};
use crate::clock::now;
use crate::log::{Log, RecordBatch};
use saccade_topology::decision::{Act, Control};
use saccade_topology::model::RewardSource;
use saccade_topology::{Arrived, Ignore, IngestTime, Offset, Plan, Record};

/// Who does what the configuration says.
const BY: &str = "configuration";

/// Proposes and activates the configured spec of each model that never had one of that version.
pub(super) fn ensure(plan: &Plan, log: &dyn Log, partitions: &mut [Restored]) -> Result<(), EngineError> {
    let mut appended = false;
    for (number, partition) in (0..).zip(partitions) {
        let mut batch = RecordBatch::default();
        let first = partition.next;
        for (place, model) in plan.models().iter().enumerate() {
            let refuse = |why: String| EngineError::Reward { model: model.spec.name.clone(), why };
            let spec = match &model.spec.reward {
                RewardSource::Inline(spec) => spec,
                RewardSource::File(file) => return Err(refuse(format!("the file {file} was not read"))),
            };
            let json = serde_json::to_string(spec).expect("a spec is plain data");
            let (name, version) = (model.spec.name.as_str(), spec.version);
            let control = |action, spec| Control { model: name, action, version, spec, by: BY };
            let propose = control(Act::Propose, &json);
            let rewards = partition.fold.rewards(place);
            let is_known = rewards.history.iter().any(|activated| activated.version == version);
            if is_known && rewards.spec(version).is_none() {
                continue;
            }
            partition.fold.check_control(&propose).map_err(|why| refuse(why.to_string()))?;
            if is_known {
                continue;
            }
            for control in [propose, control(Act::Activate, "")] {
                let arrived = Arrived { ingest_time: now(), record: Record::Control(control) };
                batch.push(&arrived);
                partition.fold.apply(partition.next, &arrived, &mut Ignore);
                partition.next.0 += 1;
            }
            tracing::info!(
                model = name,
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
        let RewardSource::Inline(spec) = &model.spec.reward else { continue };
        let json = serde_json::to_string(spec).expect("a spec is plain data");
        for (action, spec_json) in [(Act::Propose, json.as_str()), (Act::Activate, "")] {
            let control = Control { model: &model.spec.name, action, version: spec.version, spec: spec_json, by: BY };
            let arrived = Arrived { ingest_time: IngestTime(0), record: Record::Control(control) };
            fold.apply(Offset(0), &arrived, &mut Ignore);
        }
    }
}

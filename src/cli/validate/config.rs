//! Checks of the configuration alone.

use super::{Verdict, bytes};
use crate::config::{Config, ConfigError, named};
use crate::counted::{counted, either};
use crate::http::check_auth_config;
use crate::wire::EventReader;
use saccade_topology::Plan;
use saccade_topology::model::RewardSource;
use saccade_topology::reward::{Reward, RewardError};
use std::path::Path;
use std::sync::Arc;

/// Loads and compiles; the verdict says why that cannot be done.
pub(super) fn load(path: Option<&Path>) -> Result<(Config, Arc<Plan>), Verdict> {
    let fail = |found: String| Verdict::fail(found, "configs/default.toml describes every key, with what is allowed");
    let config = Config::load(path).map_err(|e| match e {
        ConfigError::Read { .. } => Verdict::fail(e.to_string(), "name a file that can be read"),
        e => fail(e.to_string()),
    })?;
    let named = named(path).display();
    let plan = Plan::compile(&config.spec()).map_err(|e| fail(format!("configuration {named}: {e}")))?;
    EventReader::new(&config.ingest).map_err(|e| fail(format!("configuration {named}: {e}")))?;
    Ok((config, Arc::new(plan)))
}

pub(super) fn compiled(config: &Config, plan: &Plan) -> Verdict {
    if let Some((model, why)) = review(plan) {
        let found = format!("`reward` of model \"{model}\": {why}");
        return Verdict::fail(
            found,
            "a start that has not run this version before refuses it; change it, with a version of its own",
        );
    }
    let (session, viewer) = plan.row_bytes();
    let viewers = match plan.keeps_viewers() {
        true => format!("{} per viewer", bytes(viewer as u64)),
        false => "no viewers".to_string(),
    };
    let (features, slots) = (config.spec().features.len() as u64, plan.slots().len() as u64);
    let state = format!("state {} per session, {viewers}", bytes(session as u64));
    let give = either(features, "feature gives", "features give");
    let slots = counted(slots, "slot");
    Verdict::pass(format!("{features} {give} {slots} (schema {}); {state}", plan.schema_version()))
}

/// What of the reward specs could never mean what is written.
fn review(plan: &Plan) -> Option<(&str, RewardError)> {
    plan.models().iter().find_map(|model| match &model.spec.reward {
        RewardSource::Inline(spec) => {
            let error = Reward::compile(spec).and_then(|reward| reward.review()).err()?;
            Some((model.spec.name.as_str(), error))
        }
        RewardSource::File(_) => None,
    })
}

pub(super) fn security(config: &Config) -> Verdict {
    match check_auth_config(config) {
        Err(found) => {
            Verdict::fail(found, "set auth.write_keys and auth.read_token, or server.listen to 127.0.0.1:PORT")
        }
        Ok(()) => Verdict::pass(match (config.auth.write_keys.len(), &config.auth.read_token) {
            (0, None) => format!("no keys are needed: {} is loopback", config.server.listen),
            (keys, token) => {
                let token = if token.is_some() { "a read token" } else { "no read token" };
                format!("{} and {token} for {}", counted(keys as u64, "write key"), config.server.listen)
            }
        }),
    }
}

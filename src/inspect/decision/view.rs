//! Puts together what was found.

use super::again::Again;
use super::follow::Followed as Found;
use super::report::*;
use super::{Home, item};
use crate::inspect::report::At;
use saccade_topology::decision::{Decision, Served};
use saccade_topology::learn::{Drawn, Key, Policy};
use saccade_topology::model::{Explained, ModelPlan, ModelVersion, draws, explain};
use saccade_topology::{DecisionView, Plan};

pub(super) fn report(
    plan: &Plan,
    home: &Home,
    ingest_time: i64,
    d: &Decision<'_>,
    found: Found,
    again: Again,
) -> DecisionReport {
    let model = plan.model(d.model).map(|place| &plan.models()[place]);
    let version = again.version.as_deref().filter(|_| again.reproduction.status != Status::Impossible);
    let explained = version.and_then(|version| explain(version, d).ok()).unwrap_or_default();
    let owned = |text: Option<&str>| text.map(str::to_string);
    DecisionReport {
        decision: d.id.to_string(),
        in_words: vec![],
        asked: Asked {
            partition: home.partition,
            offset: home.offset,
            ingest_time: At(ingest_time),
            event_time: At(d.event_time.0),
            model: d.model.to_string(),
            session: owned(d.session),
            viewer: owned(d.viewer),
            deferred: d.deferred,
            model_version: d.model_version.clone(),
            reward_version: d.reward_version,
            decisions_before: d.ordinal,
            trimmed: found.trimmed.clone(),
        },
        answered: answered(model, version, d, &explained),
        made_from: MadeFrom {
            context_version: d.context_version,
            features: features(plan, model, d),
            check: check(model, d, found.vector.as_deref()),
        },
        compared: compared(d, &explained),
        reproduction: again.reproduction,
        followed: followed(found),
    }
}

fn answered(
    model: Option<&ModelPlan>,
    version: Option<&ModelVersion>,
    d: &Decision<'_>,
    explained: &[Explained<'_>],
) -> Answered {
    let policy = model.and_then(|model| model.spec.answers(d.served));
    let drawn = version.and_then(|version| draws(version, d).ok()).unwrap_or_default();
    // Without the version, the record still has the distribution of the first position.
    let key = model.map(|model| Key::new(model.spec.seed, d.id.as_bytes())).filter(|_| d.served != Served::Elsewhere);
    let recorded = || key?.draw(&d.distribution);
    let draw = |position: usize, candidate: u32| {
        let drawn = drawn.get(position).copied().or_else(|| recorded().filter(|_| position == 0));
        let is_this = |drawn: &Drawn| drawn.place == candidate as usize;
        drawn.filter(is_this).map(|Drawn { uniform, from, to, .. }| Draw { number: uniform, from, to })
    };
    let candidates = d.candidates.iter().enumerate().map(|(i, candidate)| {
        let picked = d.picks.iter().find(|pick| pick.candidate as usize == i);
        let explained = explained.get(i);
        CandidateReport {
            item: candidate.item.to_string(),
            probability: d.distribution.get(i).copied(),
            score: explained.map(|e| e.score).or(picked.map(|pick| pick.score)),
            uncertainty: explained.map(|e| e.uncertainty),
        }
    });
    let picks = d.picks.iter().enumerate().map(|(position, pick)| PickReport {
        item: item(d, pick.candidate).to_string(),
        candidate: pick.candidate,
        propensity: pick.propensity,
        score: pick.score,
        draw: draw(position, pick.candidate),
    });
    Answered {
        served: d.served,
        policy,
        floor: policy.and_then(floor),
        preferred: d.preferred.map(|candidate| item(d, candidate).to_string()),
        candidates: candidates.collect(),
        picks: picks.collect(),
    }
}

/// Probability that is spread evenly.
fn floor(policy: Policy) -> Option<f64> {
    match policy {
        Policy::EpsilonGreedy { epsilon } => Some(epsilon),
        Policy::Softmax { floor, .. } | Policy::LinUcb { floor, .. } | Policy::Thompson { floor, .. } => Some(floor),
        Policy::Noop | Policy::Uniform | Policy::SquareCb { .. } => None,
    }
}

fn features(plan: &Plan, model: Option<&ModelPlan>, d: &Decision<'_>) -> Vec<FeatureReport> {
    let given = model.map_or(&[][..], |model| &model.spec.features);
    let mut names: Vec<String> = match model.and_then(|model| model.slots.as_ref()) {
        Some(slots) => {
            let slots = slots.iter().map(|slot| plan.slots()[*slot].name.clone());
            std::iter::once("constant".to_string()).chain(slots).collect()
        }
        None => (0..d.context.len().saturating_sub(given.len())).map(|i| format!("context[{i}]")).collect(),
    };
    names.extend(given.iter().map(|name| format!("{name} (of the request)")));
    // Of another configuration, the names do not fit.
    if names.len() != d.context.len() {
        names = (0..d.context.len()).map(|i| format!("feature {i}")).collect();
    }
    names.into_iter().zip(&d.context).map(|(name, value)| FeatureReport { name, value: *value }).collect()
}

/// Whether the slots of the context are the features; what the request gave beside them is known from the record alone.
fn check(model: Option<&ModelPlan>, d: &Decision<'_>, vector: Option<&[f32]>) -> ContextCheck {
    let (Some(model), Some(_)) = (model, d.context_version) else { return ContextCheck::NotFromLog };
    let Some(vector) = vector else { return ContextCheck::NotFound };
    let Some(slots) = &model.slots else { return ContextCheck::NotFromLog };
    let again = model.context_of(vector, &|_| None);
    let same = |(a, b): (&f64, &f64)| a.to_bits() == b.to_bits();
    let is_same = again.len() == d.context.len() && again.iter().zip(&d.context).take(1 + slots.len()).all(same);
    if is_same { ContextCheck::Matches } else { ContextCheck::Differs }
}

fn compared(d: &Decision<'_>, explained: &[Explained<'_>]) -> Option<Compared> {
    let first = d.picks.first()?.candidate as usize;
    let pick = explained.get(first)?;
    let others = explained.iter().enumerate().filter(|(i, _)| *i != first).map(|(_, other)| other);
    let other = others.max_by(|a, b| a.score.total_cmp(&b.score))?;
    let of_other = |group: &str| other.contributions.iter().find(|(name, _)| *name == group).map_or(0.0, |(_, x)| *x);
    let groups = pick.contributions.iter().map(|(group, own)| (group.to_string(), *own, of_other(group))).collect();
    Some(Compared { pick: pick.item.to_string(), other: other.item.to_string(), groups })
}

fn followed(found: Found) -> Followed {
    let Found { last, end, watermark, descriptions, history, left_out, specs_from_configuration, .. } = found;
    let outcome = match (end, &last) {
        (Some(end), _) => end,
        (None, Some(_)) => "open",
        (None, None) => "refused",
    };
    let since = last.as_ref().and_then(|view| view.since);
    let untils = last.iter().flat_map(|view| &view.picks).flat_map(|pick| &pick.rewards).map(|reward| reward.until);
    let until = untils.max();
    let describe = |version: u32| descriptions.get(&version).cloned().unwrap_or_default();
    let observed = |view: &DecisionView| {
        let picks = view.picks.iter().map(|pick| Observed {
            item: pick.item.clone(),
            rewards: pick
                .rewards
                .iter()
                .map(|reward| RewardReport {
                    version: reward.version,
                    description: describe(reward.version),
                    in_force: reward.in_force,
                    signals: reward.signals.clone(),
                    reward: reward.reward,
                    has_failed: reward.has_failed,
                    is_closed: reward.is_closed,
                    until: At(reward.until),
                    delay_ms: reward.delay_ms,
                })
                .collect(),
        });
        picks.collect()
    };
    Followed {
        outcome: outcome.to_string(),
        since: since.map(At),
        until: until.map(At),
        watermark: watermark.map(At),
        specs_from_configuration,
        picks: last.as_ref().map_or(vec![], observed),
        history: history.into(),
        left_out,
    }
}

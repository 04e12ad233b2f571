//! Why a candidate got its score: what each group of features adds.

use super::ask::RankError;
use super::rank::{RankScratch, model, score_by};
use super::version::ModelVersion;
use crate::decision::Decision;
use crate::learn::{Drawn, Key, Model};
use std::sync::Arc;

/// One candidate of a decision.
#[derive(Clone, Debug, PartialEq)]
pub struct Explained<'a> {
    /// The item.
    pub item: &'a str,
    /// Expected reward.
    pub score: f64,
    /// Standard error of the expectation.
    pub uncertainty: f64,
    /// Probability of the first position, as logged.
    pub probability: f64,
    /// What each group adds to the score, in the order of the features; their sum is the score, to rounding. `average` is what
    /// decisions bring on average, `constant` what the item departs from it by itself; the others are features of the plan (all
    /// their slots), of the request, of the item, or `context` where the request brings it.
    pub contributions: Vec<(&'a str, f64)>,
}

/// What the model says of the candidates of a decision, as when it was made.
fn scored(version: &ModelVersion, decision: &Decision<'_>) -> Result<(Arc<Model>, RankScratch), RankError> {
    let (context, mut scratch) = (&decision.context, RankScratch::default());
    let model = model(version, context, &mut scratch.prior);
    if !model.fits(context.len(), version.plan().learning.joint) {
        return Err(RankError::Dimension { found: context.len(), allowed: model.context() });
    }
    score_by(&model, version, &decision.candidates, context, &mut scratch);
    Ok((model, scratch))
}

/// The draws of a decision, one per position, by the version it was made with: of what was left at each position, the number that
/// was drawn and the place in `candidates` it fell on. None for decisions made elsewhere.
pub fn draws(version: &ModelVersion, decision: &Decision<'_>) -> Result<Vec<Drawn>, RankError> {
    let spec = &version.plan().spec;
    let Some(policy) = spec.answers(decision.served) else { return Ok(vec![]) };
    let mut left = scored(version, decision)?.1.scores;
    let mut candidates: Vec<usize> = (0..left.len()).collect();
    let (mut draws, mut distribution) = (vec![], vec![]);
    for position in 0..decision.picks.len() as u32 {
        let key = Key::new(spec.seed, decision.id.as_bytes()).at_position(position);
        policy.distribution(&left, key, &mut distribution);
        let Some(drawn) = key.draw(&distribution) else { break };
        left.remove(drawn.place);
        draws.push(Drawn { place: candidates.remove(drawn.place), ..drawn });
    }
    Ok(draws)
}

/// Explains a decision by the version it was made with.
pub fn explain<'a>(version: &'a ModelVersion, decision: &'a Decision<'a>) -> Result<Vec<Explained<'a>>, RankError> {
    let (model, RankScratch { actions, joint, scores, .. }) = scored(version, decision)?;
    let (context, width) = (&decision.context, version.plan().learning.joint);
    let (context_groups, joint_groups) = (context_groups(version, context.len()), joint_groups(version));
    let explained = decision.candidates.iter().enumerate().map(|(i, candidate)| {
        let (own, shared) = model.contributions(context, &joint[i * width..(i + 1) * width], actions[i]);
        let mut contributions = vec![("average", scores.centre)];
        for (group, value) in context_groups.iter().zip(own).chain(joint_groups.iter().zip(shared)) {
            match contributions.iter_mut().find(|(name, _)| name == group) {
                Some((_, sum)) => *sum += value,
                None => contributions.push((group, value)),
            }
        }
        Explained {
            item: candidate.item,
            score: scores.expected(i),
            uncertainty: scores.deviations_std[i],
            probability: decision.distribution.get(i).copied().unwrap_or(0.0),
            contributions,
        }
    });
    Ok(explained.collect())
}

/// The group of each feature of the context.
fn context_groups(version: &ModelVersion, context: usize) -> Vec<&str> {
    let plan = version.plan();
    let given = plan.spec.features.iter().map(String::as_str);
    match &plan.slots {
        Some(chosen) => {
            let slots = chosen.iter().map(|slot| version.whole_plan().slots()[*slot].feature.as_str());
            std::iter::once("constant").chain(slots).chain(given).collect()
        }
        None => {
            let numbers = context.saturating_sub(plan.spec.features.len());
            std::iter::repeat_n("context", numbers).chain(given).collect()
        }
    }
}

/// The group of each joint feature: the item's field.
fn joint_groups(version: &ModelVersion) -> Vec<&str> {
    let plan = version.plan();
    let context = plan.learning.context;
    let features = plan
        .spec
        .items
        .iter()
        .flat_map(|feature| std::iter::repeat_n(feature.field.as_str(), feature.joint_width(context)));
    std::iter::once("constant").chain(features).collect()
}

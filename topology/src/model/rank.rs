//! One decision: from a model version and what was asked to the record that is logged.
//!
//! Pure: the same version and the same question give the same decision, bit for bit. It serves requests, and says later from the
//! log how a decision came about ([`Ask::again`]). A decision's draw is keyed by its id alone.

use super::Mode;
use super::ask::{Ask, Given, RankError};
use super::version::ModelVersion;
use crate::decision::{Belief, Candidate, Decision, Pick, Served};
use crate::learn::{Candidates, Key, Model, Placed, Scores, SlateScratch, Stream, VALUE_MAX};
use crate::record::Fields;
use std::ops::Range;
use std::sync::Arc;

/// Sets the choice of the hold-out apart from all other draws.
const HOLD_OUT: u64 = 0x686F_6C64_2D6F_7574;
/// The place of an item that nothing is known of.
const UNKNOWN: u32 = u32::MAX;

/// Memory of decisions, to be used again.
#[derive(Default)]
pub struct RankScratch {
    pub(super) actions: Vec<u32>,
    pub(super) joint: Vec<f64>,
    pub(super) scores: Scores,
    beliefs: Scores,
    slate: SlateScratch,
    preferred: Vec<f64>,
    fields: Vec<u8>,
    places: Vec<Option<Range<usize>>>,
    pub(super) prior: Option<(u64, Arc<Model>)>,
}

/// Decides.
pub fn rank<'a>(
    version: &'a ModelVersion,
    ask: &Ask<'a>,
    scratch: &'a mut RankScratch,
) -> Result<Decision<'a>, RankError> {
    let context = score(version, ask, scratch)?;
    let spec = &version.plan().spec;
    let served = served(version, ask);
    let policy = spec.answers(served).unwrap_or(spec.policy);
    let key = Key::new(spec.seed, ask.id.as_bytes());
    let mut distribution = Vec::with_capacity(ask.candidates.len());
    let placed = policy.fill(&scratch.scores, ask.k, key, &mut distribution, &mut scratch.slate);
    let preferred = (served == Served::Apprentice).then(|| {
        spec.policy.distribution(&scratch.scores, key, &mut scratch.preferred);
        key.take(&scratch.preferred).map_or(0, |candidate| candidate as u32)
    });
    let mut picks = picks(version, placed, scratch);
    believe(version, &context, &mut picks, scratch);
    let mut decision = record(version, ask, context, picks, scratch);
    (decision.served, decision.distribution, decision.preferred) = (served, distribution, preferred);
    Ok(decision)
}

/// The record of a decision that was made elsewhere: what was `shown`, by position, with the probability it was chosen with there.
pub fn elsewhere<'a>(
    version: &'a ModelVersion,
    ask: &Ask<'a>,
    shown: &[(u32, f64)],
    scratch: &'a mut RankScratch,
) -> Result<Decision<'a>, RankError> {
    let context = score(version, ask, scratch)?;
    let placed =
        shown.iter().map(|(candidate, propensity)| Placed { candidate: *candidate as usize, propensity: *propensity });
    let picks = picks(version, placed, scratch);
    Ok(record(version, ask, context, picks, scratch))
}

/// Checks what is asked and leaves scores, places and joint features of the candidates in `scratch`. Gives the context's features.
fn score(version: &ModelVersion, ask: &Ask<'_>, scratch: &mut RankScratch) -> Result<Vec<f64>, RankError> {
    let context = context(version, ask)?;
    check(version, ask, &context)?;
    let model = model(version, &context, &mut scratch.prior);
    score_by(&model, version, ask.candidates, &context, scratch);
    Ok(context)
}

/// Scores of a model for candidates, with their places and joint features. Also what a decision is explained by.
pub(super) fn score_by(
    model: &Model,
    version: &ModelVersion,
    candidates: &[Candidate<'_>],
    context: &[f64],
    scratch: &mut RankScratch,
) {
    place(version, candidates, context, scratch);
    let asked = Candidates { context, joint: &scratch.joint, actions: &scratch.actions };
    model.score(&asked, &mut scratch.scores);
}

fn picks<'a>(version: &ModelVersion, placed: impl IntoIterator<Item = Placed>, scratch: &RankScratch) -> Vec<Pick<'a>> {
    let width = version.plan().learning.joint;
    let pick = |placed: Placed| Pick {
        candidate: placed.candidate as u32,
        propensity: placed.propensity,
        score: scratch.scores.expected(placed.candidate),
        joint: scratch.joint[placed.candidate * width..(placed.candidate + 1) * width].to_vec(),
        fields: Fields::default(),
        beliefs: Vec::with_capacity(version.specs.len()),
    };
    placed.into_iter().map(pick).collect()
}

fn record<'a>(
    version: &'a ModelVersion,
    ask: &Ask<'a>,
    context: Vec<f64>,
    mut picks: Vec<Pick<'a>>,
    scratch: &'a mut RankScratch,
) -> Decision<'a> {
    describe(version, ask.candidates, &mut picks, scratch);
    Decision {
        id: ask.id,
        model: &version.plan().spec.name,
        event_time: ask.event_time,
        session: ask.session,
        viewer: ask.viewer,
        served: Served::Elsewhere,
        deferred: ask.deferred,
        ordinal: version.decisions,
        context_version: match ask.context {
            Given::Vector(_, version) => Some(version),
            Given::Features(_, version) => version,
            Given::Nothing | Given::Numbers(_) => None,
        },
        model_version: version.covers.clone(),
        reward_version: version.active,
        context,
        candidates: ask.candidates.to_vec(),
        distribution: vec![],
        picks,
        preferred: None,
    }
}

/// Features of the context, as the model takes them.
fn context(version: &ModelVersion, ask: &Ask<'_>) -> Result<Vec<f64>, RankError> {
    let plan = version.plan();
    let features = match (ask.context, &plan.slots) {
        (Given::Features(x, _), _) | (Given::Numbers(x), Some(_)) => x.to_vec(),
        (Given::Numbers(numbers), None) => plan.context_given(Some(numbers), ask.features),
        (Given::Vector(vector, _), Some(_)) => plan.context_of(vector, ask.features),
        (Given::Nothing, Some(_)) => plan.context_of(&[], ask.features),
        (Given::Nothing | Given::Vector(..), None) => plan.context_given(None, ask.features),
    };
    match version.context() {
        Some(allowed) if allowed != features.len() => Err(RankError::Dimension { found: features.len(), allowed }),
        None if !(1..=super::CONTEXT_MAX).contains(&features.len()) => {
            Err(RankError::Dimension { found: features.len(), allowed: super::CONTEXT_MAX })
        }
        _ => Ok(features),
    }
}

fn check(version: &ModelVersion, ask: &Ask<'_>, context: &[f64]) -> Result<(), RankError> {
    let (found, allowed) = (ask.candidates.len(), version.plan().spec.candidates_max);
    if found == 0 {
        return Err(RankError::Empty);
    }
    if found > allowed as usize {
        return Err(RankError::TooMany { found, allowed });
    }
    if ask.k == 0 {
        return Err(RankError::NoPosition);
    }
    match context.iter().find(|x| x.is_nan() || x.abs() > VALUE_MAX) {
        Some(x) => Err(RankError::Value(*x)),
        None => Ok(()),
    }
}

/// Whose choice it is.
fn served(version: &ModelVersion, ask: &Ask<'_>) -> Served {
    let spec = &version.plan().spec;
    // Stable for a viewer, whatever the model does meanwhile.
    let subject = ask.viewer.or(ask.session).unwrap_or(ask.id);
    let held_out = || Key::new(spec.seed ^ HOLD_OUT, subject.as_bytes()).uniform(Stream::Choice, 0) < spec.hold_out;
    match spec.mode {
        _ if ask.opt_out => Served::OptedOut,
        Mode::LoggingOnly => Served::LoggingOnly,
        _ if held_out() => Served::HeldOut,
        Mode::Apprentice => Served::Apprentice,
        Mode::Online => Served::Policy,
    }
}

/// Places of the candidates, and their joint features.
fn place(version: &ModelVersion, candidates: &[Candidate<'_>], context: &[f64], scratch: &mut RankScratch) {
    let (plan, items) = (version.plan(), version.items());
    scratch.actions.clear();
    scratch.actions.extend(candidates.iter().map(|candidate| items.place(candidate.item).unwrap_or(UNKNOWN)));
    scratch.joint.clear();
    if plan.learning.joint > 0 {
        for candidate in candidates {
            let known = version.catalogue().get(candidate.item).unwrap_or_default();
            plan.joint_of(context, &[candidate.features, known], &mut scratch.joint);
        }
    }
}

/// The model under the spec in force, or what is believed before there is one that fits.
pub(super) fn model(version: &ModelVersion, context: &[f64], cached: &mut Option<(u64, Arc<Model>)>) -> Arc<Model> {
    let (plan, n) = (version.plan(), context.len());
    if let Some(model) = version.model().filter(|model| model.fits(n, plan.learning.joint)) {
        return Arc::clone(model);
    }
    match cached {
        Some((hash, prior)) if *hash == plan.hash && prior.context() == n => Arc::clone(prior),
        _ => {
            let prior = version.prior(n);
            *cached = Some((plan.hash, Arc::clone(&prior)));
            prior
        }
    }
}

/// What each running spec's model expects of the picks.
fn believe(version: &ModelVersion, context: &[f64], picks: &mut [Pick<'_>], scratch: &mut RankScratch) {
    let width = version.plan().learning.joint;
    let joint: Vec<f64> = picks.iter().flat_map(|pick| pick.joint.iter().copied()).collect();
    let actions: Vec<u32> = picks.iter().map(|pick| scratch.actions[pick.candidate as usize]).collect();
    for spec in &version.specs {
        let is_active = spec.version == version.active;
        if !is_active {
            let fitting = spec.model.as_ref().filter(|model| model.fits(context.len(), width));
            let model = fitting.map_or_else(|| version.prior(context.len()), Arc::clone);
            model.score(&Candidates { context, joint: &joint, actions: &actions }, &mut scratch.beliefs);
        }
        for (position, pick) in picks.iter_mut().enumerate() {
            let (scores, at) = match is_active {
                true => (&scratch.scores, pick.candidate as usize),
                false => (&scratch.beliefs, position),
            };
            let (expected, deviation) = (scores.expected(at), scores.deviation[at]);
            pick.beliefs.push(Belief { spec: spec.version, expected, deviation });
        }
    }
}

/// The picked items' fields: the request's, then those of the catalogue that the request lacks.
fn describe<'a>(
    version: &'a ModelVersion,
    candidates: &[Candidate<'a>],
    picks: &mut [Pick<'a>],
    scratch: &'a mut RankScratch,
) {
    let RankScratch { fields: buffer, places, .. } = scratch;
    buffer.clear();
    places.clear();
    for pick in picks.iter_mut() {
        let candidate = &candidates[pick.candidate as usize];
        let known = version.catalogue().get(candidate.item).unwrap_or_default();
        if candidate.features.is_empty() || known.is_empty() {
            pick.fields = if known.is_empty() { candidate.features } else { known };
            places.push(None);
            continue;
        }
        let begin = buffer.len();
        let lacking = known.iter().filter(|(name, _)| candidate.features.get(name).is_none());
        candidate.features.iter().chain(lacking).for_each(|(name, value)| Fields::push(buffer, name, value));
        places.push(Some(begin..buffer.len()));
    }
    let buffer: &'a [u8] = buffer;
    for (pick, range) in picks.iter_mut().zip(places.iter_mut()) {
        if let Some(range) = range.take() {
            pick.fields = Fields::from_bytes(&buffer[range]);
        }
    }
}

//! Folds the partitions for one decision: what they had learnt when its model version was cut, the context it was made from, and
//! every record that touched it.

use super::report::Touch;
use super::touch::{changes, touch};
use super::watch::Watch;
use super::{Home, item, named};
use crate::engine::{decode_or_damaged, propose_configured};
use crate::inspect::scan::Step;
use crate::log::{Bounds, Log, LogError};
use saccade_topology::decision::Decision;
use saccade_topology::model::{DecisionEnd, Learnt, RewardEnd};
use saccade_topology::{Arrived, DecisionView, Offset, Outcome, Plan, Record, Topology};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Records that are listed; the newest where more touched the decision.
pub(crate) const TOUCHES_MAX: usize = 2_000;

/// What was found on the way.
#[derive(Default)]
pub(super) struct Followed {
    /// Per partition, as the model version covers it; none where the log ends before.
    pub learnt: Vec<Option<Learnt>>,
    /// The vector of the context it was made from.
    pub vector: Option<Vec<f32>>,
    /// As it stands, or stood when it was over.
    pub last: Option<DecisionView>,
    pub end: Option<&'static str>,
    pub watermark: Option<i64>,
    /// What its reward specs are meant to reward, by version.
    pub descriptions: BTreeMap<u32, String>,
    /// Where the log of a partition begins, if records were dropped.
    pub trimmed: Vec<(u16, u64)>,
    pub specs_from_configuration: bool,
    pub history: VecDeque<Touch>,
    pub left_out: u64,
}

/// None where it was broken off.
pub(super) fn follow(
    log: &dyn Log,
    plan: &Arc<Plan>,
    home: &Home,
    decision: &Decision<'_>,
    step: Step<'_>,
) -> Result<Option<Followed>, LogError> {
    let mut followed = Followed::default();
    for partition in 0..log.partitions() {
        let Bounds { first, next, is_trimmed, .. } = log.bounds(partition)?;
        let mut fold = Topology::without_changes(Arc::clone(plan));
        if is_trimmed {
            followed.trimmed.push((partition, first.0));
            propose_configured(&mut fold);
            followed.specs_from_configuration |= partition == home.partition;
        }
        let covers = decision.model_version.get(usize::from(partition)).copied();
        let is_home = partition == home.partition;
        let watch = Watch::new(decision);
        let mut walk =
            Walk { home, decision, partition, fold, watch, covers, learnt: None, is_over: !is_home, followed };
        let mut stopped = false;
        log.read(partition, Offset(0), &mut |offset, bytes| {
            let go_on = step(0);
            stopped = go_on.is_break();
            walk.take(offset, &decode_or_damaged(partition, offset, bytes)?);
            Ok(go_on)
        })?;
        if stopped {
            return Ok(None);
        }
        followed = walk.finish(next);
    }
    Ok(Some(followed))
}

/// One partition.
struct Walk<'a> {
    home: &'a Home,
    decision: &'a Decision<'a>,
    partition: u16,
    fold: Topology,
    watch: Watch<'a>,
    covers: Option<u64>,
    learnt: Option<Learnt>,
    /// Nothing can be joined to the decision here.
    is_over: bool,
    followed: Followed,
}

impl Walk<'_> {
    fn take(&mut self, offset: Offset, arrived: &Arrived<'_>) {
        if let Some(covers) = self.covers.filter(|covers| *covers <= offset.0 && self.learnt.is_none()) {
            self.learnt = Some(self.fold.learnt(Offset(covers)));
        }
        let names = named(&arrived.record) == Some(self.decision.id);
        let needs_context = self.decision.context_version.is_some_and(|version| offset.0 <= version);
        // What comes after can only be late, or names it where it is not.
        if self.is_over && (self.learnt.is_some() || self.covers.is_none()) && !needs_context {
            if names && !self.let_go(arrived) {
                let became = if self.partition == self.home.partition { "late" } else { "dangling" };
                self.push(touch(self.partition, offset, arrived, became.to_string(), vec![]));
            }
            return;
        }
        let (revision, ends) = (self.fold.decision_revision(self.decision.id), ends(&self.fold));
        let outcome = self.fold.apply(offset, arrived, &mut self.watch);
        let over = self.watch.take_over();
        if self.let_go(arrived) {
            return;
        }
        if names || over.is_some() || self.fold.decision_revision(self.decision.id) != revision {
            self.touched(offset, arrived, outcome, over, ends);
        }
        if offset.0 >= self.home.offset && self.partition == self.home.partition {
            self.is_over |= self.fold.decision_revision(self.decision.id).is_none();
        }
    }

    fn touched(
        &mut self,
        offset: Offset,
        arrived: &Arrived<'_>,
        outcome: Outcome,
        over: Option<(DecisionEnd, DecisionView)>,
        before: [u64; RewardEnd::ALL.len()],
    ) {
        let (end, view) = over.map_or((None, None), |(end, view)| (Some(name(end)), Some(view)));
        let view = view.or_else(|| self.fold.decision_view(self.decision.id));
        let changes = view.as_ref().map_or(vec![], |view| changes(self.followed.last.as_ref(), view));
        let after = ends(&self.fold);
        let grew = |end: RewardEnd| after[end as usize] > before[end as usize];
        let bucket = || match () {
            () if grew(RewardEnd::Joined) => "joined",
            () if grew(RewardEnd::Late) => "late",
            () if grew(RewardEnd::Dangling) => "dangling",
            () if grew(RewardEnd::Duplicate) => "duplicate",
            () if view.as_ref().is_none_or(|view| view.since.is_none()) => "waiting",
            () => "ignored",
        };
        let became = match (&arrived.record, outcome) {
            (_, Outcome::Duplicate) => "duplicate",
            (_, Outcome::Rejected(_)) => "rejected",
            (_, Outcome::Refused) => "refused",
            // What is too late for its session may not be for the decision that it names.
            (Record::Event(event), Outcome::Late(_)) if event.decision == Some(self.decision.id) => bucket(),
            (_, Outcome::Late(_)) => "late",
            (Record::Decision(d), _) if d.id == self.decision.id => "decided",
            (Record::Activation(a), _) if a.decision == self.decision.id => "activated",
            (Record::Reward(_) | Record::Event(_) | Record::Passed(_), _) if self.is_about(&arrived.record) => bucket(),
            _ if end.is_some() => "over",
            _ => "closed",
        };
        if let Some(end) = end.or((became == "late" && self.is_home(offset)).then_some("late")) {
            self.followed.end = Some(end);
        }
        if self.is_home(offset) && became == "refused" {
            self.followed.end = Some("refused");
        }
        if matches!(became, "decided" | "activated") {
            self.claimed(after[RewardEnd::Joined as usize] - before[RewardEnd::Joined as usize]);
        }
        let is_seen = named(&arrived.record) == Some(self.decision.id) || !changes.is_empty() || end.is_some();
        if let Some(view) = view {
            self.followed.last = Some(view);
        }
        if is_seen {
            let mut touch = touch(self.partition, offset, arrived, became.to_string(), changes);
            if !self.is_about(&arrived.record) {
                (touch.what, touch.id, touch.item, touch.value, touch.event_time) =
                    ("time".into(), None, None, None, None);
            }
            self.push(touch);
        }
    }

    /// What waited for the decision was joined to it, where it was all of it.
    fn claimed(&mut self, joined: u64) {
        let waited = || self.followed.history.iter().filter(|touch| touch.became == "waiting");
        if waited().count() as u64 == joined {
            let waited = self.followed.history.iter_mut().filter(|touch| touch.became == "waiting");
            waited.for_each(|touch| touch.became = "joined".into());
        }
    }

    /// What waited in a partition that is not the decision's went there, where it is listed too. False of other records.
    fn let_go(&mut self, arrived: &Arrived<'_>) -> bool {
        let Record::Leaving(leaving) = &arrived.record else { return false };
        if leaving.decision == self.decision.id {
            let here = self.followed.history.iter_mut().filter(|touch| touch.partition == self.partition);
            let waited = here.filter(|touch| touch.became == "dangling" || touch.became == "waiting");
            waited.for_each(|touch| touch.became = "passed on".into());
        }
        true
    }

    fn is_home(&self, offset: Offset) -> bool {
        (self.partition, offset.0) == (self.home.partition, self.home.offset)
    }

    /// Whether a record names the decision, or has one of its picks and may have been matched to it.
    fn is_about(&self, record: &Record<'_>) -> bool {
        let d = self.decision;
        match record {
            Record::Event(event) if event.decision.is_none() => {
                let same = |a: Option<&str>, b: Option<&str>| a.is_some() && a == b;
                let is_theirs = same(event.viewer, d.viewer) || same(event.session, d.session);
                is_theirs && d.picks.iter().any(|pick| event.item == Some(item(d, pick.candidate)))
            }
            record => named(record) == Some(d.id),
        }
    }

    fn push(&mut self, touch: Touch) {
        self.followed.history.push_back(touch);
        if self.followed.history.len() > TOUCHES_MAX {
            self.followed.history.pop_front();
            self.followed.left_out += 1;
        }
    }

    fn finish(mut self, next: Offset) -> Followed {
        // The newest version may cover all of the log.
        if let Some(covers) = self.covers.filter(|covers| self.learnt.is_none() && *covers <= next.0) {
            self.learnt = Some(self.fold.learnt(Offset(covers)));
        }
        let mut followed = self.followed;
        followed.learnt.push(self.learnt);
        followed.vector = followed.vector.or(self.watch.vector);
        if self.partition == self.home.partition {
            followed.watermark = self.fold.watermark();
            if let Some(model) = self.fold.plan().model(self.decision.model) {
                let running = self.fold.rewards(model).running.iter().map(|running| running.reward.spec());
                followed.descriptions = running.map(|spec| (spec.version, spec.description.clone())).collect();
            }
        }
        followed
    }
}

fn ends(fold: &Topology) -> [u64; RewardEnd::ALL.len()] {
    std::array::from_fn(|end| fold.reward_ends()[end])
}

fn name(end: DecisionEnd) -> &'static str {
    DecisionEnd::ALL[end as usize].1
}

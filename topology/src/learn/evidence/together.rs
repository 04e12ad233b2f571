//! What several partitions learnt of one model, as one: added up in their order, action by action.
//!
//! All of it is a function of the parts. The frame is made of their own snapshots, so it changes only where one of theirs does; what is
//! known of an action can be kept from one time to the next, unless a partition learnt something of it.

use super::Evidence;
use crate::learn::draw::mix;
use crate::learn::rung::Cross;
use crate::learn::{Estimator, Sums};
use crate::shelf::Shelf;
use std::sync::Arc;

/// What one partition knows of an action.
#[derive(Clone, Copy, Debug)]
pub struct Share<'a> {
    /// All that the partition learnt.
    pub evidence: &'a Evidence,
    /// The action's place in it.
    pub action: u32,
    /// Tells this place of this partition from all others.
    pub whose: u64,
}

impl Evidence {
    /// What all partitions learnt, in their order. Of the actions, of which there are so many, only what was [put](Evidence::put) in
    /// `before` is known, and true, if that is of the same half-life; else nothing, and false. None where nothing was learnt. Only the
    /// half-life in use has sums. Where requests bring contexts of different sizes, the first partition's size counts.
    pub fn together(
        parts: &[Option<&Evidence>],
        actions: usize,
        before: Option<&Evidence>,
    ) -> Option<(Evidence, bool)> {
        let learning = parts.iter().flatten().next()?.learning();
        let parts: Vec<&Evidence> = parts.iter().copied().flatten().filter(|part| part.learning == *learning).collect();
        let mut all = Evidence::new(learning);
        for part in &parts {
            for (ours, theirs) in all.rungs.iter_mut().zip(&part.rungs) {
                ours.moments.merge(&theirs.moments);
                ours.gain.merge(&theirs.gain);
            }
            all.context.merge(&part.context);
            all.joint.merge(&part.joint);
            all.entered += part.entered;
            all.settled += part.settled;
            all.latest = all.latest.later(part.latest);
            all.framed.merge(&part.framed);
            all.revision += part.revision;
        }
        let at = learning.ladder.best(&all.rungs, all.latest);
        all.framed.rung = at;
        // Under another half-life all is derived again.
        all.revision = all.revision * all.rungs.len() as u64 + at as u64;
        for theirs in parts.iter().filter_map(|part| part.rungs[at].shared.as_deref()) {
            all.rungs[at].shared.as_mut().into_iter().for_each(|ours| Arc::make_mut(ours).merge(theirs));
        }
        let kept = before.filter(|before| before.framed.rung == at && before.learning == *learning);
        if let Some(before) = kept {
            all.rungs[at].actions = before.rungs[at].actions.clone();
            all.rungs[at].cross = before.rungs[at].cross.clone();
        }
        all.make_room(actions);
        Some((all, kept.is_some()))
    }

    /// Adds up what is known of an action, by partition in their order.
    pub fn put<'a>(&mut self, action: u32, shares: impl Iterator<Item = Share<'a>>) {
        let (at, place) = (self.framed.rung, action as usize);
        let (mut sums, mut cross, mut revisions) = (Sums::new(self.learning.context), Cross::default(), [0; 2]);
        for share in shares.filter(|share| share.evidence.learning == self.learning) {
            let (rung, theirs) = (&share.evidence.rungs[at], share.action as usize);
            if let Some(theirs) = rung.actions.get(theirs).filter(|theirs| !theirs.is_untouched()) {
                sums.merge(theirs);
                revisions = told_by(revisions, share.whose, theirs.revisions());
            }
            rung.cross.get(theirs).into_iter().for_each(|theirs| cross.merge(theirs));
        }
        let rung = &mut self.rungs[at];
        if let Some(ours) = rung.actions.get_mut(place) {
            *ours = Arc::new(sums.revised(revisions));
        }
        if let Some(ours) = rung.cross.get_mut(place) {
            *ours = Arc::new(cross);
        }
    }

    /// Actions of a partition of which, under the half-life in use here, other sums are known than `before`.
    pub fn changed(&self, now: &Evidence, before: Option<&Evidence>) -> Vec<u32> {
        let (at, nothing) = (self.framed.rung, Shelf::default());
        let before = before.map_or(&nothing, |before| &before.rungs[at].actions);
        now.rungs[at].actions.replaced(before).map(|place| place as u32).collect()
    }

    fn make_room(&mut self, actions: usize) {
        let (estimator, fresh) = (self.learning.estimator, Arc::new(Sums::new(self.learning.context)));
        let rung = &mut self.rungs[self.framed.rung];
        if estimator != Estimator::Shared {
            rung.actions.grow(actions, || Arc::clone(&fresh));
        }
        if estimator == Estimator::Hybrid {
            rung.cross.grow(actions, Arc::default);
        }
    }
}

/// What tells sums of several partitions from all that were put together for the same action before: whose they are, and how often each of
/// them has changed. Sums of counts would not do: an item that is forgotten by one partition and met again begins at 0 there.
fn told_by(so_far: [u64; 2], whose: u64, revisions: [u64; 2]) -> [u64; 2] {
    let begin = mix(whose.wrapping_add(0x9E37_79B9_7F4A_7C15));
    [0, 1].map(|i| mix(so_far[i].wrapping_add(begin)).wrapping_add(revisions[i])).map(mix)
}

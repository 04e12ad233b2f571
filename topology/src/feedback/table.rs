//! Open decisions, found by id, by whom they were made for, by age, and by when something is due.

use super::open::Open;
use crate::lane::Tombstone;
use crate::map::Map;
use crate::pieces::Pieces;
use std::collections::BTreeMap;

/// Open decisions of a viewer or session that an event without decision id is looked for among.
pub(crate) const OWNED_MAX: usize = 256;

/// A decision that is over.
#[derive(Debug)]
pub(crate) struct Ended {
    pub open: Open,
    /// Records before this offset contain its end.
    pub as_of: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Table {
    places: Vec<Option<Open>>,
    free: Vec<u32>,
    by_id: Map<Box<str>, u32>,
    /// By offset.
    by_owner: Map<u64, Vec<u32>>,
    /// Per model, by offset.
    by_age: Vec<BTreeMap<u64, u32>>,
    /// By (moment, offset).
    due: BTreeMap<(i64, u64), u32>,
    dirty: Pieces<u32>,
    pub removed: Pieces<Tombstone>,
    /// Those that ended since a checkpoint began, as they were: catching up from it, they are there until then.
    pub ended: Pieces<Ended>,
    /// While a checkpoint is made, the offset of the latest that was open when it began; those made since are made again by catching up.
    keeps_until: Option<u64>,
    bytes: usize,
}

impl Table {
    pub(crate) fn new(models: usize) -> Self {
        Table { by_age: vec![BTreeMap::new(); models], ..Table::default() }
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Behind the last place.
    pub(crate) fn end(&self) -> u32 {
        self.places.len() as u32
    }

    /// Open decisions of a model.
    pub(crate) fn of_model(&self, model: usize) -> usize {
        self.by_age[model].len()
    }

    /// The oldest of a model.
    pub(crate) fn oldest(&self, model: usize) -> Option<u32> {
        self.by_age[model].first_key_value().map(|(_, place)| *place)
    }

    /// The oldest there is.
    pub(crate) fn oldest_of_all(&self) -> Option<u32> {
        let oldest = self.by_age.iter().filter_map(|places| places.first_key_value());
        oldest.min_by_key(|(offset, _)| **offset).map(|(_, place)| *place)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn find(&self, id: &str) -> Option<u32> {
        self.by_id.get(id).copied()
    }

    pub(crate) fn get(&self, place: u32) -> &Open {
        self.places[place as usize].as_ref().expect("the place is taken")
    }

    /// For a change, which the next checkpoint has to hold.
    pub(crate) fn change(&mut self, place: u32) -> &mut Open {
        let open = self.places[place as usize].as_mut().expect("the place is taken");
        open.revision += 1;
        if !open.is_dirty {
            open.is_dirty = true;
            self.dirty.push(place);
        }
        open
    }

    /// Those made for one of the owners up to this offset, each once, oldest first; of each owner the latest [`OWNED_MAX`].
    pub(crate) fn of_owners(&self, owners: [u64; 2], until: u64) -> Vec<u32> {
        let latest = |places: &Vec<u32>| {
            // While catching up there are some that were not made by now.
            let made = &places[..places.partition_point(|place| self.get(*place).state.offset <= until)];
            made[made.len().saturating_sub(OWNED_MAX)..].to_vec()
        };
        let of = |owner: u64| self.by_owner.get(&owner).filter(|_| owner != 0).map(latest).unwrap_or_default();
        let mut places = [of(owners[0]), of(owners[1])].concat();
        places.sort_unstable_by_key(|place| self.get(*place).state.offset);
        places.dedup();
        places
    }

    pub(crate) fn insert(&mut self, open: Open) -> u32 {
        let place = self.free.pop().unwrap_or(self.places.len() as u32);
        if place as usize == self.places.len() {
            self.places.push(None);
        }
        self.bytes += open.bytes();
        self.by_id.insert(open.id.clone(), place);
        for owner in open.owners.into_iter().filter(|owner| *owner != 0) {
            let places = self.by_owner.entry(owner).or_default();
            let offset_of = |place: u32| self.places[place as usize].as_ref().map_or(0, |open| open.state.offset);
            places.insert(places.partition_point(|place| offset_of(*place) < open.state.offset), place);
        }
        self.by_age[open.model].insert(open.state.offset, place);
        self.places[place as usize] = Some(open);
        self.change(place);
        place
    }

    /// `as_of`: records before it contain the removal.
    pub(crate) fn remove(&mut self, place: u32, as_of: u64) -> Open {
        self.unschedule(place);
        self.disown(place);
        let open = self.places[place as usize].take().expect("the place is taken");
        self.free.push(place);
        self.bytes -= open.bytes();
        self.by_id.remove(&open.id);
        self.by_age[open.model].remove(&open.state.offset);
        self.pass_over(&open.id, as_of);
        if self.keeps_until.is_some_and(|latest| open.state.offset <= latest) {
            self.ended.push(Ended { open: open.clone(), as_of });
        }
        open
    }

    fn disown(&mut self, place: u32) {
        let Open { owners, state, .. } = self.get(place);
        let (owners, offset) = (*owners, state.offset);
        for owner in owners.into_iter().filter(|owner| *owner != 0) {
            let Some(places) = self.by_owner.get_mut(&owner) else { continue };
            let offset_of = |place: u32| self.places[place as usize].as_ref().map_or(0, |open| open.state.offset);
            let at = places.partition_point(|place| offset_of(*place) < offset);
            places.remove(at);
            if places.is_empty() {
                self.by_owner.remove(&owner);
            }
        }
    }

    /// From now on those that are open now leave their rows when they end, until [`Table::forget_ended`].
    pub(crate) fn keep_ended(&mut self) {
        let latest = self.by_age.iter().filter_map(|places| places.last_key_value());
        self.keeps_until = latest.map(|(offset, _)| *offset).max();
    }

    pub(crate) fn forget_ended(&mut self) {
        self.keeps_until = None;
        self.ended = Pieces::default();
    }

    /// Notes one that was over before it came, as [`Table::remove`] notes one that ends.
    pub(crate) fn pass_over(&mut self, id: &str, as_of: u64) {
        self.removed.push(Tombstone { key: id.into(), as_of });
    }

    fn unschedule(&mut self, place: u32) {
        let open = self.get(place);
        self.due.remove(&(open.due, open.state.offset));
    }

    pub(crate) fn schedule(&mut self, place: u32, due: i64) {
        self.unschedule(place);
        let open = self.places[place as usize].as_mut().expect("the place is taken");
        open.due = due;
        self.due.insert((due, open.state.offset), place);
    }

    /// The one whose moment the watermark has passed first.
    pub(crate) fn next_due(&self, watermark: i64) -> Option<u32> {
        self.due.first_key_value().filter(|((due, _), _)| watermark > *due).map(|(_, place)| *place)
    }

    /// Takes the places changed since the last call; each is asked for again by [`Table::export`].
    pub(crate) fn take_dirty(&mut self) -> Pieces<u32> {
        std::mem::take(&mut self.dirty)
    }

    /// For a checkpoint, which has it as it is now.
    pub(crate) fn export(&mut self, place: u32) -> Option<&Open> {
        let open = self.places.get_mut(place as usize)?.as_mut()?;
        open.is_dirty = false;
        Some(open)
    }

    /// To be settled, which no checkpoint has to hold.
    pub(crate) fn settling(&mut self, place: u32) -> Option<&mut Open> {
        self.places.get_mut(place as usize).and_then(Option::as_mut)
    }

    pub(crate) fn at(&self, place: u32) -> Option<&Open> {
        self.places.get(place as usize).and_then(Option::as_ref)
    }

    /// All, oldest first.
    pub(crate) fn places(&self) -> Vec<u32> {
        let mut places: Vec<u32> = self.by_id.values().copied().collect();
        places.sort_unstable_by_key(|place| self.get(*place).state.offset);
        places
    }
}

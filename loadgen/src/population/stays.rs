//! Which viewers are there, where as many are as the rate needs: the first of them by number.
//!
//! For the others time stands still: when they are back, they go on in the middle of what they did. So whoever comes is like a part of a population
//! in its steady state. Who is gone stays in the calendar until it is their turn.

/// Who is there.
pub(super) struct Stays {
    /// So many.
    pub(super) present: usize,
    /// The factor of the shape at which all are there.
    pub(super) most: f64,
    of: Vec<Stay>,
}

/// Times in microseconds.
#[derive(Clone, Copy)]
struct Stay {
    /// Since when they are not there.
    gone_at: Option<u64>,
    /// Out of the calendar: their time until the next step.
    left: Option<u64>,
    /// In the calendar so much too early.
    behind: u64,
}

/// Whose turn it is in the calendar, does this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Acts.
    Act,
    /// Comes again at that time.
    Wait(u64),
    /// Is gone, and no more in the calendar.
    Gone,
}

impl Stays {
    /// Nobody is there yet, nor in the calendar. When they have come, so long after is the first step of each.
    pub(super) fn new(most: f64, first_steps: Vec<u64>) -> Stays {
        let stay = |left| Stay { gone_at: Some(0), left: Some(left), behind: 0 };
        Stays { present: 0, most, of: first_steps.into_iter().map(stay).collect() }
    }

    /// This one goes.
    pub(super) fn go(&mut self, number: usize, now: u64) {
        self.of[number].gone_at = Some(now);
    }

    /// This one comes: for how long they were gone, and when they are to be entered into the calendar, where they are not in it.
    pub(super) fn come(&mut self, number: usize, now: u64) -> (u64, Option<u64>) {
        let stay = &mut self.of[number];
        let gone = now - stay.gone_at.take().unwrap_or(now);
        let enter_at = stay.left.take().map(|left| now + left);
        if enter_at.is_none() {
            stay.behind += gone;
        }
        (gone, enter_at)
    }

    /// It is the turn of this one.
    pub(super) fn turn(&mut self, number: usize, time: u64) -> Turn {
        let stay = &mut self.of[number];
        let due = time + std::mem::take(&mut stay.behind);
        match stay.gone_at {
            Some(gone_at) => {
                stay.left = Some(due.saturating_sub(gone_at));
                Turn::Gone
            }
            None if due > time => Turn::Wait(due),
            None => Turn::Act,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn for_who_is_gone_no_time_passes() {
        let mut stays = Stays::new(1.0, vec![5, 7]);
        assert_eq!(stays.come(0, 100), (100, Some(105)));
        assert_eq!(stays.turn(0, 105), Turn::Act);
        // Their next step is at 200. Gone from 120 to 150 and from 160 to 170, it is put off by 40.
        for (gone, back) in [(120, 150), (160, 170)] {
            stays.go(0, gone);
            assert_eq!(stays.come(0, back), (back - gone, None));
        }
        assert_eq!((stays.turn(0, 200), stays.turn(0, 240)), (Turn::Wait(240), Turn::Act));
        // It is at 300 now, and their turn comes while they are gone.
        stays.go(0, 290);
        assert_eq!((stays.turn(0, 300), stays.come(0, 1_000)), (Turn::Gone, (710, Some(1_010))));
        assert_eq!(stays.come(1, 2_000), (2_000, Some(2_007)));
    }
}

//! What is sent later than it was made, as bytes: events that others overtake, and those that come twice.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// What is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    /// What was not sent before.
    Original,
    /// What is sent once more.
    Copy,
}

/// Bytes by the time at which they are due; equal times in the order they were put in.
#[derive(Default)]
pub(super) struct Held {
    order: BinaryHeap<Reverse<(u64, u64, u32)>>,
    texts: Vec<(Vec<u8>, Which)>,
    free: Vec<u32>,
    put: u64,
}

impl Held {
    /// Keeps a copy of `text` until `due_ns`.
    pub(super) fn put(&mut self, due_ns: u64, text: &[u8], which: Which) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.texts.push((Vec::new(), which));
            self.texts.len() as u32 - 1
        });
        let (kept, is) = &mut self.texts[slot as usize];
        *is = which;
        kept.clear();
        kept.extend_from_slice(text);
        self.order.push(Reverse((due_ns, self.put, slot)));
        self.put += 1;
    }

    /// When the next is due.
    pub(super) fn next_ns(&self) -> Option<u64> {
        self.order.peek().map(|Reverse((due_ns, ..))| *due_ns)
    }

    /// Appends what is due by `now_ns`, if anything is; the next one only. Says what it is.
    pub(super) fn take(&mut self, now_ns: u64, out: &mut Vec<u8>) -> Option<Which> {
        self.next_ns().filter(|due_ns| *due_ns <= now_ns)?;
        let Reverse((_, _, slot)) = self.order.pop()?;
        let (text, which) = &self.texts[slot as usize];
        out.extend_from_slice(text);
        self.free.push(slot);
        Some(*which)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_first_comes_first_and_nothing_comes_early() {
        let mut held = Held::default();
        for (due, text) in [(30, "c"), (10, "a"), (30, "d"), (20, "b")] {
            held.put(due, text.as_bytes(), if text == "b" { Which::Copy } else { Which::Original });
        }
        let mut out = Vec::new();
        assert_eq!(held.take(9, &mut out), None);
        assert_eq!([held.take(29, &mut out), held.take(29, &mut out)], [Some(Which::Original), Some(Which::Copy)]);
        assert_eq!(held.take(29, &mut out), None);
        assert_eq!((out.as_slice(), held.next_ns()), (b"ab".as_slice(), Some(30)));
        held.put(31, b"e", Which::Original);
        while held.take(99, &mut out).is_some() {}
        assert_eq!(out, b"abcde");
    }
}

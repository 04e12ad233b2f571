//! What is sent later than it was made, as bytes: events that others overtake, and those that come twice.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Bytes by the time at which they are due; equal times in the order they were put in.
#[derive(Default)]
pub(super) struct Held {
    order: BinaryHeap<Reverse<(u64, u64, u32)>>,
    texts: Vec<Vec<u8>>,
    free: Vec<u32>,
    put: u64,
}

impl Held {
    /// Keeps a copy of `text` until `due_ns`.
    pub(super) fn put(&mut self, due_ns: u64, text: &[u8]) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.texts.push(Vec::new());
            self.texts.len() as u32 - 1
        });
        let kept = &mut self.texts[slot as usize];
        kept.clear();
        kept.extend_from_slice(text);
        self.order.push(Reverse((due_ns, self.put, slot)));
        self.put += 1;
    }

    /// When the next is due.
    pub(super) fn next_ns(&self) -> Option<u64> {
        self.order.peek().map(|Reverse((due_ns, ..))| *due_ns)
    }

    /// Appends what is due by `now_ns`, if anything is; the next one only.
    pub(super) fn take(&mut self, now_ns: u64, out: &mut Vec<u8>) -> bool {
        if self.next_ns().is_none_or(|due_ns| due_ns > now_ns) {
            return false;
        }
        let Some(Reverse((_, _, slot))) = self.order.pop() else { return false };
        out.extend_from_slice(&self.texts[slot as usize]);
        self.free.push(slot);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_first_comes_first_and_nothing_comes_early() {
        let mut held = Held::default();
        for (due, text) in [(30, "c"), (10, "a"), (30, "d"), (20, "b")] {
            held.put(due, text.as_bytes());
        }
        let mut out = Vec::new();
        assert!(!held.take(9, &mut out));
        while held.take(29, &mut out) {}
        assert_eq!((out.as_slice(), held.next_ns()), (b"ab".as_slice(), Some(30)));
        held.put(31, b"e");
        while held.take(99, &mut out) {}
        assert_eq!(out, b"abcde");
    }
}

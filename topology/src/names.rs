//! Lists of names that are looked up once or more per event: short strings compared as numbers, without a call.
//!
//! Up to 16 bytes, a string is its length and two overlapping eight-byte loads, whole: equal numbers mean equal strings.

/// A list of different names, found by name: one multiplication, nearly always one comparison.
#[derive(Clone, Debug, PartialEq)]
pub struct Names {
    names: Vec<(Short, Box<str>)>,
    /// Places in the list, open addressing, from the high bits of [`Short::mixed`]; [`FREE`] where there is none.
    buckets: Box<[u16]>,
    shift: u32,
}

const FREE: u16 = u16::MAX;

impl Names {
    /// Up to 65,535 names; of equal ones the first is found.
    pub fn new(names: impl IntoIterator<Item = impl AsRef<str>>) -> Names {
        let names: Vec<(Short, Box<str>)> =
            names.into_iter().map(|n| (Short::new(n.as_ref()), n.as_ref().into())).collect();
        assert!(names.len() < usize::from(FREE), "a list of names has at most 65,535");
        let size = (4 * names.len()).next_power_of_two().max(16);
        let mut list = Names { names: vec![], buckets: vec![FREE; size].into(), shift: 64 - size.trailing_zeros() };
        for (place, (short, _)) in names.iter().enumerate() {
            let mut at = list.bucket(*short);
            while list.buckets[at] != FREE {
                at = (at + 1) & (size - 1);
            }
            list.buckets[at] = place as u16;
        }
        list.names = names;
        list
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// True where there is none.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The names in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(|(_, name)| &**name)
    }

    /// The place of `name` in the list.
    #[inline]
    pub fn place(&self, name: &str) -> Option<usize> {
        let short = Short::new(name);
        let mut at = self.bucket(short);
        loop {
            let place = usize::from(self.buckets[at]);
            let (own, own_name) = self.names.get(place)?;
            if own.is(own_name, short, name) {
                return Some(place);
            }
            at = (at + 1) & (self.buckets.len() - 1);
        }
    }

    #[inline]
    fn bucket(&self, name: Short) -> usize {
        (name.mixed() >> self.shift) as usize
    }
}

/// Bytes up to which a [`Short`] is the whole string.
const WHOLE: usize = 16;

/// Length and two loads of a string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Short {
    len: usize,
    first: u64,
    last: u64,
}

impl Short {
    /// Of strings above [`WHOLE`] bytes, only the ends: equal numbers then need a comparison of the strings.
    #[inline]
    fn new(text: &str) -> Short {
        let bytes = text.as_bytes();
        let len = bytes.len();
        if let (Some(first), Some(last)) = (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
            return Short { len, first: u64::from_le_bytes(*first), last: u64::from_le_bytes(*last) };
        }
        if let (Some(first), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
            return Short { len, first: u32::from_le_bytes(*first).into(), last: u32::from_le_bytes(*last).into() };
        }
        match bytes {
            [] => Short { len, first: 0, last: 0 },
            [a, ..] => {
                let (middle, end) = (bytes[len / 2], bytes[len - 1]);
                Short { len, first: (*a).into(), last: u64::from(middle) << 8 | u64::from(end) }
            }
        }
    }

    /// True where `text`, of which `other` was made, is `own`, of which this was made.
    #[inline]
    fn is(&self, own: &str, other: Short, text: &str) -> bool {
        *self == other && (self.len <= WHOLE || own == text)
    }

    /// Bits that differ between most strings.
    #[inline]
    fn mixed(&self) -> u64 {
        (self.first ^ self.last.rotate_left(29) ^ self.len as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_name_is_found_at_its_place_and_no_other_is() {
        let names: Vec<String> = (0..300).map(|i| format!("{}{i}", "name".repeat(i % 6))).collect();
        let list = Names::new(&names);
        for (place, name) in names.iter().enumerate() {
            assert_eq!(list.place(name), Some(place));
            assert_eq!(list.place(&format!("{name}x")), None);
        }
        assert_eq!((Names::new([""; 0]).place(""), Names::new(["a", "a"]).place("a")), (None, Some(0)));
    }

    proptest! {
        #[test]
        fn two_shorts_are_equal_exactly_where_their_strings_are(a in "[ab]{0,18}", b in "[ab]{0,18}") {
            prop_assert_eq!(Short::new(&a).is(&a, Short::new(&b), &b), a == b);
        }
    }
}

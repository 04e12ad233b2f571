//! Short strings as numbers, to be compared without a call.
//!
//! Up to 16 bytes, a string is its length and two overlapping eight-byte loads, whole: equal numbers mean equal strings.

/// Bytes up to which a [`Short`] is the whole string.
pub const WHOLE: usize = 16;

/// Length and two loads of a string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Short {
    len: usize,
    first: u64,
    last: u64,
}

impl Short {
    /// Of strings above [`WHOLE`] bytes, only the ends: equal numbers then need a comparison of the strings.
    #[inline]
    pub fn new(text: &str) -> Short {
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
    pub fn is(&self, own: &str, other: Short, text: &str) -> bool {
        *self == other && (self.len <= WHOLE || own == text)
    }

    /// Bits that differ between most strings.
    #[inline]
    pub fn mixed(&self) -> u64 {
        (self.first ^ self.last.rotate_left(29) ^ self.len as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn two_shorts_are_equal_exactly_where_their_strings_are(a in "[ab]{0,18}", b in "[ab]{0,18}") {
            prop_assert_eq!(Short::new(&a).is(&a, Short::new(&b), &b), a == b);
        }
    }
}

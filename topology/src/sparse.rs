//! Words of which most are as before, in few bytes: for each 64 words a word of bits, one for each that differs, then those that do.
//!
//! A row of a plan with 90 slots is mostly zero, and an event's inputs are mostly those of the event before: checkpoints are a
//! fraction of what they would be, and so is what the disk and the restart have to do.

/// Appends `words` as they differ from `before`.
pub(crate) fn put(words: &[u64], before: impl Fn(usize) -> u64, out: &mut Vec<u8>) {
    let begin = out.len();
    out.resize(begin + 8 * (words.len() + words.len().div_ceil(64)), 0);
    let (places, mut at) = (out[begin..].as_chunks_mut::<8>().0, 0);
    for (group, words) in words.chunks(64).enumerate() {
        let (head, mut bits) = (at, 0u64);
        at += 1;
        for (i, word) in words.iter().enumerate() {
            // Written in any case, and written over where it does not count: no branch that cannot be foreseen.
            places[at] = word.to_le_bytes();
            let differs = *word != before(64 * group + i);
            bits |= u64::from(differs) << i;
            at += usize::from(differs);
        }
        places[head] = bits.to_le_bytes();
    }
    out.truncate(begin + 8 * at);
}

/// Reads what [`put`] wrote over `words`, which hold what was before, and gives the rest; `None` where it does not fit.
pub(crate) fn take<'b>(mut bytes: &'b [[u8; 8]], words: &mut [u64]) -> Option<&'b [[u8; 8]]> {
    for words in words.chunks_mut(64) {
        let (bits, rest) = bytes.split_first()?;
        let mut bits = u64::from_le_bytes(*bits);
        let (changed, rest) = rest.split_at_checked(bits.count_ones() as usize)?;
        for word in changed {
            *words.get_mut(bits.trailing_zeros() as usize)? = u64::from_le_bytes(*word);
            bits &= bits - 1;
        }
        bytes = rest;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_was_put_is_taken_and_all_else_refused(pairs in prop::collection::vec((0..3u64, 0..3u64), 0..200), cut in 0..2000usize) {
            let (before, words): (Vec<u64>, Vec<u64>) = pairs.into_iter().unzip();
            let mut out = vec![];
            put(&words, |i| before[i], &mut out);
            out.extend_from_slice(&7u64.to_le_bytes());
            let chunks = out.as_chunks::<8>().0;
            let mut read = before.clone();
            prop_assert_eq!(take(chunks, &mut read), Some(&[7u64.to_le_bytes()][..]));
            prop_assert_eq!(read, words);
            let cut = cut % chunks.len();
            let rest = take(&chunks[..cut], &mut before.clone());
            prop_assert_eq!(rest.is_some(), cut == chunks.len() - 1);
        }

        #[test]
        fn bits_beyond_the_words_are_refused(len in 1..64usize, beyond in 0..64u32) {
            let bits = 1u64 << (len as u32 + beyond % (64 - len as u32));
            let bytes = [bits.to_le_bytes(), [1; 8]];
            prop_assert_eq!(take(&bytes, &mut vec![0; len]), None);
        }
    }
}

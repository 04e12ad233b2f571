//! Numbers as text.

const PAIRS: &[u8; 200] = b"00010203040506070809101112131415161718192021222324252627282930313233343536373839\
4041424344454647484950515253545556575859606162636465666768697071727374757677787980818283848586878889909192939495969798\
99";

/// Appends a whole number.
pub fn digits(out: &mut Vec<u8>, mut x: u64) {
    if x < 10 {
        out.push(b'0' + x as u8);
        return;
    }
    let mut text = [0; 20];
    let mut at = text.len();
    while x >= 100 {
        at -= 2;
        let pair = (x % 100) as usize * 2;
        x /= 100;
        text[at..at + 2].copy_from_slice(&PAIRS[pair..pair + 2]);
    }
    if x >= 10 {
        at -= 2;
        text[at..at + 2].copy_from_slice(&PAIRS[x as usize * 2..x as usize * 2 + 2]);
    } else {
        at -= 1;
        text[at] = b'0' + x as u8;
    }
    out.extend_from_slice(&text[at..]);
}

/// Appends milliseconds as seconds with three places.
pub fn seconds(out: &mut Vec<u8>, ms: u32) {
    digits(out, u64::from(ms / 1000));
    let rest = ms % 1000;
    out.extend_from_slice(&[b'.', b'0' + (rest / 100) as u8, b'0' + (rest / 10 % 10) as u8, b'0' + (rest % 10) as u8]);
}

/// Appends a number with a sign and two places.
pub fn number(out: &mut Vec<u8>, x: f64) {
    if x < 0.0 {
        out.push(b'-');
    }
    let hundredths = (x.abs() * 100.0).round() as u64;
    digits(out, hundredths / 100);
    out.extend_from_slice(&[b'.', b'0' + (hundredths / 10 % 10) as u8, b'0' + (hundredths % 10) as u8]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).expect("digits are ASCII")
    }

    #[test]
    fn numbers_at_the_borders_are_written_as_they_are() {
        for x in [0, 9, 10, 99, 100, 101, 999, 1000, u64::from(u32::MAX), u64::MAX] {
            assert_eq!(text(|out| digits(out, x)), x.to_string());
        }
        assert_eq!(text(|out| seconds(out, 61_007)), "61.007");
        assert_eq!(text(|out| number(out, -0.5)), "-0.50");
        assert_eq!(text(|out| number(out, 1.0)), "1.00");
    }

    proptest! {
        #[test]
        fn any_whole_number_is_written_as_it_is(x in any::<u64>(), shift in 0u32..64) {
            prop_assert_eq!(text(|out| digits(out, x >> shift)), (x >> shift).to_string());
        }
    }
}

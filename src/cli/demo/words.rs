//! Numbers as people read them.

/// `21,033`
pub(super) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (k, digit) in digits.chars().enumerate() {
        if k > 0 && (digits.len() - k).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `412 B`, `1.3 MB`
pub(super) fn bytes(n: u64) -> String {
    let units = [("GB", 1u64 << 30), ("MB", 1 << 20), ("kB", 1 << 10)];
    match units.iter().find(|(_, size)| n >= *size) {
        Some((unit, size)) => format!("{:.1} {unit}", n as f64 / *size as f64),
        None => format!("{n} B"),
    }
}

/// Microseconds as milliseconds with the digits that matter: `0.31 ms`, `12.4 ms`
pub(super) fn ms(us: u64) -> String {
    let ms = us as f64 / 1000.0;
    match us {
        0..10_000 => format!("{ms:.2} ms"),
        10_000..100_000 => format!("{ms:.1} ms"),
        _ => format!("{ms:.0} ms"),
    }
}

/// A slot's value in at most seven characters, usually.
pub(super) fn value(value: f32) -> String {
    let size = value.abs();
    if size >= 1000.0 || value.fract() == 0.0 {
        format!("{value:.0}")
    } else if size >= 0.001 {
        format!("{value:.3}")
    } else {
        format!("{value:.0e}")
    }
}

/// `1:05`
pub(super) fn clock(time: std::time::Duration) -> String {
    let s = time.as_secs();
    format!("{}:{:02}", s / 60, s % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well_at_every_size() {
        assert_eq!([0, 999, 1000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([7, 2048, 3 << 20].map(bytes), ["7 B", "2.0 kB", "3.0 MB"]);
        assert_eq!([312, 12_400, 250_000].map(ms), ["0.31 ms", "12.4 ms", "250 ms"]);
        assert_eq!(
            [0.0, 1.0, 0.12345, 4567.8, -0.5, 0.00012].map(value),
            ["0", "1", "0.123", "4568", "-0.500", "1e-4"]
        );
    }
}

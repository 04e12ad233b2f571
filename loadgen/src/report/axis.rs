//! Axes of charts: where a value is, and which values are written beside it.

/// How values are spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Evenly.
    Linear,
    /// By their logarithm; values must be positive.
    Log,
    /// Quantiles from 0 to 1 by how rare what is above them is: each nine takes the same room, as in HdrHistogram plots.
    Nines,
}

/// What is measured along an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity {
    /// Seconds since the start.
    Seconds,
    /// Milliseconds of latency.
    Milliseconds,
    /// Quantiles.
    Quantile,
    /// Things per second.
    PerSecond,
    /// Processors.
    Cores,
    /// Bytes.
    Bytes,
}

/// One axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Axis {
    scale: Scale,
    quantity: Quantity,
    low: f64,
    high: f64,
}

/// Lowest value a logarithmic axis of latencies goes down to, milliseconds.
const LOG_LOW: f64 = 0.001;
/// Ticks of a linear axis, about.
const TICKS: f64 = 5.0;

impl Axis {
    /// From zero to a round number at or above `high`.
    pub fn from_zero(quantity: Quantity, high: f64) -> Axis {
        let high = if high > 0.0 { high } else { 1.0 };
        let step = step(high, quantity);
        Axis { scale: Scale::Linear, quantity, low: 0.0, high: (high / step).ceil() * step }
    }

    /// Seconds from zero to exactly `high`.
    pub fn time(high: f64) -> Axis {
        Axis { scale: Scale::Linear, quantity: Quantity::Seconds, low: 0.0, high: high.max(1.0) }
    }

    /// Decades around the values from `low` to `high`; `low` is infinite where there are none.
    pub fn log(quantity: Quantity, low: f64, high: f64) -> Axis {
        let low = if low.is_finite() { low } else { 1.0 };
        let low = 10f64.powf(low.max(LOG_LOW).log10().floor());
        let high = 10f64.powf(high.max(low * 2.0).log10().ceil());
        Axis { scale: Scale::Log, quantity, low, high }
    }

    /// Quantiles up to the one that a single one of `count` is above.
    pub fn nines(count: u64) -> Axis {
        let count = count.max(10) as f64;
        Axis { scale: Scale::Nines, quantity: Quantity::Quantile, low: 0.0, high: 1.0 - 1.0 / count }
    }

    /// Whether it is that of time, where a value is only that of its moment.
    pub fn is_time(&self) -> bool {
        self.quantity == Quantity::Seconds
    }

    /// Where `value` is, from 0 at the low end to 1; values outside are held to the ends.
    pub fn place(&self, value: f64) -> f64 {
        let spread = |value: f64| match self.scale {
            Scale::Linear => value,
            Scale::Log => value.log10(),
            Scale::Nines => -(1.0 - value).log10(),
        };
        let value = spread(value.clamp(self.low, self.high));
        (value - spread(self.low)) / (spread(self.high) - spread(self.low))
    }

    /// Values to write beside the axis, with their texts.
    pub fn ticks(&self) -> Vec<(f64, String)> {
        let values: Vec<f64> = match self.scale {
            Scale::Linear => {
                let step = step(self.high, self.quantity);
                (0..).map(|i| f64::from(i) * step).take_while(|value| *value <= self.high * 1.000_001).collect()
            }
            Scale::Log => {
                let decades = (self.high / self.low).log10().round() as i32;
                (0..=decades).map(|decade| self.low * 10f64.powi(decade)).collect()
            }
            Scale::Nines => {
                let nines = (1..).map(|n| 1.0 - 10f64.powi(-n)).take_while(|q| *q <= self.high + 1e-12);
                [0.0, 0.5].into_iter().chain(nines).collect()
            }
        };
        values.into_iter().map(|value| (value, self.text(value))).collect()
    }

    /// The value as people write it.
    pub fn text(&self, value: f64) -> String {
        text(self.quantity, value)
    }
}

/// The distance between ticks of a linear axis: 1, 2 or 5 times a power of ten, or what suits the quantity.
fn step(high: f64, quantity: Quantity) -> f64 {
    let base = if quantity == Quantity::Bytes { f64::from(1 << 20) } else { 1.0 };
    let raw = high / base / TICKS;
    let power = 10f64.powf(raw.log10().floor());
    let nice = [1.0, 2.0, 5.0, 10.0].into_iter().find(|nice| nice * power >= raw * 0.999).unwrap_or(10.0);
    nice * power * base
}

/// A value as people write it.
pub fn text(quantity: Quantity, value: f64) -> String {
    match quantity {
        Quantity::Seconds if value >= 600.0 => format!("{} min", plain(value / 60.0)),
        Quantity::Seconds => format!("{} s", plain(value)),
        Quantity::Milliseconds if value >= 1000.0 => format!("{} s", plain(value / 1000.0)),
        Quantity::Milliseconds if value < 1.0 && value > 0.0 => format!("{} µs", plain(value * 1000.0)),
        Quantity::Milliseconds => format!("{} ms", plain(value)),
        Quantity::Quantile => format!("{} %", trimmed(value * 100.0, 6)),
        Quantity::PerSecond if value >= 1e6 => format!("{} M/s", plain(value / 1e6)),
        Quantity::PerSecond if value >= 1e3 => format!("{} k/s", plain(value / 1e3)),
        Quantity::PerSecond => format!("{} /s", plain(value)),
        Quantity::Cores => plain(value),
        Quantity::Bytes if value >= f64::from(1 << 30) => format!("{} GiB", plain(value / f64::from(1 << 30))),
        Quantity::Bytes => format!("{} MiB", plain(value / f64::from(1 << 20))),
    }
}

/// Three digits that count.
fn plain(value: f64) -> String {
    let digits = if value == 0.0 { 0 } else { 2 - value.abs().log10().floor() as i32 };
    trimmed(value, digits.clamp(0, 6) as usize)
}

fn trimmed(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticks(axis: Axis) -> Vec<String> {
        axis.ticks().into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn ticks_are_round_and_have_units() {
        assert_eq!(
            ticks(Axis::from_zero(Quantity::PerSecond, 19_800.0)),
            ["0 /s", "5 k/s", "10 k/s", "15 k/s", "20 k/s"]
        );
        assert_eq!(ticks(Axis::from_zero(Quantity::Cores, 0.83)), ["0", "0.2", "0.4", "0.6", "0.8", "1"]);
        assert_eq!(ticks(Axis::time(30.0)), ["0 s", "10 s", "20 s", "30 s"]);
        assert_eq!(
            ticks(Axis::log(Quantity::Milliseconds, 0.2, 2_100.0)),
            ["100 µs", "1 ms", "10 ms", "100 ms", "1 s", "10 s"]
        );
        let nines = ["0 %", "50 %", "90 %", "99 %", "99.9 %", "99.99 %"];
        assert_eq!(ticks(Axis::nines(10_000)), nines);
        assert_eq!(ticks(Axis::from_zero(Quantity::Bytes, 90.0 * f64::from(1 << 20)))[1], "20 MiB");
    }

    #[test]
    fn each_nine_takes_the_same_room() {
        let axis = Axis::nines(1_000);
        for (quantile, place) in [(0.0, 0.0), (0.9, 1.0 / 3.0), (0.99, 2.0 / 3.0), (0.999, 1.0), (1.0, 1.0)] {
            assert!((axis.place(quantile) - place).abs() < 1e-9, "{quantile}");
        }
    }

    #[test]
    fn values_outside_are_held_to_the_ends() {
        let axis = Axis::log(Quantity::Milliseconds, 0.5, 50.0);
        assert_eq!((axis.place(0.0), axis.place(1e9)), (0.0, 1.0));
        assert!((axis.place(1.0) - 1.0 / 3.0).abs() < 1e-9);
        let nothing = Axis::from_zero(Quantity::PerSecond, 0.0);
        assert_eq!(nothing.place(0.0), 0.0);
    }
}

//! One figure of two sides: what it is on each, how far it goes up and down there, and whether the sides differ by more than luck.
//!
//! Runs of one server differ by more than their seconds do: the machine is not what it was a minute before. So the seconds of one run
//! a side say no more than that the two runs differ; which side is the better one takes several.

use super::super::ROUGH;
use super::super::axis::{Quantity, text};
use crate::slo::Value;

/// Runs a side before a difference counts: of as many and no difference, the ranges part by luck once in ten.
pub const RUNS_MIN: usize = 3;
/// Fewer seconds say nothing of how they differ.
const SECONDS_MIN: usize = 5;
/// Ratios nearer to 1 are of no account.
const NOTABLE: f64 = 0.05;

/// A figure on one side.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figure {
    /// The median of the runs.
    pub value: Value,
    /// Lowest and highest of the runs; of one run, of its seconds, where they have the figure.
    range: Option<(f64, f64)>,
    runs: usize,
}

/// A figure on both sides.
#[derive(Debug, PartialEq)]
pub struct Row {
    pub name: String,
    pub quantity: Quantity,
    pub a: Option<Figure>,
    pub b: Option<Figure>,
    pub better: Better,
}

/// Which of two different figures is the better one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    More,
    Less,
    /// It is not to be at all: some where there was none is worse, however few runs there are.
    None,
    /// Neither: it is of the traffic, or of something that differs for other reasons.
    Neither,
}

/// How B differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    Better,
    Worse,
    /// No second of one run is as in the other.
    Apart,
}

impl Figure {
    /// Of the values of runs; of one run, with the same of each of its seconds.
    pub fn of(mut values: Vec<Value>, seconds: Vec<f64>) -> Option<Figure> {
        values.sort_by(|a, b| a.value.total_cmp(&b.value));
        let (runs, is_rough) = (values.len(), values.iter().any(|value| value.is_rough));
        let value = Value { is_rough, ..*values.get(runs.checked_sub(1)? / 2)? };
        let of = match runs {
            1 if seconds.len() < SECONDS_MIN => vec![],
            1 => seconds,
            _ => values.into_iter().map(|value| value.value).collect(),
        };
        let range = of.iter().copied().reduce(f64::min).zip(of.iter().copied().reduce(f64::max));
        Some(Figure { value, range, runs })
    }
}

impl Row {
    fn ratio(&self) -> Option<f64> {
        self.numbers().filter(|(a, _)| *a > 0.0).map(|(a, b)| b / a)
    }

    pub fn ratio_text(&self) -> String {
        match (self.ratio(), self.numbers()) {
            (Some(ratio), _) => format!("×{ratio:.2}"),
            (None, Some((a, b))) if a == b => "=".into(),
            _ => "–".into(),
        }
    }

    /// None where the sides do not clearly differ, or only one has the figure.
    pub fn word(&self) -> Option<Word> {
        let (a, b) = self.a.zip(self.b)?;
        let is_more = b.value.value > a.value.value;
        let judged = if is_more == (self.better == Better::More) { Word::Better } else { Word::Worse };
        let is_apart = a.range.zip(b.range).is_some_and(|(a, b)| a.1 < b.0 || b.1 < a.0);
        let is_notable = self.ratio().is_none_or(|ratio| (ratio - 1.0).abs() > NOTABLE);
        let highest = |figure: Figure| figure.range.map_or(figure.value.value, |(_, high)| high);
        let (of_a, of_b) = (highest(a), highest(b));
        match self.better {
            Better::Neither => None,
            Better::None if of_a.min(of_b) == 0.0 => {
                (of_a != of_b).then_some(if of_b > 0.0 { Word::Worse } else { Word::Better })
            }
            _ if !(is_apart && is_notable) => None,
            _ if a.runs.min(b.runs) >= RUNS_MIN => Some(judged),
            _ if a.runs.max(b.runs) == 1 && !self.is_rough() => Some(Word::Apart),
            _ => None,
        }
    }

    pub fn is_rough(&self) -> bool {
        [self.a, self.b].into_iter().flatten().any(|figure| figure.value.is_rough)
    }

    fn numbers(&self) -> Option<(f64, f64)> {
        self.a.zip(self.b).map(|(a, b)| (a.value.value, b.value.value))
    }

    /// The value on a side.
    pub fn value(&self, figure: Option<Figure>) -> String {
        let mark = |is_rough| if is_rough { ROUGH } else { "" };
        let said = |Value { value, is_rough, .. }| format!("{}{}", mark(is_rough), text(self.quantity, value));
        figure.map_or("–".into(), |figure| said(figure.value))
    }

    /// How far it goes on a side; empty where that is not known.
    pub fn range(&self, figure: Option<Figure>) -> String {
        let range = figure.and_then(|figure| figure.range).filter(|(low, high)| low < high);
        let Some((low, high)) = range else { return String::new() };
        let (low, high) = (text(self.quantity, low), text(self.quantity, high));
        let unit = |text: &str| text.split_once(' ').map(|(_, unit)| unit.to_owned());
        let low = if unit(&low) == unit(&high) { low.split(' ').next().unwrap_or(&low) } else { &low };
        format!("{low}–{high}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(values: &[f64]) -> Vec<Value> {
        values.iter().map(|value| (*value).into()).collect()
    }

    fn row(a: Option<Figure>, b: Option<Figure>, better: Better) -> Row {
        Row { name: "x".into(), quantity: Quantity::Milliseconds, a, b, better }
    }

    /// How runs of these values differ.
    fn runs(a: &[f64], b: &[f64], better: Better) -> Option<Word> {
        row(Figure::of(values(a), vec![]), Figure::of(values(b), vec![]), better).word()
    }

    #[test]
    fn runs_whose_ranges_part_are_better_or_worse_and_no_fewer_than_three_a_side() {
        let a = [2.0, 1.0, 1.5];
        assert_eq!(runs(&a, &[3.0, 2.1, 4.0], Better::Less), Some(Word::Worse));
        assert_eq!(runs(&a, &[3.0, 2.1, 4.0], Better::More), Some(Word::Better));
        assert_eq!(runs(&a, &[3.0, 2.0, 4.0], Better::Less), None, "one was as another");
        assert_eq!(runs(&a, &[3.0, 2.1], Better::Less), None);
        assert_eq!(runs(&[1.0], &[9.0], Better::Less), None);
        assert_eq!(runs(&[1.0, 1.0, 1.0], &[1.04, 1.04, 1.04], Better::Less), None, "of no account");
        assert_eq!(runs(&a, &[3.0, 2.1, 4.0], Better::Neither), None);
    }

    #[test]
    fn one_run_a_side_is_apart_where_no_second_is_as_in_the_other_and_never_better_or_worse() {
        let side = |values_of: &[f64], seconds: &[f64]| Figure::of(values(values_of), seconds.to_vec());
        let quiet = || side(&[1.0], &[0.9, 1.0, 1.1, 1.0, 1.0]);
        let word = |b: Option<Figure>| row(quiet(), b, Better::Less).word();
        assert_eq!(word(side(&[4.0], &[3.0, 4.0, 5.0, 4.0, 4.0])), Some(Word::Apart));
        assert_eq!(word(side(&[4.0], &[1.1, 4.0, 5.0, 4.0, 4.0])), None);
        assert_eq!(word(side(&[4.0], &[4.0; 4])), None, "too few seconds");
        assert_eq!(word(side(&[4.0, 4.0, 4.0], &[])), None, "of one side there is only one");
        let rough = Figure::of(vec![Value { is_rough: true, ..4.0.into() }], vec![4.0; 5]);
        assert_eq!(word(rough), None);
        assert_eq!(row(rough, None, Better::Less).value(rough), "~4 ms");
    }

    #[test]
    fn what_is_not_to_be_at_all_is_worse_where_there_was_none() {
        assert_eq!(runs(&[0.0], &[7.0], Better::None), Some(Word::Worse));
        assert_eq!(runs(&[7.0], &[0.0], Better::None), Some(Word::Better));
        assert_eq!(runs(&[0.0], &[0.0], Better::None), None);
        assert_eq!(runs(&[7.0], &[3.0], Better::None), None);
        assert_eq!(
            runs(&[0.0, 0.0, 0.0], &[0.0, 0.0, 1.0], Better::None),
            Some(Word::Worse),
            "one of three lost something"
        );
    }

    #[test]
    fn ratios_are_those_of_medians_and_a_figure_of_one_side_has_none() {
        let of = |values_of: &[f64]| Figure::of(values(values_of), vec![]);
        let both = row(of(&[9.0, 2.0, 1.0]), of(&[4.0]), Better::Less);
        assert_eq!(
            (both.ratio_text().as_str(), both.value(both.a), both.range(both.a)),
            ("×2.00", "2 ms".into(), "1–9 ms".into())
        );
        assert_eq!(row(of(&[0.0]), of(&[0.0]), Better::Less).ratio_text(), "=");
        let one = row(None, of(&[1.0]), Better::Less);
        assert_eq!((one.ratio_text(), one.value(one.a), one.word()), ("–".into(), "–".into(), None));
        assert_eq!(both.range(of(&[0.5, 2.0])), "500 µs–2 ms");
        assert_eq!(both.range(of(&[2.0, 2.0])), "");
    }
}

//! The server's processor and memory over time, as charts.

use super::Report;
use super::axis::{Axis, Quantity};
use super::chart::{Chart, Joined, Line, Points, summed_up};
use super::html::highest;
use crate::scrape::{SILENT, ServerSecond};

impl Report {
    pub(super) fn processor(&self) -> Chart {
        self.server_chart("Server: processors in use", Quantity::Cores, 3, self.over_time(|s| s.cpu_cores))
    }

    pub(super) fn memory(&self) -> Chart {
        self.server_chart("Server: resident memory", Quantity::Bytes, 0, self.over_time(|s| s.rss_bytes as f64))
    }

    /// A figure of the server over time. Where it did not answer, each second is a point without a value, so that the line is broken there
    /// however long the run is.
    pub(super) fn over_time(&self, of: impl Fn(&ServerSecond) -> f64) -> Points {
        let (mut points, mut before) = (Points::new(), None);
        for second in &self.server_seconds {
            let from = before.replace(second.at_s).unwrap_or(second.at_s);
            if second.at_s - from > SILENT.as_secs_f64() {
                let missing = (1..).map(|n| from + f64::from(n)).take_while(|at_s| *at_s < second.at_s);
                points.extend(missing.map(|at_s| (at_s, None)));
            }
            points.push((second.at_s, Some(of(second))));
        }
        points
    }

    fn server_chart(&self, title: &str, quantity: Quantity, colour: u8, points: Points) -> Chart {
        let name = title.trim_start_matches("Server: ").into();
        let note = Joined::Highest.note(points.len());
        let lines =
            vec![Line { name, colour, dashed: false, points: summed_up(points, Joined::Highest), rough_from: None }];
        Chart {
            title: title.into(),
            note: format!("From /metrics, once a second; the line is broken where the server did not answer.{note}"),
            x: Axis::time(self.schedule().len() as f64),
            y: Axis::from_zero(quantity, highest(&lines)),
            lines,
            filled: true,
            wide: false,
            shaded_until: self.asked.measure_from_s,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::report;
    use super::*;
    use crate::tally::Tally;

    #[test]
    fn lines_of_the_server_are_broken_where_it_did_not_answer() {
        let mut run = report(0, Tally::default(), None, "");
        let second = |at_s: f64| ServerSecond { at_s, cpu_cores: 0.5, rss_bytes: 1 << 20 };
        run.server_seconds = [1.0, 2.1, 4.5, 8.0, 9.0].map(second).to_vec();
        let points = run.over_time(|s| s.cpu_cores);
        let holes: Vec<f64> = points.iter().filter(|(_, y)| y.is_none()).map(|(x, _)| *x).collect();
        assert_eq!((holes.as_slice(), points.len()), ([5.5, 6.5, 7.5].as_slice(), 8), "{points:?}");
        for chart in [run.processor(), run.memory()] {
            assert_eq!(chart.html().matches("class=\"line").count(), 2, "{}", chart.html());
        }
    }
}

//! Line charts as SVG: text from values alone. Colours come from the page's style, so that they suit light and dark.
//!
//! No plotting library: plotters and charming write colours into the picture, which then suits one of light and dark; poloto takes
//! them from CSS, but has no axis of nines and neither fills nor shows values under the pointer.

use super::ROUGH;
use super::axis::Axis;
use super::page::escape;
use std::fmt::Write;

/// Half the page, and all of it: a unit is about a pixel in both.
const WIDTH: [f64; 2] = [500.0, 1048.0];
const HEIGHT: f64 = 250.0;
const LEFT: f64 = 62.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 28.0;
/// Points of a line; what is longer is summed up first.
pub const POINTS_MAX: usize = 360;

/// x and y; nothing was measured where there is no y.
pub type Points = Vec<(f64, Option<f64>)>;

/// A line of a chart.
pub struct Line {
    /// What it shows.
    pub name: String,
    /// Which of the page's colours, from 0.
    pub colour: u8,
    /// Dashed, for what is only compared with.
    pub dashed: bool,
    /// What it goes through.
    pub points: Points,
    /// From where on it is dotted, as what it goes through there is a matter of luck.
    pub rough_from: Option<f64>,
}

/// A chart.
pub struct Chart {
    /// What it shows.
    pub title: String,
    /// What to look for.
    pub note: String,
    /// Across.
    pub x: Axis,
    /// Up.
    pub y: Axis,
    /// Lines, later ones over earlier ones.
    pub lines: Vec<Line>,
    /// Fill the room under the first line.
    pub filled: bool,
    /// Takes the whole width of the page.
    pub wide: bool,
    /// Until where it is shaded, as latencies and processor time do not count there; 0 for nowhere.
    pub shaded_until: f64,
}

/// What is shaded, below a chart.
const SHADED: &str = " Shaded: before --measure-from, where latencies and processor time do not count.";

impl Line {
    /// Whether there are points of it from which on it is dotted.
    pub fn is_rough(&self) -> bool {
        self.rough_from.is_some()
    }

    /// How many points of a stretch are before it is dotted.
    fn solid(&self, stretch: &[(f64, Option<f64>)]) -> usize {
        self.rough_from.map_or(stretch.len(), |from| stretch.partition_point(|(x, _)| *x <= from))
    }

    /// Where it ends.
    fn end(&self) -> f64 {
        self.points.last().map_or(f64::NEG_INFINITY, |(x, _)| *x)
    }

    /// The widest gap between two points next to each other.
    fn step(&self) -> f64 {
        self.points.windows(2).map(|pair| pair[1].0 - pair[0].0).fold(0.0, f64::max)
    }
}

impl Chart {
    /// A figure: title, legend, picture.
    pub fn html(&self) -> String {
        let class = if self.wide { " class=\"wide\"" } else { "" };
        let mut out = format!("<figure{class}><figcaption><b>{}</b>", escape(&self.title));
        for line in self.lines.iter().filter(|_| self.lines.len() > 1) {
            let dashed = if line.dashed { " dashed" } else { "" };
            let _ = write!(out, "<span class=\"key c{}{dashed}\">{}</span>", line.colour, escape(&line.name));
        }
        let shaded = if self.shaded_until > 0.0 { SHADED } else { "" };
        let note = escape(&format!("{}{shaded}", self.note));
        let _ = writeln!(out, "</figcaption>{}<p class=\"note\">{}</p></figure>", self.svg(), note.trim_start());
        out
    }

    fn svg(&self) -> String {
        let mut svg = format!(
            "<svg viewBox=\"0 0 {} {HEIGHT}\" role=\"img\" aria-label=\"{}\">",
            self.width(),
            escape(&self.title)
        );
        if self.shaded_until > 0.0 {
            let (width, height) = (self.across(self.shaded_until) - LEFT, HEIGHT - TOP - BOTTOM);
            let _ = write!(
                svg,
                "<rect class=\"before\" x=\"{LEFT}\" y=\"{TOP}\" width=\"{width:.1}\" height=\"{height}\"/>"
            );
        }
        self.grid(&mut svg);
        for (i, line) in self.lines.iter().enumerate() {
            self.line(&mut svg, line, self.filled && i == 0);
        }
        self.values_under_the_pointer(&mut svg);
        svg.push_str("</svg>");
        svg
    }

    fn grid(&self, svg: &mut String) {
        let (right, floor) = (self.width() - RIGHT, HEIGHT - BOTTOM);
        for (value, text) in self.y.ticks() {
            let y = self.up(value);
            let _ = write!(svg, "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{right}\"/>");
            let _ = write!(svg, "<text x=\"{}\" y=\"{:.1}\" class=\"end\">{text}</text>", LEFT - 8.0, y + 4.0);
        }
        for (value, text) in self.x.ticks() {
            let x = self.across(value);
            let _ = write!(svg, "<path class=\"tick\" d=\"M{x:.1} {floor}v4\"/>");
            let anchor = if x > right - 20.0 { "end" } else { "mid" };
            let _ = write!(svg, "<text x=\"{x:.1}\" y=\"{}\" class=\"{anchor}\">{text}</text>", floor + 18.0);
        }
    }

    fn line(&self, svg: &mut String, line: &Line, filled: bool) {
        let floor = HEIGHT - BOTTOM;
        // Each stretch without a gap is a path of its own.
        for stretch in line.points.split(|(_, y)| y.is_none()) {
            let places: Vec<(f64, f64)> =
                stretch.iter().filter_map(|(x, y)| Some((self.across(*x), self.up((*y)?)))).collect();
            let (Some(first), Some(last)) = (places.first(), places.last()) else { continue };
            if places.len() == 1 {
                let _ = write!(
                    svg,
                    "<circle class=\"dot c{}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"2.5\"/>",
                    line.colour, first.0, first.1
                );
                continue;
            }
            if filled {
                let path = path(&places);
                let _ = write!(
                    svg,
                    "<path class=\"area c{}\" d=\"M{:.1} {floor}L{path}L{:.1} {floor}Z\"/>",
                    line.colour, first.0, last.0
                );
            }
            let dashed = if line.dashed { " dashed" } else { "" };
            // The dotted part begins where the other ends.
            let solid = line.solid(stretch);
            for (class, places) in [(dashed, &places[..solid]), (" rough", &places[solid.saturating_sub(1)..])] {
                if places.len() > 1 {
                    let _ = write!(svg, "<path class=\"line c{}{class}\" d=\"M{}\"/>", line.colour, path(places));
                }
            }
        }
    }

    /// A strip for each point of the longest line, which shows all lines' values while the pointer is on it.
    fn values_under_the_pointer(&self, svg: &mut String) {
        let longest = self.lines.iter().reduce(|longest, line| if line.end() > longest.end() { line } else { longest });
        let Some(first) = longest else { return };
        let places: Vec<f64> = first.points.iter().map(|(x, _)| self.across(*x)).collect();
        for (i, (x, _)) in first.points.iter().enumerate() {
            let from = i.checked_sub(1).map_or(places[i], |before| (places[before] + places[i]) / 2.0);
            let to = places.get(i + 1).map_or(places[i], |after| (places[i] + after) / 2.0);
            let mut title = self.x.text(*x);
            for line in &self.lines {
                let near = line.points.iter().min_by(|a, b| (a.0 - x).abs().total_cmp(&(b.0 - x).abs()));
                let within = line.step().max(first.step()) / 2.0;
                let is_there = |near: f64| if self.x.is_time() { (near - x).abs() <= within } else { *x <= line.end() };
                if let Some((near, Some(y))) = near.filter(|near| is_there(near.0)) {
                    let rough = if line.rough_from.is_some_and(|from| *near > from) { ROUGH } else { "" };
                    let _ = write!(title, "\n{}: {rough}{}", escape(&line.name), self.y.text(*y));
                }
            }
            let _ = write!(
                svg,
                "<g class=\"hover\"><rect x=\"{from:.1}\" y=\"{TOP}\" width=\"{:.1}\" height=\"{}\"/><path d=\"M{:.1} {TOP}V{}\"/><title>{title}</title></g>",
                (to - from).max(1.0),
                HEIGHT - TOP - BOTTOM,
                places[i],
                HEIGHT - BOTTOM
            );
        }
    }

    fn width(&self) -> f64 {
        WIDTH[usize::from(self.wide)]
    }

    fn across(&self, x: f64) -> f64 {
        LEFT + self.x.place(x) * (self.width() - LEFT - RIGHT)
    }

    fn up(&self, y: f64) -> f64 {
        HEIGHT - BOTTOM - self.y.place(y) * (HEIGHT - TOP - BOTTOM)
    }
}

/// Through these places.
fn path(places: &[(f64, f64)]) -> String {
    places.iter().map(|(x, y)| format!("{x:.1} {y:.1}")).collect::<Vec<_>>().join("L")
}

/// How neighbours become one point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joined {
    /// Of rates.
    Mean,
    /// Of latencies, whose peaks are what is looked for.
    Highest,
}

impl Joined {
    fn of(self, values: &[f64]) -> Option<f64> {
        match self {
            Joined::Mean => (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64),
            Joined::Highest => values.iter().copied().reduce(f64::max),
        }
    }

    /// What a point of a line of so many seconds is, in words, where it is more than a second.
    pub fn note(self, seconds: usize) -> String {
        let what = if self == Joined::Mean { "mean" } else { "highest" };
        match joined_at_once(seconds) {
            1 => String::new(),
            each => format!(" Each point is the {what} of {each} seconds."),
        }
    }
}

/// Of so many points, how many become one.
fn joined_at_once(points: usize) -> usize {
    points.div_ceil(POINTS_MAX).max(1)
}

/// At most [`POINTS_MAX`] points.
pub fn summed_up(points: Points, joined: Joined) -> Points {
    let one = |chunk: &[(f64, Option<f64>)]| {
        let values: Vec<f64> = chunk.iter().filter_map(|(_, y)| *y).collect();
        (chunk[0].0, joined.of(&values))
    };
    points.chunks(joined_at_once(points.len())).map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::super::axis::Quantity;
    use super::*;

    fn chart(points: Points) -> String {
        let line = Line { name: "a<b".into(), colour: 0, dashed: false, points, rough_from: None };
        let (x, y) = (Axis::time(10.0), Axis::from_zero(Quantity::Milliseconds, 10.0));
        let (title, note) = ("t & u".into(), String::new());
        Chart { title, note, x, y, lines: vec![line], filled: true, wide: false, shaded_until: 0.0 }.html()
    }

    #[test]
    fn what_does_not_count_is_shaded_and_that_is_said() {
        let chart = |shaded_until| {
            let (x, y) = (Axis::time(10.0), Axis::from_zero(Quantity::Milliseconds, 10.0));
            let (title, note) = ("t".into(), "n.".into());
            Chart { title, note, x, y, lines: vec![], filled: true, wide: false, shaded_until }.html()
        };
        let html = chart(2.5);
        assert!(html.contains("<rect class=\"before\" x=\"62\" y=\"10\" width=\"106.0\" height=\"212\"/>"), "{html}");
        assert!(html.contains("n. Shaded: before --measure-from"), "{html}");
        assert!(!chart(0.0).contains("before"), "{}", chart(0.0));
        assert!(chart(99.0).contains("width=\"424.0\""), "no wider than the chart");
    }

    #[test]
    fn a_line_goes_through_its_points_and_is_broken_where_nothing_was_measured() {
        let html = chart(vec![(0.0, Some(0.0)), (5.0, Some(10.0)), (6.0, None), (10.0, Some(5.0))]);
        assert!(html.contains("class=\"line c0\" d=\"M62.0 222.0L274.0 10.0\""), "{html}");
        assert!(html.contains("<circle class=\"dot c0\" cx=\"486.0\" cy=\"116.0\""), "{html}");
        assert_eq!(html.matches("class=\"line").count(), 1);
    }

    #[test]
    fn texts_are_escaped_and_values_are_under_the_pointer() {
        let html = chart(vec![(0.0, Some(1.0)), (1.0, Some(2.5))]);
        assert!(html.contains("<b>t &amp; u</b>") && !html.contains("a<b"), "{html}");
        assert!(html.contains("<title>1 s\na&lt;b: 2.5 ms</title>"), "{html}");
    }

    #[test]
    fn a_line_that_is_over_has_no_value_under_the_pointer() {
        let line = |name: &str, until: u32| {
            let points = (0..until).map(|x| (f64::from(x), Some(7.0))).collect();
            Line { name: name.into(), colour: 0, dashed: false, points, rough_from: None }
        };
        let (x, y) = (Axis::time(10.0), Axis::from_zero(Quantity::Milliseconds, 10.0));
        let (title, note, lines) = ("t".into(), String::new(), vec![line("long", 9), line("short", 3)]);
        let html = Chart { title, note, x, y, lines, filled: false, wide: false, shaded_until: 0.0 }.html();
        assert!(html.contains("<title>2 s\nlong: 7 ms\nshort: 7 ms</title>"), "{html}");
        assert!(html.contains("<title>3 s\nlong: 7 ms</title>"), "{html}");
    }

    #[test]
    fn a_line_is_dotted_where_it_is_rough_and_has_no_value_behind_its_end() {
        let line = |name: &str, quantiles: &[f64], rough_from| {
            let points = quantiles.iter().map(|quantile| (*quantile, Some(7.0))).collect();
            Line { name: name.into(), colour: 0, dashed: false, points, rough_from }
        };
        let (x, y) = (Axis::nines(1_000), Axis::from_zero(Quantity::Milliseconds, 10.0));
        let lines = vec![line("few", &[0.0, 0.5], Some(-1.0)), line("many", &[0.0, 0.5, 0.9, 0.99, 0.999], Some(0.99))];
        let (title, note) = ("t".into(), String::new());
        let html = Chart { title, note, x, y, lines, filled: false, wide: false, shaded_until: 0.0 }.html();
        let dotted: Vec<_> = html.split("<path class=\"line c0 rough\" d=\"").skip(1).collect();
        assert_eq!((dotted.len(), html.matches("class=\"line c0\"").count()), (2, 1), "{html}");
        assert!(dotted[1].starts_with("M344.7 73.6L486.0 73.6\""), "from 99 % on: {html}");
        assert!(html.contains("<title>50 %\nfew: ~7 ms\nmany: 7 ms</title>"), "{html}");
        assert!(html.contains("<title>90 %\nmany: 7 ms</title>"), "{html}");
        assert!(html.contains("<title>99.9 %\nmany: ~7 ms</title>"), "{html}");
    }

    #[test]
    fn a_chart_without_points_is_a_grid() {
        let html = chart(vec![]);
        assert!(html.contains("class=\"grid\"") && !html.contains("class=\"line"), "{html}");
    }

    #[test]
    fn long_lines_are_summed_up_without_losing_their_peaks() {
        let points: Points = (0..10_000).map(|i| (f64::from(i), Some(if i == 7_777 { 99.0 } else { 1.0 }))).collect();
        let short = summed_up(points, Joined::Highest);
        assert!(short.len() <= POINTS_MAX);
        assert_eq!(short.iter().filter_map(|(_, y)| *y).fold(0.0, f64::max), 99.0);
        // Of 1, 2, 3, 4 in each four.
        let points: Points = (0..1_440).map(|i| (f64::from(i), Some(f64::from(i % 4 + 1)))).collect();
        let rates = summed_up(points, Joined::Mean);
        assert!(rates.len() == POINTS_MAX && rates.iter().all(|(_, y)| *y == Some(2.5)), "{:?}", rates[0]);
        assert_eq!(Joined::Mean.note(1_440), " Each point is the mean of 4 seconds.");
        assert_eq!(Joined::Highest.note(POINTS_MAX), "");
        assert_eq!(summed_up(vec![(0.0, None)], Joined::Highest), [(0.0, None)]);
    }
}

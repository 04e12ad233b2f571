//! The frame of a page: one file without any reference to another, that is right in light and in dark and on paper.

use super::Verdict;
use std::fmt::Write;

const STYLE: &str = include_str!("style.css");

/// A whole page.
pub fn page(title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta name=\"color-scheme\" content=\"light dark\">\n<title>{}</title>\n<style>\n{STYLE}</style></head>\n<body><main>\n{body}</main></body></html>\n",
        escape(title)
    )
}

/// Text as HTML.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A table; cells are HTML, the first of each row is its head.
pub fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let mut out = String::from("<div class=\"table\"><table>");
    if !head.is_empty() {
        let cells: String = head.iter().map(|cell| format!("<th>{}</th>", escape(cell))).collect();
        let _ = write!(out, "<thead><tr>{cells}</tr></thead>");
    }
    for row in rows {
        let cells: String = row.iter().skip(1).map(|cell| format!("<td>{cell}</td>")).collect();
        let first = row.first().map_or("", String::as_str);
        let _ = write!(out, "<tr><th>{first}</th>{cells}</tr>");
    }
    out.push_str("</table></div>\n");
    out
}

/// The verdict in one word, with its colour.
pub fn badge(verdict: &Verdict) -> String {
    let class = match verdict {
        Verdict::Ok => "good",
        Verdict::Failed(_) => "bad",
        Verdict::Invalid(_) => "unsure",
    };
    format!("<span class=\"badge {class}\">{}</span>", verdict.word())
}

/// Whole numbers with a thin space between thousands.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_stand_apart() {
        for (n, text) in [(0, "0"), (999, "999"), (1_000, "1\u{202f}000"), (12_345_678, "12\u{202f}345\u{202f}678")] {
            assert_eq!(count(n), text);
        }
    }

    #[test]
    fn a_page_refers_to_nothing_outside_of_it() {
        let page = page("a <b>", "x");
        assert!(page.contains("<title>a &lt;b&gt;</title>"));
        for outside in ["http:", "https:", "url(", "@import", "<script", "src="] {
            assert!(!page.contains(outside), "{outside}");
        }
    }
}

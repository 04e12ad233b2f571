//! Tables on a terminal. What strangers sent is shown without control characters.

use std::fmt::Write;

/// Characters of a cell; longer text is cut.
const CELL_MAX: usize = 36;

/// Without what could steer a terminal.
pub(super) fn plain(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect::<Vec<_>>() } else { vec![c] }).collect()
}

pub(super) fn cell(text: &str) -> String {
    let text = plain(text);
    match text.char_indices().nth(CELL_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// Rows under titles, aligned; some rows are one line of text instead.
pub(super) struct Table {
    right: Vec<bool>,
    rows: Vec<Result<Vec<String>, String>>,
}

impl Table {
    /// `sides`: `l` or `r` per column.
    pub(super) fn new(titles: &[&str], sides: &str) -> Table {
        let titles = titles.iter().map(|t| t.to_string()).collect();
        Table { right: sides.chars().map(|c| c == 'r').collect(), rows: vec![Ok(titles)] }
    }

    pub(super) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(Ok(cells));
    }

    pub(super) fn rule(&mut self, text: String) {
        self.rows.push(Err(text));
    }

    pub(super) fn write(&self, out: &mut String) {
        let mut widths = vec![0; self.right.len()];
        for cells in self.rows.iter().flatten() {
            for (width, cell) in widths.iter_mut().zip(cells) {
                *width = (*width).max(cell.chars().count());
            }
        }
        for row in &self.rows {
            let mut line = String::from(" ");
            match row {
                Err(text) => {
                    let _ = write!(line, " ── {text} ──");
                }
                Ok(cells) => {
                    for ((cell, width), right) in cells.iter().zip(&widths).zip(&self.right) {
                        let _ =
                            if *right { write!(line, " {cell:>width$} ") } else { write!(line, " {cell:<width$} ") };
                    }
                }
            }
            let _ = writeln!(out, "{}", line.trim_end());
        }
    }
}

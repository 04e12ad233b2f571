//! JSON on the wire: the one place that reads events from it and writes records to it.

/// A row that could not be taken; the rest of its batch is.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct RowError {
    /// Place in the batch, from 0.
    pub index: usize,
    /// Short, stable, snake_case.
    pub code: &'static str,
    /// Names the field, the value found and the rule.
    pub message: String,
}

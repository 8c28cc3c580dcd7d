//! Tables of text. Each cell is escaped, so that it stays on its line.

use std::fmt::Write;

use handoffd_engine::text::visible;
use serde_json::Value;

/// Spaces between two columns.
const SPACING: usize = 2;

/// Formats rows with columns as wide as their widest cells.
pub(super) fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |at: usize| rows.iter().map(|row| visible(&row[at]).to_string().chars().count()).max();
    let widths: [usize; N] = std::array::from_fn(|at| width(at).unwrap_or_default());
    rows.iter().map(|row| line(row, &widths)).collect()
}

/// Formats one line with columns of these widths; a column without a width takes the rest of the line. A wider cell
/// shifts the rest of its line.
pub(super) fn line<T: AsRef<str>>(cells: &[T], widths: &[usize]) -> String {
    let mut line = String::new();
    for (number, cell) in cells.iter().enumerate() {
        let start = line.len();
        // Writing to a string never fails.
        _ = write!(line, "{}", visible(cell.as_ref()));
        let width = line[start..].chars().count();
        let padding = widths.get(number).map_or(0, |wanted| wanted.saturating_sub(width));
        line.extend(std::iter::repeat_n(' ', padding + SPACING));
    }
    line.truncate(line.trim_end().len());
    line + "\n"
}

/// Formats a value as a cell; null as a dash.
pub(super) fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cells_and_cells_are_escaped() {
        let rows = [["id", "status"], ["é\u{202e}", "ok"], ["a", "a\nb"]].map(|row| row.map(str::to_owned));
        assert_eq!(table(&rows), "id         status\né\\u{202e}  ok\na          a\\nb\n");
    }

    #[test]
    fn a_wider_cell_shifts_the_rest_of_its_line() {
        assert_eq!(line(&["ab", "c", "d"], &[1, 3]), "ab  c    d\n");
        assert_eq!(line(&["a", "", ""], &[1, 3]), "a\n");
    }
}

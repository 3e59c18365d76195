//! The format of answers at a terminal: plain tables and short lines. Their texts are beside each command.

use std::fmt::Display;

/// A text as a cell or part of a line. Texts come from GitLab and Jira, so control characters are removed.
pub(super) fn clean(text: impl Display) -> String {
    text.to_string().chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// The day of a moment in ISO 8601.
pub(super) fn day(moment: &str) -> String {
    clean(moment.split('T').next().unwrap_or_default())
}

/// The notes under an answer.
pub(super) fn notes(notes: &[String]) -> impl Iterator<Item = String> {
    notes.iter().map(|note| format!("Note: {}", clean(note)))
}

/// Columns as wide as their widest cell.
pub(super) fn table<const N: usize>(
    head: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> Vec<String> {
    let rows: Vec<[String; N]> = std::iter::once(head.map(str::to_owned)).chain(rows).collect();
    let mut widths = [0; N];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_control_characters_removed() {
        let rows = [["é".to_owned(), clean("\u{1b}[2Jx")], ["long".to_owned(), "y".to_owned()]];
        assert_eq!(table(["A", "B"], rows), ["A     B", "é      [2Jx", "long  y"]);
    }
}

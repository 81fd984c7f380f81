//! Tables of text for people.

use console::{measure_text_width, style};

use crate::failure::Failure;
use crate::output::Out;

/// At which side of its column a cell stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

/// Rows under headings, as wide as what they hold. The last column isn't padded, so it may be as long as it likes.
pub(crate) struct Grid {
    columns: Vec<(&'static str, Align)>,
    rows: Vec<Vec<String>>,
}

impl Grid {
    pub(crate) fn new(columns: &[(&'static str, Align)]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row. Cells may hold colours.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub(crate) fn print(&self, out: &mut Out) -> Result<(), Failure> {
        for line in self.lines() {
            out.line(line)?;
        }
        Ok(())
    }

    fn lines(&self) -> Vec<String> {
        let widths: Vec<usize> = (0..)
            .zip(&self.columns)
            .map(|(index, (heading, _))| {
                let cells = self.rows.iter().filter_map(|row| row.get(index));
                cells.map(|cell| measure_text_width(cell)).max().unwrap_or(0).max(heading.len())
            })
            .collect();
        let heading = self.columns.iter().map(|(heading, _)| style(heading).dim().to_string()).collect();
        std::iter::once(&heading).chain(&self.rows).map(|row| self.one(row, &widths)).collect()
    }

    fn one(&self, row: &[String], widths: &[usize]) -> String {
        let mut line = String::new();
        let last = self.columns.len().saturating_sub(1);
        for (index, ((cell, width), (_, align))) in row.iter().zip(widths).zip(&self.columns).enumerate() {
            let padding = " ".repeat(width.saturating_sub(measure_text_width(cell)));
            match align {
                Align::Right => line.extend([padding.as_str(), cell]),
                Align::Left if index == last => line.push_str(cell),
                Align::Left => line.extend([cell.as_str(), &padding]),
            }
            if index != last {
                line.push_str("  ");
            }
        }
        line.trim_end().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut grid = Grid::new(&[("table", Align::Left), ("rows", Align::Right), ("state", Align::Left)]);
        grid.row(["shop.ä".into(), "5".into(), "live".into()]);
        grid.row(["shop.orders".into(), "1234567".into(), "held".into()]);
        assert_eq!(
            grid.lines(),
            ["table           rows  state", "shop.ä             5  live", "shop.orders  1234567  held"]
        );
    }
}

//! Rows in batches: one allocation for all texts and one for all cells, instead of several a row.

use crate::value::ValueRef;

/// Where a value's bytes lie. Kept at 16 bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Cell {
    Null,
    Int(i64),
    Real(f64),
    Text { length: u32, start: u64 },
    Blob { length: u32, start: u64 },
}

/// Rows of one table, all of the same width, in order.
///
/// Values are pushed one by one, column by column, row by row; a row exists once its last value is pushed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RowBatch {
    width: usize,
    cells: Vec<Cell>,
    text: String,
    blob: Vec<u8>,
}

impl RowBatch {
    /// An empty batch of rows with `width` values each.
    pub fn new(width: usize) -> Self {
        Self { width, ..Self::default() }
    }

    /// How many values a row has.
    pub fn width(&self) -> usize {
        self.width
    }

    /// How many whole rows there are.
    pub fn len(&self) -> usize {
        self.cells.len().checked_div(self.width).unwrap_or(0)
    }

    /// Whether there is no whole row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The memory that the values take, in bytes; what limits on batches and queues are measured in.
    pub fn size_bytes(&self) -> usize {
        self.cells.len() * size_of::<Cell>() + self.text.len() + self.blob.len()
    }

    /// Appends one value. A text or blob of 4 GiB or more is beyond every source's limits; it would be cut, so it is
    /// refused.
    pub fn push(&mut self, value: ValueRef<'_>) -> Result<(), ValueTooLong> {
        let cell = match value {
            ValueRef::Null => Cell::Null,
            ValueRef::Int(value) => Cell::Int(value),
            ValueRef::Real(value) => Cell::Real(value),
            ValueRef::Text(text) => {
                let cell = Cell::Text { length: length_u32(text.len())?, start: self.text.len() as u64 };
                self.text.push_str(text);
                cell
            }
            ValueRef::Blob(bytes) => {
                let cell = Cell::Blob { length: length_u32(bytes.len())?, start: self.blob.len() as u64 };
                self.blob.extend_from_slice(bytes);
                cell
            }
        };
        self.cells.push(cell);
        Ok(())
    }

    /// Appends all values of one row of another batch.
    pub fn push_row(&mut self, row: RowRef<'_>) -> Result<(), ValueTooLong> {
        row.iter().try_for_each(|value| self.push(value))
    }

    /// Takes back the values pushed since the last whole row, for instance when decoding a row fails half-way.
    pub fn abandon_row(&mut self) {
        let whole_cells = self.len() * self.width;
        self.cells.truncate(whole_cells);
    }

    /// The row at `index`, counted from 0.
    pub fn row(&self, index: usize) -> Option<RowRef<'_>> {
        let start = index.checked_mul(self.width)?;
        let cells = self.cells.get(start..start.checked_add(self.width)?)?;
        (!cells.is_empty()).then_some(RowRef { batch: self, cells })
    }

    /// All whole rows, in order.
    pub fn rows(&self) -> impl Iterator<Item = RowRef<'_>> {
        self.cells.chunks_exact(self.width.max(1)).map(move |cells| RowRef { batch: self, cells })
    }

    fn value(&self, cell: Cell) -> ValueRef<'_> {
        match cell {
            Cell::Null => ValueRef::Null,
            Cell::Int(value) => ValueRef::Int(value),
            Cell::Real(value) => ValueRef::Real(value),
            Cell::Text { length, start } => {
                let start = start as usize;
                ValueRef::Text(self.text.get(start..start + length as usize).unwrap_or_default())
            }
            Cell::Blob { length, start } => {
                let start = start as usize;
                ValueRef::Blob(self.blob.get(start..start + length as usize).unwrap_or_default())
            }
        }
    }
}

fn length_u32(length: usize) -> Result<u32, ValueTooLong> {
    u32::try_from(length).map_err(|_| ValueTooLong { length_bytes: length })
}

/// A value is longer than 4 GiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a value of {length_bytes} bytes is longer than the 4 GiB that a row may hold")]
pub struct ValueTooLong {
    /// Its length in bytes.
    pub length_bytes: usize,
}

/// One row of a [`RowBatch`].
#[derive(Debug, Clone, Copy)]
pub struct RowRef<'a> {
    batch: &'a RowBatch,
    cells: &'a [Cell],
}

impl<'a> RowRef<'a> {
    /// The value of a column, counted from 0; `None` if the row isn't that wide.
    pub fn get(&self, column: usize) -> Option<ValueRef<'a>> {
        self.cells.get(column).map(|cell| self.batch.value(*cell))
    }

    /// All values, in column order.
    pub fn iter(&self) -> impl Iterator<Item = ValueRef<'a>> + use<'a> {
        let batch = self.batch;
        self.cells.iter().map(move |cell| batch.value(*cell))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_as_they_were_pushed() {
        let mut batch = RowBatch::new(3);
        for value in [ValueRef::Int(1), ValueRef::Text("é"), ValueRef::Blob(&[0, 255])] {
            batch.push(value).unwrap();
        }
        for value in [ValueRef::Null, ValueRef::Text(""), ValueRef::Real(-0.5)] {
            batch.push(value).unwrap();
        }
        assert_eq!(batch.len(), 2);
        assert_eq!(batch.row(0).unwrap().get(1), Some(ValueRef::Text("é")));
        assert_eq!(batch.row(0).unwrap().get(2), Some(ValueRef::Blob(&[0, 255])));
        assert_eq!(
            batch.row(1).unwrap().iter().collect::<Vec<_>>(),
            [ValueRef::Null, ValueRef::Text(""), ValueRef::Real(-0.5)]
        );
        assert!(batch.row(2).is_none());
    }

    #[test]
    fn an_abandoned_row_leaves_the_whole_ones() {
        let mut batch = RowBatch::new(2);
        for value in [ValueRef::Int(1), ValueRef::Int(2), ValueRef::Int(3)] {
            batch.push(value).unwrap();
        }
        batch.abandon_row();
        batch.push(ValueRef::Int(4)).unwrap();
        batch.push(ValueRef::Int(5)).unwrap();
        let firsts: Vec<_> = batch.rows().map(|row| row.get(0).unwrap()).collect();
        assert_eq!(firsts, [ValueRef::Int(1), ValueRef::Int(4)]);
    }

    #[test]
    fn a_cell_is_sixteen_bytes() {
        assert_eq!(size_of::<Cell>(), 16);
    }
}

//! The numbers of what a table's partitions are stored in.

use super::catalog::ObjectId;

/// As many as a table's numbers may be: none runs into those of another.
const BITS: u32 = 16;

/// One number for each partition. It goes with the rows where partitions are switched, and stays with them where another
/// partition is split or merged.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Rowsets {
    numbers: Vec<u64>,
    /// What the next one gets.
    next: u64,
}

impl Rowsets {
    pub fn new(table: ObjectId, partitions: usize) -> Self {
        let first = u64::from(table.0.unsigned_abs()) << BITS;
        let numbers: Vec<u64> = (first..).take(partitions).collect();
        Self { next: first + numbers.len() as u64, numbers }
    }

    pub fn numbers(&self) -> &[u64] {
        &self.numbers
    }

    /// A partition comes to be at a place; those after it move on.
    pub fn split(&mut self, at: usize) {
        self.numbers.insert(at.min(self.numbers.len()), self.next);
        self.next += 1;
    }

    /// The partition at a place ends; another has its rows.
    pub fn merge(&mut self, at: usize) {
        if at < self.numbers.len() {
            self.numbers.remove(at);
        }
    }

    /// Two partitions of two tables change places.
    pub fn exchange(&mut self, at: usize, other: &mut Self, other_at: usize) {
        if let (Some(own), Some(other)) = (self.numbers.get_mut(at), other.numbers.get_mut(other_at)) {
            std::mem::swap(own, other);
        }
    }
}

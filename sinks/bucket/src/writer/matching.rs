//! Which of a row's former outputs or lookups is the one that is wanted now.
//!
//! They mostly come in the same order every time, so the one after the last found is tried first. A row may have a
//! hundred thousand (an array in a column gives one each), all of them others after an update: then they are found by a
//! hash, as comparing each with each would hold up every other table.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hash};

use crate::row_state::{Lookup, Output};

/// Up to so many are compared one by one.
const COMPARED_MAX: usize = 32;

/// What is told apart by a part of itself.
pub(super) trait Identified {
    /// That part: of two equal ones, no row has both.
    fn identity(&self) -> impl Hash + PartialEq + '_;
}

impl Identified for Output<'_> {
    fn identity(&self) -> impl Hash + PartialEq + '_ {
        self.object_in_bucket()
    }
}

impl Identified for Lookup<'_> {
    fn identity(&self) -> impl Hash + PartialEq + '_ {
        self.entry()
    }
}

/// Elements that are looked for.
pub(super) struct Matching<'e, T> {
    elements: &'e [T],
    next: usize,
    /// Their places by the hashes of their identities, once they have been needed. Of several with the same hash the last.
    by_hash: Option<HashMap<u64, usize>>,
    hasher: RandomState,
}

impl<'e, T: Identified> Matching<'e, T> {
    pub(super) fn new(elements: &'e [T]) -> Self {
        Self { elements, next: 0, by_hash: None, hasher: RandomState::new() }
    }

    /// The place of the element that is the same as this one.
    pub(super) fn find(&mut self, wanted: &T) -> Option<usize> {
        let is_at = |at: usize| self.elements.get(at).is_some_and(|element| element.identity() == wanted.identity());
        let found = if is_at(self.next) {
            Some(self.next)
        } else if self.elements.len() <= COMPARED_MAX {
            self.position(wanted)
        } else {
            let hash = self.hasher.hash_one(wanted.identity());
            let elements = self.elements;
            let by_hash = self.by_hash.get_or_insert_with(|| {
                let hashes = elements.iter().map(|element| self.hasher.hash_one(element.identity()));
                hashes.zip(0..).collect()
            });
            match by_hash.get(&hash).copied() {
                // Another with the same hash hides it, if it is there at all.
                Some(at) if !is_at(at) => self.position(wanted),
                found => found,
            }
        };
        self.next = found.map_or(self.next, |at| at + 1);
        found
    }

    fn position(&self, wanted: &T) -> Option<usize> {
        self.elements.iter().position(|element| element.identity() == wanted.identity())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::DefinitionId;

    fn lookup(text: &str) -> Lookup<'_> {
        Lookup { definition: DefinitionId(1), query: 0, lookup: text, output: "", op_id: None }
    }

    /// In order, backwards, with some left out and some that aren't there, among few and among many.
    #[test]
    fn every_element_is_found_whatever_the_order() {
        for elements in [3, COMPARED_MAX, COMPARED_MAX * 5] {
            let texts: Vec<String> = (0..elements * 2).map(|number| number.to_string()).collect();
            let stored: Vec<_> = texts.iter().take(elements).map(|text| lookup(text)).collect();
            let asked = (0..elements * 2).chain((0..elements * 2).rev()).chain((0..elements * 2).step_by(3));
            let mut matching = Matching::new(&stored);
            for number in asked {
                let wanted = lookup(&texts[number]);
                assert_eq!(matching.find(&wanted), (number < elements).then_some(number), "{number} of {elements}");
            }
        }
    }
}

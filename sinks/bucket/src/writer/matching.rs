//! Which of a row's former outputs or lookups is the one that is wanted now.
//!
//! They mostly come in the same order every time, so the one after the last found is tried first. A row may have a
//! hundred thousand (an array in a column gives one each), all of them others after an update: then they are found by a
//! hash, as comparing each with each would hold up every other table.

use std::collections::HashMap;
use std::hash::Hash;

use crate::evaluated::COMPARED_MAX;
use crate::key::{BucketId, DefinitionId};
use crate::row_state::{Lookup, Output};

/// What is told apart by a part of itself.
pub(super) trait Identified {
    type Identity: Hash + Eq;

    /// That part: of two equal ones, no row has both.
    fn identity(&self) -> Self::Identity;
}

impl<'a> Identified for Output<'a> {
    type Identity = (BucketId, &'a str, &'a str);

    fn identity(&self) -> Self::Identity {
        self.object_in_bucket()
    }
}

impl<'a> Identified for Lookup<'a> {
    type Identity = (DefinitionId, u32, &'a str, &'a str);

    fn identity(&self) -> Self::Identity {
        self.entry()
    }
}

/// Elements that are looked for.
pub(super) struct Matching<'e, T: Identified> {
    elements: &'e [T],
    next: usize,
    /// The place of each, once they have been needed.
    places: Option<HashMap<T::Identity, usize>>,
}

impl<'e, T: Identified> Matching<'e, T> {
    pub(super) fn new(elements: &'e [T]) -> Self {
        Self { elements, next: 0, places: None }
    }

    /// The place of the element that is the same as this one.
    pub(super) fn find(&mut self, wanted: &T) -> Option<usize> {
        let wanted = wanted.identity();
        let elements = self.elements;
        let found = if elements.get(self.next).is_some_and(|element| element.identity() == wanted) {
            Some(self.next)
        } else if elements.len() <= COMPARED_MAX {
            elements.iter().position(|element| element.identity() == wanted)
        } else {
            let all = || elements.iter().map(T::identity).zip(0..).collect();
            self.places.get_or_insert_with(all).get(&wanted).copied()
        };
        self.next = found.map_or(self.next, |at| at + 1);
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

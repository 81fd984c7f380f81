//! Extended properties: what users note about objects, `MS_Description` above all.

use std::sync::Arc;

use crate::value::Value;

/// What a property is of, numbered as `sys.extended_properties` has it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct PropertyOwner {
    pub class: PropertyClass,
    pub major_id: i32,
    pub minor_id: i32,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum PropertyClass {
    Database = 0,
    ObjectOrColumn = 1,
    Parameter = 2,
    Schema = 3,
    Type = 6,
    Index = 7,
}

#[derive(Clone, PartialEq, Debug)]
pub struct Property {
    pub owner: PropertyOwner,
    pub name: Arc<str>,
    pub value: Value,
}

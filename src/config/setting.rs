//! Values that were set, with their places.

use std::collections::BTreeMap;

use toml::Value;

use super::fault::FaultPlace;

/// Values that were set, by section and key. Every other key has the default of the schema.
pub(crate) type Layers = BTreeMap<&'static str, Set>;

/// Values that were set, by key.
pub(crate) type Set = BTreeMap<String, Setting>;

/// Value with its place.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Setting {
    /// Value as TOML.
    pub value: Value,
    /// Place of the value.
    pub place: FaultPlace,
}

//! In: requests as Dataverse's Web API and Entra ID take them.
//! Out: the answers they would give, mistakes refused with their codes and texts; faults on request.
//! Absent: anything the worker uses; this is the other side of the wire.
//!
//! [`serve`] starts it inside a test; the executable `dynamics-simulator` does the same from a command
//! line. Each environment has a listener of its own, so its URL has no path; tokens for any of them are
//! given at all. What can be scripted and read back over HTTP is described at [`control`], the switches
//! at [`Settings`], the faults at [`Script`].

mod access;
mod actions;
mod answer;
mod call;
mod closing;
mod control;
mod dataverse;
mod environment;
mod faults;
mod filter;
mod front;
mod guard;
mod journal;
mod lexer;
mod literal;
mod matching;
mod metadata;
mod options;
mod payload;
mod people;
mod privileges;
mod profile;
mod protection;
mod query;
mod queueing;
mod read;
mod refusal;
mod rep;
mod rows;
mod rules;
mod schema;
mod seeds;
mod serve;
mod settings;
mod states;
mod switches;
mod tables;
mod target;
mod token;
mod trigger;
mod visit;
mod wire;
mod write;

pub use environment::Environment;
pub use faults::{Effect, Moment, Named, Script, Scripted};
pub use journal::Entry;
pub use options::{BadEnvironment, EnvironmentOptions, Options};
pub use profile::Profile;
pub use rep::{RepActed, RepAction, RepScript};
pub use rules::{AccessRight, NoAccess, Plugin, PluginEffect, PluginMessage, SecuredColumn};
pub use seeds::Seeds;
pub use serve::{Running, SimulatorError, serve};
pub use settings::{Limits, Settings, SettingsError};
pub use switches::{
    Application, ApplicationUser, Availability, Customer, DuplicateKey, Firewall, Headers, Resolving, Secret,
};

#[cfg(test)]
mod tests;

//! In: requests as Dataverse's Web API and Entra ID accept them.
//! Out: the answers those services would give, mistakes refused with their codes and texts; faults on request.
//! Absent: anything the worker uses; this crate is the other side of the connection.
//!
//! [`serve`] starts the simulator inside a test; the executable `dynamics-simulator` starts it from a command line. Each
//! environment has its own listener, so its URL has no path; every listener issues tokens for all environments. [`control`]
//! documents scripting and inspection over HTTP, [`EnvironmentSettings`] the switches, [`Script`] the faults.

mod access;
mod actions;
mod answer;
mod assertion;
mod call;
mod closing;
mod context;
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
mod live_settings;
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
mod row;
mod rows;
mod rules;
mod schema;
mod seeds;
mod serve;
mod settings;
mod states;
mod switches;
mod table;
mod tables;
mod target;
mod token;
mod token_refusal;
mod trigger;
mod visit;
mod wire;
mod write;

pub use environment::Environment;
pub use faults::{Effect, Moment, Named, Script, Scripted};
pub use journal::JournalEntry;
pub use options::{BadEnvironment, EnvironmentOptions, SimulatorOptions};
pub use profile::Profile;
pub use rep::{RepAction, RepActionRecord, RepScript};
pub use rules::{AccessRight, NoAccess, Plugin, PluginEffect, PluginMessage, SecuredColumn};
pub use seeds::Seeds;
pub use serve::{Running, SimulatorError, serve};
pub use settings::{EnvironmentSettings, ServiceLimits, SettingsError};
pub use switches::{
    Application, ApplicationUser, Availability, Customer, DuplicateKey, Firewall, Headers, Resolving, Secret,
};

#[cfg(test)]
mod tests;

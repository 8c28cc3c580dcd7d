//! The configuration as its user meets it: files, environment, commands.

mod commands;
mod docs;
mod faults;
mod layers;
mod organizations;
mod site;

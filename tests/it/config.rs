//! The configuration from the user's side: files, environment, commands.

mod commands;
mod credentials;
mod docs;
mod faults;
mod insecure;
mod layers;
mod organization_changes;
mod organizations;
mod site;

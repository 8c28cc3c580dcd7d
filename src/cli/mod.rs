//! In: the arguments of one subcommand.
//! Out: text for a person, or an error and an exit status.
//! Absent: parsing of arguments, rules; a command asks other rooms.

pub mod config;

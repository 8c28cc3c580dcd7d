//! In: requests of operators' browsers; counters, stored outcomes and dead letters.
//! Out: the operators' page: HTML that works without scripts, its style sheet and a small script.
//! Absent: authentication, which the HTTP interface does first; external resources such as fonts and libraries.

mod activity;
mod badge;
mod chart;
mod events;
mod failure;
mod find;
mod layout;
mod dead_letters;
mod link;
mod now;
mod organizations;
mod routes;
mod text;
mod timeline;
mod words;

pub use routes::{problems_as_pages, router};

#[cfg(test)]
pub(in crate::admin) use tests::sample_view;
#[cfg(test)]
mod tests;

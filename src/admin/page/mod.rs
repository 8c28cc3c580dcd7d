//! In: requests of operators' browsers; what is counted, remembered and given up.
//! Out: the operators' page: HTML that reads without a script, its style, its little script.
//! Absent: who may ask, which the HTTP interface decides before; anything from elsewhere: no font, no library, no address.

mod badge;
mod chart;
mod failure;
mod find;
mod history;
mod layout;
mod letters;
mod link;
mod now;
mod organizations;
mod routes;
mod text;
mod timeline;
mod words;

pub use routes::router;

#[cfg(test)]
mod tests;

//! Removal of places from reasons that unauthenticated clients read: hosts, virtual hosts, users, paths. Pure.

use core::net::{IpAddr, SocketAddr};

/// Text in place of what was removed.
const INSTEAD: &str = "…";

/// Returns a reason without these texts, and without anything that looks like an address or a path.
pub(super) fn redact(reason: &str, private: &[String]) -> String {
    let mut known: Vec<&str> = private.iter().map(String::as_str).filter(|text| !text.is_empty()).collect();
    // A text may be a part of a longer one.
    known.sort_by_key(|text| std::cmp::Reverse(text.len()));
    let text = known.into_iter().fold(reason.to_owned(), |text, private| without(&text, private));
    text.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

/// Removes a text where it is no part of a longer name: a user `handoffd` leaves the queue `handoffd.events` alone.
fn without(reason: &str, private: &str) -> String {
    let joins = |char: char| char.is_alphanumeric() || matches!(char, '_' | '-');
    let mut text = String::with_capacity(reason.len());
    let mut rest = reason;
    while let Some(at) = rest.find(private) {
        let (before, after) = (&rest[..at], &rest[at + private.len()..]);
        let mut next = after.chars();
        let continues = next.next().is_some_and(|char| joins(char) || char == '.' && next.next().is_some_and(joins));
        let begins = text.chars().chain(before.chars()).next_back().is_none_or(|char| !joins(char) && char != '.');
        text.push_str(before);
        text.push_str(if begins && !continues { INSTEAD } else { private });
        rest = after;
    }
    text + rest
}

fn word(word: &str) -> String {
    let begins = |char: char| char.is_alphanumeric() || matches!(char, '/' | ':' | '[');
    let bare = word.trim_start_matches(|char| !begins(char));
    let bare = bare.trim_end_matches(|char: char| !char.is_alphanumeric() && char != '/');
    let tells = bare.trim_start_matches('[').parse::<IpAddr>().is_ok()
        || bare.parse::<SocketAddr>().is_ok()
        || bare.contains("://")
        || (bare.len() > 1 && bare.starts_with('/'));
    if tells { word.replace(bare, INSTEAD) } else { word.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_removed_and_queues_stay() {
        let private = ["broker.example:5672/acme", "broker.example:5672", "broker.example", "acme"];
        let private: Vec<String> = private.map(str::to_owned).into();
        for (reason, expected) in [
            (
                "can't reach the broker at broker.example:5672/acme: Connection refused (os error 111)",
                "can't reach the broker at …: Connection refused (os error 111)",
            ),
            ("broker.example:5672 (192.0.2.7): timed out", "… (…): timed out"),
            ("[2001:db8::7]:5672 (2001:db8::7): timed out", "… (…): timed out"),
            ("access to vhost 'acme' refused", "access to vhost '…' refused"),
            ("can't open the store at /var/lib/handoffd/store.sled: full", "can't open the store at …: full"),
            ("the queue `handoffd.retry.5s` is missing", "the queue `handoffd.retry.5s` is missing"),
            ("acme's queue `acme.events` is owed to acme.", "…'s queue `acme.events` is owed to …."),
            ("the queues `x.acme` and `my-acme`", "the queues `x.acme` and `my-acme`"),
            ("listens at [::1], 10.0.0.1;", "listens at …], …;"),
            ("sent over https://acme.example/x, which", "sent over …, which"),
            ("consuming starts in 5 s / now", "consuming starts in 5 s / now"),
        ] {
            assert_eq!(redact(reason, &private), expected);
        }
    }
}

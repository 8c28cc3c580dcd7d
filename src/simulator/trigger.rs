//! The moment at which a script acts: the requests that it is for, and how often it has met them.

use serde::Serialize;

use super::call::Call;

/// The requests that a script is for.
pub(super) struct Trigger<'a> {
    /// `incidents.create`, `contacts.query`, `token`, `CloseIncident`; `*` stands for any part.
    pub operation: &'a str,
    /// Only requests whose URL or body contains this.
    pub containing: Option<&'a str>,
    /// How often it acts; none is for ever.
    pub times: Option<u64>,
}

/// How often a script was met, and has acted.
#[derive(Default, Serialize)]
pub(super) struct Tally {
    seen: u64,
    fired: u64,
}

impl Tally {
    /// True for a request that the script is for, while it is not used up.
    pub(super) fn concerns(&self, trigger: &Trigger<'_>, operation: &str, call: &Call) -> bool {
        trigger.times.is_none_or(|times| self.fired < times)
            && fits(trigger.operation, operation)
            && trigger.containing.is_none_or(|text| contains(call, text))
    }

    /// Counts a request; true once so many of them have passed before.
    pub(super) fn passes(&mut self, skip: u64) -> bool {
        self.seen += 1;
        self.seen > skip
    }

    /// Counts an act.
    pub(super) fn acts(&mut self) {
        self.fired += 1;
    }
}

/// `*`, `incidents.*`, `*.create`, or the name itself.
fn fits(pattern: &str, operation: &str) -> bool {
    if pattern == "*" || pattern == operation {
        return true;
    }
    let (Some((set, verb)), Some((of_set, of_verb))) = (pattern.split_once('.'), operation.split_once('.')) else {
        return false;
    };
    (set == "*" || set == of_set) && (verb == "*" || verb == of_verb)
}

/// True where URL or body of a request contain this text.
fn contains(call: &Call, text: &str) -> bool {
    let in_query = call.query.iter().any(|(_, value)| value.contains(text));
    in_query || call.path.contains(text) || String::from_utf8_lossy(&call.body).contains(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_names_operations() {
        for (pattern, operation, expected) in [
            ("*", "token", true),
            ("token", "token", true),
            ("incidents.*", "incidents.create", true),
            ("*.create", "contacts.create", true),
            ("*.create", "contacts.query", false),
            ("incidents.create", "contacts.create", false),
            ("*.create", "token", false),
        ] {
            assert_eq!(fits(pattern, operation), expected, "{pattern} {operation}");
        }
    }
}

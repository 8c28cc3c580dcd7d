//! Conditions under which a script acts, and its counters.

use serde::Serialize;

use super::call::IncomingRequest;

/// Condition for a script to act on a request.
pub(super) struct Trigger<'a> {
    /// Operation: `incidents.create`, `contacts.query`, `token`, `CloseIncident`; `*` matches any part.
    pub operation: &'a str,
    /// Text that the request's URL or body must contain.
    pub containing: Option<&'a str>,
    /// Number of times the script acts; `None` for no limit.
    pub times: Option<u64>,
}

/// Number of requests a script has matched, and number of times it acted.
#[derive(Default, Serialize)]
pub(super) struct TriggerTally {
    seen: u64,
    fired: u64,
}

impl TriggerTally {
    /// Returns true if the script applies to this request and is not exhausted.
    pub(super) fn concerns(&self, trigger: &Trigger<'_>, operation: &str, call: &IncomingRequest) -> bool {
        trigger.times.is_none_or(|times| self.fired < times)
            && fits(trigger.operation, operation)
            && trigger.containing.is_none_or(|text| contains(call, text))
    }

    /// Counts a request. Returns true once `skip` requests have passed.
    pub(super) fn passes(&mut self, skip: u64) -> bool {
        self.seen += 1;
        self.seen > skip
    }

    /// Counts an action.
    pub(super) fn acts(&mut self) {
        self.fired += 1;
    }
}

/// Matches `*`, `incidents.*`, `*.create`, or the name itself.
fn fits(pattern: &str, operation: &str) -> bool {
    if pattern == "*" || pattern == operation {
        return true;
    }
    let (Some((set, verb)), Some((of_set, of_verb))) = (pattern.split_once('.'), operation.split_once('.')) else {
        return false;
    };
    (set == "*" || set == of_set) && (verb == "*" || verb == of_verb)
}

/// Returns true if the URL or body of a request contains this text.
fn contains(call: &IncomingRequest, text: &str) -> bool {
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

//! Parameters of requests about dead letters.

use axum::http::HeaderMap;
use handoffd_engine::dead_letters::{Selection, SelectionError, SelectionText};
use handoffd_engine::workflow::Reason;
use jiff::Zoned;

use crate::admin::api::Problem;
use crate::admin::api::parameter::{Parameter, ParameterPlace, ParameterType, count, expected, in_query, read};

/// Highest limit of a list; without a limit it has all entries.
const MAX_LIMIT: usize = 100_000;
const TRUTHS: &[&str] = &["true", "false"];
const REASONS: [&str; Reason::DEAD.len()] = {
    let mut names = [""; Reason::DEAD.len()];
    let mut at = 0;
    while at < names.len() {
        names[at] = Reason::DEAD[at].as_str();
        at += 1;
    }
    names
};

/// Selection as query parameters.
pub(super) const PARAMETERS: &[Parameter] = &[
    in_query("letters", ParameterType::Texts, "Filter by dead letter (`letter_id`); repeat the parameter for several."),
    in_query("ids", ParameterType::Texts, "Filter by event; repeat the parameter for several."),
    in_query("organization", ParameterType::Text, "Filter by organization."),
    in_query("reason", ParameterType::Word(&REASONS), "Filter by reason."),
    in_query("session", ParameterType::Text, "Filter by session."),
    in_query("group", ParameterType::Text, "Filter by group: its handle."),
    in_query("after", ParameterType::Time, "Only events failed at or after this time."),
    in_query("before", ParameterType::Time, "Only events failed before this time."),
    in_query("all", ParameterType::Word(TRUTHS), "All dead letters; same as no parameters."),
    in_query(
        "limit",
        ParameterType::Count(MAX_LIMIT),
        "Maximum number of entries; default all. Dead letters are listed oldest first, groups largest first.",
    ),
];

/// Parameters that select how changes respond.
pub(super) const WAIT: &[Parameter] = &[
    in_query("wait", ParameterType::Word(TRUTHS), "`false`: respond at once with a job (202)."),
    Parameter {
        name: "Prefer",
        place: ParameterPlace::Header,
        kind: ParameterType::Text,
        about: "`respond-async` (RFC 7240): same as `wait=false`.",
        example: "respond-async",
    },
];

/// Parses a selection and a limit from a query.
pub(super) fn listed(query: &str) -> Result<(Selection, Option<usize>), Problem> {
    let (mut text, mut limit) = (SelectionText::default(), None);
    for (name, value) in read(query, PARAMETERS)? {
        if !text.add(name, &value)? {
            limit = Some(count(name, &value, MAX_LIMIT)?);
        }
    }
    Ok((text.selection(&Zoned::now())?, limit))
}

/// Returns the selection of a change; an empty one is refused.
pub(super) fn required(text: &SelectionText) -> Result<Selection, Problem> {
    let selection = text.selection(&Zoned::now())?;
    if selection.is_empty() {
        return Err(Problem::bad_request(
            "specify at least one of `letters`, `ids`, `organization`, `reason`, `session`, `group`, `before`, `after`, or `\"all\": true`"
                .to_owned(),
        ));
    }
    Ok(selection)
}

/// Returns true if the client waits for the results.
pub(super) fn waits(query: &str, headers: &HeaderMap) -> Result<bool, Problem> {
    let prefers = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
    let mut waits = !prefers.flat_map(|value| value.split(',')).any(|value| value.trim() == "respond-async");
    for (name, value) in read(query, &WAIT[..1])? {
        waits = value.parse().map_err(|_| expected(name, &value, "true or false"))?;
    }
    Ok(waits)
}

impl From<SelectionError> for Problem {
    fn from(error: SelectionError) -> Self {
        Self::bad_request(error.to_string())
    }
}

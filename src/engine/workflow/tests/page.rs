//! Tables of `docs/STATE_MACHINE.md`, generated from the exploration.
//! `UPDATE_DOCS=1` writes them again.

use std::fmt::Write as _;

use super::explore::{closed, entry, open};
use super::states::{Case, Graph, State};
use crate::event::samples::{handoff, resolution};
use crate::event::{Body, Channel};
use crate::workflow::samples::{QUEUE, contact, incident, settings, settings_with, work_item};
use crate::workflow::{
    Closing, ContactProgress, Decision, Fit, LinkedCustomer, Memory, NoteForm, QueueBinding, Reason, Receipt,
    SessionState, Step,
};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/STATE_MACHINE.md");

#[test]
fn the_tables_list_every_transition() {
    let written = std::fs::read_to_string(PAGE).expect("docs/STATE_MACHINE.md exists");
    let mut page = written.clone();
    for (name, cases) in [("incident", incidents()), ("live work item", chats()), ("resolution", resolutions())] {
        page = replace(&page, name, &table(&cases));
    }
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(PAGE, &page).expect("docs/STATE_MACHINE.md can be written");
    } else {
        assert!(page == written, "docs/STATE_MACHINE.md is out of date; run UPDATE_DOCS=1 cargo test the_tables_list");
    }
}

/// Replaces the text between the two marks of a table in `page`.
fn replace(page: &str, name: &str, table: &str) -> String {
    let (begin, end) = (format!("<!-- table: {name} -->\n"), format!("<!-- end: {name} -->"));
    let from = page.find(&begin).expect("the table's first mark") + begin.len();
    let to = page.find(&end).expect("the table's last mark");
    format!("{}\n{table}\n{}", &page[..from], &page[to..])
}

fn incidents() -> Vec<Case> {
    let settings = || settings_with(|it| it.default_queue_id = Some(QUEUE));
    let case = |event, memory, fit| Case { name: "incident", event, settings: settings(), memory, fit };
    let remembered = Memory { contact: Some(contact(4)), ..Memory::default() };
    vec![
        case(handoff(|_| {}), Memory::default(), Fit::Whole),
        case(handoff(|_| {}), Memory::default(), Fit::Cut),
        case(handoff(|_| {}), remembered, Fit::Whole),
        case(handoff(|it| it.customer.email = None), Memory::default(), Fit::Whole),
        case(handoff(|it| it.customer.email = None), Memory::default(), Fit::Cut),
    ]
}

fn chats() -> Vec<Case> {
    let event = handoff(|it| it.channel = Channel::new("web"));
    vec![Case { name: "chat", event, settings: settings(), memory: Memory::default(), fit: Fit::Whole }]
}

fn resolutions() -> Vec<Case> {
    let case = |meta, session: Vec<SessionState>| {
        let session = session.into_iter().enumerate().map(|(n, state)| entry(&n.to_string(), state)).collect();
        let event = resolution(|it| it.incident_id = meta);
        Case {
            name: "resolution",
            event,
            settings: settings(),
            memory: Memory { session, ..Memory::default() },
            fit: Fit::Whole,
        }
    };
    vec![
        case(None, vec![open(1), open(2)]),
        case(Some(incident(4)), vec![]),
        case(None, vec![SessionState::Opening]),
        case(None, vec![closed(1)]),
        case(None, vec![SessionState::Chat { work_item: work_item(1) }]),
        case(None, vec![]),
    ]
}

fn table(cases: &[Case]) -> String {
    let mut rows: Vec<String> = Vec::new();
    for case in cases {
        let graph = Graph::of(case);
        let name = |state: &State| in_words(case, state);
        for it in graph.transitions.iter().rev() {
            let next = if name(&it.from) == name(&it.to) { "same state, updated".to_owned() } else { name(&it.to) };
            rows.push(format!("| {} | {} | {} | {next} |", name(&it.from), asked(&it.step), given(&it.receipt)));
        }
        for (state, end) in &graph.ends {
            rows.push(format!("| {} | | | {} |", name(state), ended(end)));
        }
    }
    rows.sort_by_key(|row| rank(row));
    rows.dedup();
    format!("| state | step | receipt | next |\n| --- | --- | --- | --- |\n{}\n", rows.join("\n"))
}

/// Returns the sort key of a row, which follows the order of an event's states.
fn rank(row: &str) -> (usize, String) {
    const ORDER: [&str; 14] = [
        "| contact unknown",
        "| contact remembered",
        "| no contact yet",
        "| contact gone",
        "| contact known",
        "| contact refused",
        "| no email",
        "| not posted",
        "| posted, to do: queue",
        "| posted, to do: note",
        "| posted",
        "| to close",
        "| nothing to close",
        "| ",
    ];
    let place = ORDER.iter().position(|start| row.starts_with(start)).unwrap_or(ORDER.len());
    (place, row.to_owned())
}

fn in_words(case: &Case, state: &State) -> String {
    match &case.event.body {
        Body::Handoff(it) if it.channel.as_str() == "web" => match state.progress.work_item {
            Some(_) => "posted".to_owned(),
            None => "not posted".to_owned(),
        },
        Body::Handoff(it) => of_incident(it.customer.email.is_some(), state),
        Body::Resolution(it) => of_resolution(it.incident_id.is_some(), state),
    }
}

fn of_incident(has_email: bool, State { progress, memory }: &State) -> String {
    if let Some(posted) = &progress.incident {
        let queue = posted.queue == QueueBinding::Unbound && !progress.queue_assigned;
        let note = posted.transcript == Fit::Cut && !progress.transcript_attached;
        return match (queue, note) {
            (true, true) => "posted, to do: queue, note".to_owned(),
            (true, false) => "posted, to do: queue".to_owned(),
            (false, true) => "posted, to do: note".to_owned(),
            (false, false) => "posted, nothing to do".to_owned(),
        };
    }
    let alone = match (memory.learned.customer_required, memory.learned.placeholder) {
        (false, _) => "",
        (true, None) => ", customer required",
        (true, Some(_)) => ", customer required, placeholder known",
    };
    match progress.contact {
        _ if !has_email => format!("no email{alone}"),
        ContactProgress::Unknown if memory.contact.is_some() => "contact remembered".to_owned(),
        ContactProgress::Unknown => "contact unknown".to_owned(),
        ContactProgress::Forgotten => "contact gone".to_owned(),
        ContactProgress::Absent { .. } => "no contact yet".to_owned(),
        ContactProgress::Known(_) => "contact known".to_owned(),
        ContactProgress::Refused => format!("contact refused{alone}"),
    }
}

fn of_resolution(named: bool, State { progress, memory }: &State) -> String {
    let any = |wanted: fn(&SessionState) -> bool| memory.session.iter().any(|it| wanted(&it.state));
    let done = progress.closed.len() + progress.missing.len();
    let open = memory.session.iter().filter_map(|it| match it.state {
        SessionState::Open { incident, .. } => Some(incident),
        _ => None,
    });
    let open = open.filter(|id| !progress.closed.contains(id) && !progress.missing.contains(id)).count();
    let count = |what: &str, n: usize| if n == 0 { String::new() } else { format!(", {what}: {n}") };
    let counts = count("closed", progress.closed.len()) + &count("missing", progress.missing.len());
    if open > 0 {
        format!("to close: {open}{counts}")
    } else if named && done == 0 {
        "to close: the one in `meta`".to_owned()
    } else if done > 0 {
        format!("nothing to close{counts}")
    } else if any(|it| *it == SessionState::Opening) {
        "a handoff is in progress".to_owned()
    } else if any(|it| matches!(it, SessionState::Closed { .. })) {
        "the worker already closed every incident".to_owned()
    } else if any(|it| matches!(it, SessionState::Chat { .. })) {
        "live work item exists".to_owned()
    } else {
        "session unknown, no `meta`".to_owned()
    }
}

fn asked(step: &Step) -> &'static str {
    match step {
        Step::LookUpContact => "`LookUpContact`",
        Step::CreateContact { .. } => "`CreateContact`",
        Step::CreatePlaceholder => "`CreatePlaceholder`",
        Step::PostIncident { customer: LinkedCustomer::Contact(_), .. } => "`PostIncident`, linked to the contact",
        Step::PostIncident { customer: LinkedCustomer::Fallback(_), .. } => "`PostIncident`, linked to the fallback",
        Step::PostIncident { customer: LinkedCustomer::Placeholder(_), .. } => {
            "`PostIncident`, linked to the placeholder"
        }
        Step::PostIncident { customer: LinkedCustomer::Nobody, .. } => "`PostIncident`, linked to no customer",
        Step::LookForQueueItem { .. } => "`LookForQueueItem`",
        Step::AssignQueue { .. } => "`AssignQueue`",
        Step::AttachTranscript { part: NoteForm::Text(_), .. } => "`AttachTranscript`, as text",
        Step::AttachTranscript { .. } => "`AttachTranscript`",
        Step::PostLiveWorkItem { .. } => "`PostLiveWorkItem`",
        Step::CloseIncident { how: Closing::Patch, .. } => "`CloseIncident` by PATCH",
        Step::CloseIncident { how: Closing::Action, .. } => "`CloseIncident` by the action",
        Step::LookAtIncident { .. } => "`LookAtIncident`",
        Step::LookForResolution { .. } => "`LookForResolution`",
    }
}

fn given(receipt: &Receipt) -> String {
    let debug = format!("{receipt:?}");
    let name = debug.split(['(', ' ']).next().unwrap_or_default();
    match receipt {
        Receipt::IncidentPosted { queue: QueueBinding::Unbound, .. } => format!("`{name}`, without its queue"),
        _ => format!("`{name}`"),
    }
}

fn ended(end: &Decision) -> String {
    match end {
        Decision::Finish(outcome) => {
            let mut text = format!("**{}**", outcome.status.as_str());
            let warnings = outcome.warnings.iter().map(|it| it.as_str());
            for note in outcome.reason.map(Reason::as_str).into_iter().chain(warnings) {
                let _ = write!(text, ", `{note}`");
            }
            text
        }
        Decision::WaitForHandoff(None) => "**wait** for that handoff".to_owned(),
        Decision::WaitForHandoff(Some(_)) => "**wait** for a handoff".to_owned(),
        Decision::Refuse(_) => "**failed**, `rejected_by_dynamics`".to_owned(),
        Decision::Call(step) => format!("{step:?}"),
    }
}

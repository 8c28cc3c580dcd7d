//! Pages about dead letters: what they select, and what they offer to whom.

use std::time::Duration;

use handoffd_engine::dead_letters::{DeadLetterEntry, DeadLetterGroup, LetterChange, LetterSurvey, OperationResult};
use handoffd_engine::workflow::{Outcome, Phase, Status};

use super::filter::FilterForm;
use super::list::{DeadLetterList, letters};
use super::one::{OneDeadLetter, one};
use super::result::{Completion, JobProgress, course, is_settled};
use crate::admin::api::dead_letters::{DeadLetterSurvey, ListAge};
use crate::admin::page::layout::SignIn;
use crate::admin::page::tests::{at, entry, failed};

fn survey_of(found: LetterSurvey) -> DeadLetterSurvey {
    DeadLetterSurvey { found, age: None }
}

#[test]
fn a_list_that_is_older_than_its_request_or_incomplete_shows_it() {
    let filter = FilterForm::default();
    let drawn = |took, read| {
        let age = ListAge { at: at(), took, read, total: 100_000 };
        let survey = DeadLetterSurvey { age: Some(age), ..survey_of(LetterSurvey::default()) };
        let list = letters(&list_of(&survey, &filter, SignIn::Operator)).0;
        assert!(!list.contains("empty good"), "nothing may seem to be well before all is read: {list}");
        list
    };
    assert!(drawn(None, 2000).contains("Reading: the oldest 2,000 of 100,000 dead letters so far."));
    let took = Some(Duration::from_secs(12));
    let old = drawn(took, 100_000);
    assert!(old.contains("Reading 100,000 dead letters takes 12 s") && old.contains("at most every 132 s."), "{old}");
    assert!(drawn(took, 2000).contains("Only the oldest 2,000 of 100,000 are shown."));
}

#[test]
fn customer_text_is_shown_only_on_request() {
    let (filter, entry) = (FilterForm::default(), entry());
    let session = SignIn::Operator;
    let drawn = one(&OneDeadLetter { now: at(), session, filter: &filter, entry: &entry }).0;
    assert!(drawn.contains("Show customer text") && !drawn.contains("<pre"), "{drawn}");
}

/// Two customers may have events with the same ID; a dead letter may have none.
#[test]
fn dead_letters_are_selected_by_their_own_ids() {
    let nameless = DeadLetterEntry { letter_id: "dl_2".to_owned(), event_id: None, ..entry() };
    let entries = [entry(), nameless];
    let filter = FilterForm::default();
    let survey = survey_of(LetterSurvey { entries: entries.to_vec(), total: 2, ..LetterSurvey::default() });
    let drawn = letters(&list_of(&survey, &filter, SignIn::Operator)).0;
    for id in ["dl_1", "dl_2"] {
        assert!(drawn.contains(&format!(r#"type="checkbox" name="pick" value="{id}""#)), "{drawn}");
        assert!(drawn.contains(&format!(r#"href="/dead-letters/show?letter={id}""#)), "{drawn}");
    }
    assert!(!drawn.contains(r#"name="id" value="dl"#) && !drawn.contains("show?id="), "{drawn}");
}

/// Foreign and unreadable messages are a group like any other.
#[test]
fn every_group_has_a_handle_and_readers_have_no_buttons() {
    let group = DeadLetterGroup {
        handle: "g_1".to_owned(),
        reason: None,
        organization_id: None,
        error: None,
        count: 1,
        first: None,
        last: None,
    };
    let survey = survey_of(LetterSurvey { groups: vec![group], beyond: 0, entries: vec![entry()], total: 1 });
    let filter = FilterForm::default();
    let buttons = |session| {
        let drawn = letters(&list_of(&survey, &filter, session)).0;
        let show = one(&OneDeadLetter { now: at(), session, filter: &filter, entry: &entry() }).0;
        let drawn = drawn + &show;
        let has = |part: &str| drawn.contains(part);
        [
            has("confirm?act=replay&amp;group=g_1"),
            has("confirm?act=discard&amp;group=g_1"),
            has(r#"value="replay""#),
            has(r#"value="discard""#),
            has("act=replay&amp;all=true"),
            has("act=discard&amp;all=true"),
            has("/dead-letters/edit"),
            has("content=shown"),
            has("checkbox"),
        ]
    };
    assert_eq!(buttons(SignIn::Operator), [true; 9]);
    assert_eq!(buttons(SignIn::Open), [true, false, true, false, true, false, false, false, true]);
    assert_eq!(buttons(SignIn::Reader), [false; 9]);
}

#[test]
fn a_selection_is_kept_across_pages() {
    let survey = survey_of(LetterSurvey { entries: vec![entry()], total: 250, ..LetterSurvey::default() });
    let filter = FilterForm::parse("organization=org_acme").expect("a filter");
    let picks = ["dl_1", "dl_9"].map(str::to_owned);
    let page = list_of(&survey, &filter, SignIn::Operator);
    let drawn = letters(&DeadLetterList { picks: &picks, page: 2, ..page }).0;
    for part in [
        r#"name="pick" value="dl_1" checked"#,
        r#"<input type="hidden" name="pick" value="dl_9">"#,
        r#"<input type="hidden" name="organization" value="org_acme">"#,
        r#"formaction="/dead-letters" name="page" value="1">Newer"#,
        r#"formaction="/dead-letters" name="page" value="3">Older"#,
        "with 1 on other pages",
        "101 to 101 of 250",
    ] {
        assert!(drawn.contains(part), "{part} is not in {drawn}");
    }
    assert!(!drawn.contains(r#"type="hidden" name="pick" value="dl_1""#), "{drawn}");
}

pub(in crate::admin::page) fn list_of<'a>(
    survey: &'a DeadLetterSurvey,
    filter: &'a FilterForm,
    session: SignIn,
) -> DeadLetterList<'a> {
    DeadLetterList { now: at(), filter, session, survey, page: 1, picks: &[], jobs: &[] }
}

/// Numbers of replayed events by what became of them stay to be read.
#[test]
fn a_replay_is_summed_up() {
    let replayed = || DeadLetterEntry::default().with(OperationResult::Replayed);
    let succeeded = Outcome { status: Status::Succeeded, ..failed() };
    let lines = [
        (replayed(), Some(Phase::Finished(succeeded))),
        (replayed(), Some(Phase::Dead(failed()))),
        (replayed(), Some(Phase::Dead(failed()))),
        (replayed(), Some(Phase::Waiting)),
        (replayed(), Some(Phase::InHand)),
        (replayed(), None),
        (DeadLetterEntry::default().failed("full".to_owned()), None),
    ];
    let (now, done, act) = (at(), Completion::Yes, LetterChange::Replay);
    let drawn = course(&JobProgress { now, act, seen: 7, total: 7, done, lines: &lines, beyond: 0 }).0;
    for (name, number) in
        [("Succeeded", 1), ("Skipped", 0), ("Waiting to retry", 1), ("Queued or in progress", 2), ("Failed again", 2)]
    {
        let tile = format!(r#"<dt>{name}</dt><dd><span class="value">{number}</span>"#);
        assert!(drawn.contains(&tile), "{tile} is not in {drawn}");
    }
}

#[test]
fn a_replay_is_settled_when_all_its_events_have_outcomes() {
    let replayed = || DeadLetterEntry::default().with(OperationResult::Replayed);
    let settled = |done: Completion, phase: Option<Phase>| {
        let lines = [(replayed(), phase)];
        is_settled(&JobProgress {
            now: at(),
            act: LetterChange::Replay,
            seen: 1,
            total: 1,
            done,
            lines: &lines,
            beyond: 0,
        })
    };
    assert!(settled(Completion::Yes, Some(Phase::Finished(failed()))));
    assert!(!settled(Completion::Yes, Some(Phase::Waiting)));
    assert!(!settled(Completion::Yes, None));
    assert!(!settled(Completion::No, Some(Phase::Finished(failed()))));
}

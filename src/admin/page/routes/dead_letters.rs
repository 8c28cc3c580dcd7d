//! Routes below `/dead-letters`.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Redirect};
use handoffd_engine::dead_letters::{
    Action, DeadLetterEntry, LetterChange, OperationResult, RunMode, Selection, SelectionText,
};
use handoffd_engine::event::EventKey;
use handoffd_engine::workflow::Phase;
use jiff::{Timestamp, Zoned};
use url::form_urlencoded;
use uuid::Uuid;

use super::answer::{PageAnswer, PageFault, Refresh, living};
use super::state::PageState;
use crate::admin::api::Problem;
use crate::admin::api::dead_letters::Collected;
use crate::admin::api::dead_letters::jobs::{JobState, JobView};
use crate::admin::page::dead_letters::confirm::{DryRunForm, confirm as asked, verb};
use crate::admin::page::dead_letters::filter::FilterForm;
use crate::admin::page::dead_letters::list::{DeadLetterList, MOST_PICKS, PER_PAGE, letters as drawn};
use crate::admin::page::dead_letters::one::{OneDeadLetter, one};
use crate::admin::page::dead_letters::result::{Completion, JobProgress, course as told, is_settled};
use crate::admin::page::layout::PageTab;

/// Number of dead letters shown in a preview.
const MOST: usize = PER_PAGE;
/// Highest number of a page; what is further back is found by a filter.
const LAST_PAGE: usize = 1000;
/// Refresh interval in seconds while a job runs.
const EVERY: u8 = 1;
/// The same while the dead letters are being read.
const READING: u8 = 2;
/// The same for a job with many results, whose events are all looked up.
const SELDOM: u8 = 5;

/// Shows the groups of the dead letters that match, and a page of them, newest first.
pub(super) async fn list(State(page): State<Arc<PageState>>, RawQuery(query): RawQuery) -> PageAnswer {
    let query = query.unwrap_or_default();
    let (filter, selection) = page.selection(&query)?;
    let number = match values(&query, "page").next() {
        Some(text) if !text.is_empty() => text.parse().ok().filter(|number| (1..=LAST_PAGE).contains(number)),
        _ => Some(1),
    };
    let number = number.ok_or_else(|| page.unclear("expected page=1 to page=1000; narrow the list by a filter"))?;
    let survey = page.parts.letters.survey(&selection, (number - 1) * PER_PAGE, PER_PAGE).await;
    let survey = survey.map_err(|problem| page.refused(&problem))?;
    let body = drawn(&DeadLetterList {
        now: Timestamp::now(),
        filter: &filter,
        session: page.session(),
        survey: &survey,
        page: number,
        picks: &page.picks(&query)?,
        jobs: &page.parts.letters.jobs.list(),
    });
    let is_read = survey.age.is_none_or(|age| age.took.is_some());
    let body = if is_read { body } else { living(Refresh::Every(READING), &body) };
    Ok(page.answer(PageTab::DeadLetters, "Dead letters", &body))
}

/// Sends the dead letters that match as a file.
pub(super) async fn export(State(page): State<Arc<PageState>>, RawQuery(query): RawQuery) -> PageAnswer {
    let query = query.unwrap_or_default();
    let (_, selection) = page.selection(&query)?;
    let is_csv = match values(&query, "format").next().as_deref() {
        Some("csv") => true,
        Some("json") | None => false,
        Some(_) => return Err(page.unclear("expected format=csv or format=json")),
    };
    page.parts.letters.export(selection, is_csv).await.map_err(|problem| page.refused(&problem))
}

/// Shows one dead letter; its content only if the query asks for it.
pub(super) async fn show(State(page): State<Arc<PageState>>, RawQuery(query): RawQuery) -> PageAnswer {
    let query = query.unwrap_or_default();
    let (filter, selection) = page.selection(&query)?;
    if selection.is_empty() {
        return Err(page.unclear("specify the ID of a dead letter or of an event"));
    }
    let wanted = form_urlencoded::parse(query.as_bytes()).any(|(name, value)| name == "content" && value == "shown");
    let action = if wanted { Action::Show } else { Action::List };
    let found = page.collect(selection, action).await?;
    let Some(entry) = found.entries.into_iter().next() else {
        let detail = match &found.age {
            None => "No such dead letter; it may have been replayed or discarded.".to_owned(),
            Some(age) => format!("No such dead letter found; {}.", age.in_words()),
        };
        return Err(page.fault(PageTab::DeadLetters, &Problem::not_found(detail)));
    };
    let session = page.session();
    let body = one(&OneDeadLetter { now: Timestamp::now(), session, filter: &filter, entry: &entry });
    Ok(page.answer(PageTab::DeadLetters, "Dead letter", &body))
}

/// Shows the dry run and asks for confirmation.
pub(super) async fn confirm(State(page): State<Arc<PageState>>, RawQuery(query): RawQuery) -> PageAnswer {
    let (act, filter, selection) = page.order(query.as_deref().unwrap_or_default())?;
    let found = page.collect(selection, Action::Change(act, RunMode::DryRun)).await?;
    let body = asked(&DryRunForm {
        now: Timestamp::now(),
        act,
        filter: &filter,
        count: found.matched,
        entries: &found.entries,
        age: found.age.as_ref(),
    });
    Ok(page.answer(PageTab::DeadLetters, verb(act), &body))
}

/// Starts the job and redirects the browser to its progress.
pub(super) async fn act(State(page): State<Arc<PageState>>, form: String) -> PageAnswer {
    let (act, _, selection) = page.order(&form)?;
    let job = page.parts.letters.start(selection, act, RunMode::Apply).map_err(|problem| page.refused(&problem))?;
    Ok(Redirect::to(&format!("/dead-letters/course?job={}", job.id)).into_response())
}

/// Shows the progress of a job and the current status of each event.
pub(super) async fn course(State(page): State<Arc<PageState>>, RawQuery(query): RawQuery) -> PageAnswer {
    let query = query.unwrap_or_default();
    let id = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "job").map(|(_, id)| id.into_owned());
    let job = id.and_then(|id| id.parse::<Uuid>().ok()).and_then(|id| page.parts.letters.jobs.get(id));
    let Some(job) = job else {
        let detail = "No record of this job; see the worker's log for its results.".to_owned();
        return Err(page.fault(PageTab::DeadLetters, &Problem::not_found(detail)));
    };
    let lines = page.since(&job).await?;
    let course = JobProgress {
        now: Timestamp::now(),
        act: job.action,
        seen: job.looked_at,
        total: job.total,
        done: done(&job),
        lines: &lines,
        beyond: job.results_left_out,
    };
    let how = if is_settled(&course) {
        Refresh::Settled
    } else {
        Refresh::Every(if lines.len() > MOST { SELDOM } else { EVERY })
    };
    Ok(page.answer(PageTab::DeadLetters, "Dead letters", &living(how, &told(&course))))
}

fn values<'a>(query: &'a str, name: &'a str) -> impl Iterator<Item = String> + 'a {
    form_urlencoded::parse(query.as_bytes())
        .filter(move |(found, _)| found == name)
        .map(|(_, value)| value.into_owned())
}

impl PageState {
    pub(super) async fn collect(&self, selection: Selection, action: Action) -> Result<Collected, PageFault> {
        let found = self.parts.letters.collect(selection, action, MOST).await;
        found.map_err(|problem| self.refused(&problem))
    }

    /// Parses a change and its selection; an empty selection is refused.
    fn order(&self, query: &str) -> Result<(LetterChange, FilterForm, Selection), PageFault> {
        let named = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "act");
        let is_named = |change: &LetterChange| named.as_ref().is_some_and(|(_, name)| name == change.as_str());
        let change = [LetterChange::Replay, LetterChange::Discard].into_iter().find(is_named);
        let change = change.ok_or_else(|| self.unclear("expected act=replay or act=discard"))?;
        let picks = self.picks(query)?;
        // A selection made one by one stands for itself, whatever the list was filtered by.
        let picked = FilterForm(SelectionText { letters: picks, ..SelectionText::default() });
        let is_picking = values(query, "picking").next().is_some();
        let (filter, selection) = if is_picking { self.checked(picked)? } else { self.selection(query)? };
        if selection.is_empty() {
            return Err(self.unclear("No dead letter selected. Select at least one, or choose all matching."));
        }
        Ok((change, filter, selection))
    }

    /// Returns the dead letters that are selected one by one.
    fn picks(&self, query: &str) -> Result<Vec<String>, PageFault> {
        let picks: Vec<String> = values(query, "pick").take(MOST_PICKS + 1).collect();
        if picks.len() > MOST_PICKS {
            return Err(
                self.unclear("At most 500 dead letters can be selected one by one; filter, and choose all matching.")
            );
        }
        Ok(picks)
    }

    fn checked(&self, filter: FilterForm) -> Result<(FilterForm, Selection), PageFault> {
        let selection = filter.0.selection(&Zoned::now()).map_err(|error| self.refused(&error.into()))?;
        Ok((filter, selection))
    }

    pub(super) fn selection(&self, query: &str) -> Result<(FilterForm, Selection), PageFault> {
        self.checked(FilterForm::parse(query).map_err(|error| self.refused(&error.into()))?)
    }

    /// Returns each result with the current phase of its event. Final phases are remembered, not looked up again.
    async fn since(&self, job: &JobView) -> Result<Vec<(DeadLetterEntry, Option<Phase>)>, PageFault> {
        let mut ended = self.ended(job.id);
        let mut lines = Vec::new();
        for (at, entry) in job.results.iter().enumerate() {
            let phase = match ended.get(&at) {
                Some(phase) => Some(phase.clone()),
                None if entry.result == Some(OperationResult::Replayed) => self.phase(entry, job.asked_at).await?,
                None => None,
            };
            if let Some(phase @ (Phase::Finished(_) | Phase::Dead(_))) = &phase {
                ended.entry(at).or_insert_with(|| phase.clone());
            }
            lines.push((entry.clone(), phase));
        }
        self.keep_ended(job.id, ended);
        Ok(lines)
    }

    /// Returns the current phase of a replayed event; `None` while its record is still that of before the replay.
    async fn phase(&self, entry: &DeadLetterEntry, asked_at: Timestamp) -> Result<Option<Phase>, PageFault> {
        let (Some(organization), Some(event)) = (&entry.organization_id, &entry.event_id) else { return Ok(None) };
        let key = EventKey { organization_id: organization.as_str().into(), event_id: event.as_str().into() };
        let record =
            self.parts.store.record(&key).await.map_err(|error| self.store_fault(PageTab::DeadLetters, &error))?;
        let fresh = |phase: &Phase| !matches!(phase, Phase::Dead(outcome) if outcome.finished_at < asked_at);
        Ok(record.map(|record| record.phase).filter(fresh))
    }

    pub(super) fn unclear(&self, problem: &str) -> PageFault {
        self.refused(&Problem::bad_request(problem.to_owned()))
    }

    pub(super) fn refused(&self, problem: &Problem) -> PageFault {
        self.fault(PageTab::DeadLetters, problem)
    }
}

fn done(job: &JobView) -> Completion {
    match job.state {
        JobState::Running => Completion::No,
        JobState::Done => Completion::Yes,
        JobState::Stopped => Completion::Failed("it was cancelled".to_owned()),
        JobState::Failed => Completion::Failed(job.problem.clone().unwrap_or_default()),
    }
}

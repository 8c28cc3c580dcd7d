//! Routes below `/dead-letters`.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Redirect};
use handoffd_engine::dead_letters::{Action, DeadLetterEntry, LetterChange, RunMode, Selection};
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
use crate::admin::page::dead_letters::list::{DeadLetterList, letters as drawn};
use crate::admin::page::dead_letters::one::{OneDeadLetter, one};
use crate::admin::page::dead_letters::result::{Completion, JobProgress, course as told, is_settled};
use crate::admin::page::layout::PageTab;

/// Number of dead letters shown one by one.
const MOST: usize = 100;
/// Refresh interval in seconds while a job runs.
const EVERY: u8 = 1;

/// Shows the groups of all dead letters, or those that match.
pub(super) async fn list(State(page): State<Arc<PageState>>, RawQuery(query): RawQuery) -> PageAnswer {
    let (filter, selection) = page.selection(query.as_deref().unwrap_or_default())?;
    let groups = if selection.is_empty() {
        Some(page.parts.letters.groups().await.map_err(|problem| page.refused(&problem))?)
    } else {
        None
    };
    // Reading the queue a second time is acceptable only if it is short.
    let few = groups.as_ref().is_none_or(|groups| groups.iter().map(|group| group.count).sum::<u64>() <= MOST as u64);
    let wanted = few && groups.as_ref().is_none_or(|groups| !groups.is_empty());
    let found = if wanted { page.collect(selection, Action::List).await? } else { Collected::default() };
    let body = drawn(&DeadLetterList {
        now: Timestamp::now(),
        filter: &filter,
        groups: groups.as_deref(),
        entries: &found.entries,
        more: found.more,
    });
    Ok(page.answer(PageTab::DeadLetters, "Dead letters", &body))
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
    let Some(entry) = page.collect(selection, action).await?.entries.into_iter().next() else {
        return Err(page.fault(
            PageTab::DeadLetters,
            &Problem::not_found("No such dead letter; it may have been replayed or discarded.".to_owned()),
        ));
    };
    let body = one(&OneDeadLetter { now: Timestamp::now(), filter: &filter, entry: &entry });
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
    let beyond = job.results_left_out + job.results.len().saturating_sub(lines.len()) as u64;
    let course = JobProgress {
        now: Timestamp::now(),
        act: job.action,
        seen: job.looked_at,
        total: job.total,
        done: done(&job),
        lines: &lines,
        beyond,
    };
    let how = if is_settled(&course) { Refresh::Settled } else { Refresh::Every(EVERY) };
    Ok(page.answer(PageTab::DeadLetters, "Dead letters", &living(how, &told(&course))))
}

impl PageState {
    async fn collect(&self, selection: Selection, action: Action) -> Result<Collected, PageFault> {
        let found = self.parts.letters.collect(selection, action, MOST).await;
        found.map_err(|problem| self.refused(&problem))
    }

    /// Parses a change and its selection; an empty selection is refused.
    fn order(&self, query: &str) -> Result<(LetterChange, FilterForm, Selection), PageFault> {
        let named = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "act");
        let is_named = |change: &LetterChange| named.as_ref().is_some_and(|(_, name)| name == change.as_str());
        let change = [LetterChange::Replay, LetterChange::Discard].into_iter().find(is_named);
        let change = change.ok_or_else(|| self.unclear("expected act=replay or act=discard"))?;
        let (filter, selection) = self.selection(query)?;
        if selection.is_empty() {
            return Err(self.unclear("No dead letter selected. Select at least one, or choose all matching."));
        }
        Ok((change, filter, selection))
    }

    fn selection(&self, query: &str) -> Result<(FilterForm, Selection), PageFault> {
        let parsed = FilterForm::parse(query).and_then(|filter| {
            let selection = filter.0.selection(&Zoned::now())?;
            Ok((filter, selection))
        });
        parsed.map_err(|error| self.refused(&error.into()))
    }

    /// Returns each result with the current phase of its event.
    async fn since(&self, job: &JobView) -> Result<Vec<(DeadLetterEntry, Option<Phase>)>, PageFault> {
        let mut lines = Vec::new();
        for entry in job.results.iter().take(MOST) {
            lines.push((entry.clone(), self.phase(entry, job.asked_at).await?));
        }
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

    fn unclear(&self, problem: &str) -> PageFault {
        self.refused(&Problem::bad_request(problem.to_owned()))
    }

    fn refused(&self, problem: &Problem) -> PageFault {
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

//! Recent replays and discards with their results. Pure.

use handoffd_engine::dead_letters::LetterChange;
use jiff::Timestamp;
use maud::{Markup, html};

use crate::admin::api::dead_letters::jobs::{JobState, JobView};
use crate::admin::page::{badge, text};

/// Renders the jobs, each with a link to its results.
pub(crate) fn jobs(jobs: &[JobView], now: Timestamp) -> Markup {
    let real: Vec<&JobView> = jobs.iter().filter(|job| !job.dry_run).collect();
    html! {
        @if !real.is_empty() {
            section aria-labelledby="jobs" {
                h2 id="jobs" { "Recent replays and discards" }
                table class="stack" {
                    thead { tr {
                        th scope="col" { "Started" } th scope="col" { "Action" } th scope="col" class="number" { "Dead letters" }
                        th scope="col" class="number" { "Failed" } th scope="col" { "State" }
                    } }
                    tbody { @for job in real { (row(job, now)) } }
                }
            }
        }
    }
}

fn row(job: &JobView, now: Timestamp) -> Markup {
    let action = match job.action {
        LetterChange::Replay => "Replay",
        LetterChange::Discard => "Discard",
    };
    let (class, state) = match job.state {
        JobState::Running => ("warn", "in progress"),
        JobState::Done => ("good", "completed"),
        JobState::Stopped => ("calm", "cancelled"),
        JobState::Failed => ("bad", "stopped early"),
    };
    html! {
        tr {
            td class="when" data-name="Started" { (text::moment(job.asked_at, now)) }
            th scope="row" data-name="Action" { a href={ "/dead-letters/course?job=" (job.id) } { (action) } }
            td class="number" data-name="Dead letters" { (text::count(job.matched)) }
            td class="number" data-name="Failed" { (text::count(job.failed)) }
            td data-name="State" {
                (badge::badge(class, state))
                @if let Some(problem) = &job.problem { p class="error" { (text::foreign_text(problem)) } }
            }
        }
    }
}

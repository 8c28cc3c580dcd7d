//! *Organizations*: a line for each, trouble first; the workers. Pure.

use jiff::Timestamp;
use maud::{Markup, html};

use super::filter::{ORDERS, OrganizationFilter, STATES};
use super::{actions, error_rate, oldest, per_minute, response_time, time_to_empty};
use crate::admin::deps::WorkerView;
use crate::admin::page::layout::SignIn;
use crate::admin::page::{badge, link, text};
use crate::organizations::{OrganizationState, OrganizationView};

/// Organizations shown on one page.
pub(crate) const PER_PAGE: usize = 100;

/// Content of the page.
pub(crate) struct OrganizationListPage<'a> {
    /// Present time.
    pub now: Timestamp,
    /// Filter and order.
    pub filter: &'a OrganizationFilter,
    /// Rights of the reader.
    pub session: SignIn,
    /// All organizations.
    pub all: &'a [OrganizationView],
    /// Events per minute of an organization.
    pub rate: &'a dyn Fn(&str) -> Option<f64>,
    /// True while an organization is tested.
    pub is_tested: &'a dyn Fn(&str) -> bool,
    /// Workers that share the organizations, or the reason that they are unknown.
    pub workers: Result<&'a [WorkerView], &'a str>,
}

/// Renders the heading and the filter, which are not refreshed.
pub(crate) fn head(filter: &OrganizationFilter) -> Markup {
    html! {
        h1 { "Organizations" }
        form class="filter" method="get" action="/organizations" {
            div {
                label for="f-text" { "ID or environment" }
                input id="f-text" name="text" value=(filter.text) autocomplete="off" autocapitalize="off" spellcheck="false" maxlength="300";
            }
            div {
                label for="f-state" { "State" }
                select id="f-state" name="state" {
                    option value="" { "All" }
                    option value="trouble" selected[filter.state == "trouble"] { "In trouble" }
                    @for state in STATES { option value=(state) selected[filter.state == state] { (state) } }
                }
            }
            div {
                label for="f-sort" { "Order" }
                select id="f-sort" name="sort" {
                    @for (sort, name) in ORDERS { option value=(sort) selected[filter.sort == sort] { (name) } }
                }
            }
            div class="go" { button { "Filter" } a class="quiet" href="/organizations" { "Clear" } }
        }
    }
}

/// Renders the part that is refreshed.
pub(crate) fn list(it: &OrganizationListPage<'_>) -> Markup {
    let found = it.filter.apply(it.all);
    let first = (it.filter.page - 1).saturating_mul(PER_PAGE);
    let shown: Vec<&OrganizationView> = found.iter().copied().skip(first).take(PER_PAGE).collect();
    html! {
        @if it.all.is_empty() {
            p class="empty" {
                "No organizations configured; every event becomes a dead letter. Add a file to organizations.directory; it takes effect "
                "within seconds."
            }
        } @else {
            p class="hint" { (counts(it.all)) }
            @if shown.is_empty() { p class="empty" role="status" { "No matching organizations." } }
            @else { (table(it, &shown)) }
            @if found.len() > PER_PAGE || it.filter.page > 1 { (pager(it, found.len(), first, shown.len())) }
        }
        (workers(it))
    }
}

/// Renders how many organizations there are in each state, each a link to them.
fn counts(all: &[OrganizationView]) -> Markup {
    let of = |state: &str| all.iter().filter(|view| view.state.as_str() == state).count() as u64;
    html! {
        (text::counted(all.len() as u64, "organization", "organizations"))
        @for (state, count) in STATES.map(|state| (state, of(state))).into_iter().filter(|(_, count)| *count > 0) {
            ", " a href=(link::with("/organizations", &[("state", state)])) { (text::count(count)) " " (state) }
        }
    }
}

fn table(it: &OrganizationListPage<'_>, shown: &[&OrganizationView]) -> Markup {
    let is_shared = it.all.iter().any(|view| view.worker.is_some());
    html! {
        table class="stack organizations" {
            thead { tr {
                th scope="col" { "Organization" } th scope="col" { "State" }
                th scope="col" class="number" { "Waiting" } th scope="col" class="number" { "Oldest" }
                th scope="col" class="number" { "In progress" } th scope="col" class="number" { "Per min" }
                th scope="col" class="number" { "Errors" } th scope="col" class="number" { "Response" }
                th scope="col" { "Last success" } th scope="col" { "Empty in" }
                @if is_shared { th scope="col" { "Worker" } }
                @if it.session.may_change() { th scope="col" { span class="unseen" { "Actions" } } }
            } }
            tbody { @for view in shown { (row(it, view, is_shared)) } }
        }
    }
}

fn row(it: &OrganizationListPage<'_>, view: &OrganizationView, is_shared: bool) -> Markup {
    let rate = (it.rate)(&view.organization_id);
    html! {
        tr {
            th scope="row" data-name="Organization" { a href=(address(&view.organization_id)) { (text::id(&view.organization_id)) } }
            td data-name="State" { (badge::state(&view.state)) (cause(view)) }
            td class="number" data-name="Waiting" { (text::known(view.waiting)) }
            td class="number" data-name="Oldest" { (oldest(view)) }
            td class="number" data-name="In progress" { @match view.under_way.zip(view.concurrency) {
                Some((under_way, limit)) => { (under_way) span class="of" { " of " (limit) } },
                None => "unknown",
            } }
            td class="number" data-name="Per min" { (per_minute(rate)) }
            td class="number" data-name="Errors" { (error_rate(view)) }
            td class="number" data-name="Response" { (response_time(view)) }
            td class="when" data-name="Last success" { @match view.last_success { Some(at) => (text::moment(at, it.now)), None => "unknown" } }
            td class="when" data-name="Empty in" { (time_to_empty(view, rate)) }
            @if is_shared { td data-name="Worker" { (text::maybe_id(view.worker.as_deref())) } }
            @if it.session.may_change() {
                td class="act" { div class="actions" { (actions(view, it.session, (it.is_tested)(&view.organization_id))) } }
            }
        }
    }
}

/// Returns the address of an organization's page.
pub(crate) fn address(id: &str) -> String {
    link::with("/organizations/show", &[("organization", id)])
}

fn cause(view: &OrganizationView) -> Markup {
    html! {
        @match &view.state {
            OrganizationState::Blocked { error, .. } | OrganizationState::Faulty { error, .. } | OrganizationState::Degraded { error, .. } =>
                p class="error" { (text::foreign_text(error)) },
            _ => {},
        }
    }
}

fn pager(it: &OrganizationListPage<'_>, found: usize, first: usize, shown: usize) -> Markup {
    let page = it.filter.page;
    html! {
        p class="actions" {
            @if page > 1 { a class="button" href=(it.filter.address(page - 1)) { "Previous" } }
            @if shown > 0 { span { (text::count(first as u64 + 1)) " to " (text::count((first + shown) as u64)) " of " (text::count(found as u64)) } }
            @if first + shown < found { a class="button" href=(it.filter.address(page + 1)) { "Next" } }
        }
    }
}

fn workers(it: &OrganizationListPage<'_>) -> Markup {
    html! {
        @if it.workers != Ok(&[]) {
            section aria-labelledby="workers" {
                h2 id="workers" { "Workers" }
                @match it.workers {
                    Err(problem) => p class="error" { "Unknown: " (text::foreign_text(problem)) },
                    Ok(workers) => table class="stack" {
                        thead { tr {
                            th scope="col" { "Worker" } th scope="col" { "State" } th scope="col" { "Version" }
                            th scope="col" class="number" { "Organizations" } th scope="col" class="number" { "In progress" }
                            th scope="col" { "Started" } th scope="col" { "Last seen" }
                        } }
                        tbody { @for worker in workers { (worker_row(worker, it.now)) } }
                    },
                }
            }
        }
    }
}

fn worker_row(worker: &WorkerView, now: Timestamp) -> Markup {
    let class = match worker.state.as_str() {
        "joined" => "good",
        "leaving" => "calm",
        _ => "bad",
    };
    let count = |number: i64| text::count(u64::try_from(number).unwrap_or(0));
    html! {
        tr {
            th scope="row" data-name="Worker" { (text::id(&worker.name)) }
            td data-name="State" { (badge::badge(class, &text::visible(&worker.state))) }
            td data-name="Version" { (text::id(&worker.version)) }
            td class="number" data-name="Organizations" { (count(worker.organizations)) }
            td class="number" data-name="In progress" { (count(worker.in_flight)) }
            td class="when" data-name="Started" { (text::moment(worker.started_at, now)) }
            td class="when" data-name="Last seen" { (text::moment(worker.seen_at, now)) }
        }
    }
}

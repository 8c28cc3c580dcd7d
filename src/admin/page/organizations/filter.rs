//! Filter and order of the list of organizations, as a page's address holds them. Pure.

use std::cmp::Reverse;

use url::form_urlencoded;

use crate::admin::page::link;
use crate::organizations::{OrganizationState, OrganizationView};

/// Names of the states.
pub(crate) const STATES: [&str; 7] = ["blocked", "faulty", "degraded", "throttled", "unknown", "paused", "open"];
/// Orders with their names.
pub(crate) const ORDERS: [(&str, &str); 5] = [
    ("", "Trouble first"),
    ("waiting", "Most waiting"),
    ("oldest", "Oldest event"),
    ("errors", "Most errors"),
    ("id", "ID"),
];

/// Filter and order, as given.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct OrganizationFilter {
    /// Part of an ID or an environment's URL, in any case.
    pub text: String,
    /// Name of a state; empty for all, `trouble` for all but open ones.
    pub state: String,
    /// Name of an order; empty for trouble first.
    pub sort: String,
    /// Number of the page, from 1.
    pub page: usize,
}

impl OrganizationFilter {
    /// Parses a query; what is unknown counts as absent.
    pub(crate) fn parse(query: &str) -> Self {
        let mut filter = Self { page: 1, ..Self::default() };
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let value = value.trim();
            match &*name {
                "text" => value.clone_into(&mut filter.text),
                "state" if value == "trouble" || STATES.contains(&value) => value.clone_into(&mut filter.state),
                "sort" if ORDERS.iter().any(|(sort, _)| *sort == value) => value.clone_into(&mut filter.sort),
                "page" => filter.page = value.parse().ok().filter(|page| *page > 0).unwrap_or(1),
                _ => {}
            }
        }
        filter
    }

    /// Returns the address of a page of this list.
    pub(crate) fn address(&self, page: usize) -> String {
        let page = if page > 1 { page.to_string() } else { String::new() };
        let query = [("text", &*self.text), ("state", &*self.state), ("sort", &*self.sort), ("page", &*page)];
        link::with("/organizations", &query)
    }

    /// Returns the organizations that match, in their order.
    pub(crate) fn apply<'a>(&self, all: &'a [OrganizationView]) -> Vec<&'a OrganizationView> {
        let text = self.text.to_lowercase();
        let has_text = |view: &&OrganizationView| {
            [&view.organization_id, &view.environment_url].iter().any(|it| it.to_lowercase().contains(&text))
        };
        let has_state = |view: &&OrganizationView| match &*self.state {
            "" => true,
            "trouble" => !matches!(view.state, OrganizationState::Open),
            state => view.state.as_str() == state,
        };
        let mut found: Vec<&OrganizationView> = all.iter().filter(has_text).filter(has_state).collect();
        let waiting = |view: &OrganizationView| Reverse(view.waiting);
        match &*self.sort {
            "waiting" => found.sort_by_key(|view| waiting(view)),
            "oldest" => found.sort_by(|one, other| {
                other.oldest_seconds.unwrap_or(-1.0).total_cmp(&one.oldest_seconds.unwrap_or(-1.0))
            }),
            "errors" => found.sort_by_key(|view| Reverse(view.requests.map_or(0, |requests| requests.bad()))),
            "id" => found.sort_by(|one, other| one.organization_id.cmp(&other.organization_id)),
            _ => found.sort_by_key(|view| (rank(&view.state), waiting(view))),
        }
        found
    }
}

fn rank(state: &OrganizationState) -> usize {
    STATES.iter().position(|name| *name == state.as_str()).unwrap_or(STATES.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::page::tests::{at, view};
    use crate::status::RequestCounts;

    fn one(id: &str, state: OrganizationState, waiting: Option<u64>, oldest: Option<f64>) -> OrganizationView {
        OrganizationView { organization_id: id.to_owned(), waiting, oldest_seconds: oldest, ..view(state) }
    }

    fn listed(query: &str) -> Vec<String> {
        let mut failing = one("d", OrganizationState::Open, Some(0), Some(0.0));
        failing.requests = Some(RequestCounts { failed: 9, ..RequestCounts::default() });
        let blocked = OrganizationState::Blocked { since: at(), error: String::new(), advice: String::new() };
        let all = [
            one("a", OrganizationState::Open, Some(1), Some(99.0)),
            one("b", OrganizationState::Open, None, None),
            one("c", OrganizationState::Open, Some(7), Some(3.0)),
            failing,
            one("Acme", OrganizationState::Paused { since: at() }, Some(0), None),
            one("e", blocked, Some(2), None),
        ];
        let filter = OrganizationFilter::parse(query);
        filter.apply(&all).into_iter().map(|view| view.organization_id.clone()).collect()
    }

    #[test]
    fn trouble_comes_first_then_what_waits() {
        assert_eq!(listed(""), ["e", "Acme", "c", "a", "d", "b"]);
        assert_eq!(listed("sort=waiting")[..3], ["c", "e", "a"]);
        assert_eq!(listed("sort=oldest")[..3], ["a", "c", "d"]);
        assert_eq!(listed("sort=errors")[0], "d");
        assert_eq!(listed("sort=id"), ["Acme", "a", "b", "c", "d", "e"]);
    }

    #[test]
    fn a_list_is_filtered_by_text_and_state() {
        assert_eq!(listed("text=ACM"), ["Acme"]);
        assert_eq!(listed("state=trouble"), ["e", "Acme"]);
        assert_eq!(listed("state=open&sort=id"), ["a", "b", "c", "d"]);
        assert_eq!(listed("state=nonsense&sort=nonsense&page=x").len(), 6);
        let filter = OrganizationFilter::parse("text=a%26b&state=open&sort=id&page=3");
        assert_eq!(filter.address(4), "/organizations?text=a%26b&state=open&sort=id&page=4");
        assert_eq!(OrganizationFilter::parse("page=0").address(1), "/organizations");
    }
}

//! Filter of dead letters, as a page's address holds it. Pure.

use handoffd_engine::dead_letters::Selection;
use handoffd_engine::workflow::Reason;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use maud::{Markup, html};
use url::form_urlencoded;

use crate::admin::page::{link, words};
use crate::config::parse_duration;

/// Filter of dead letters, as typed.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct FilterForm {
    /// Event IDs.
    pub ids: Vec<String>,
    /// Organization ID.
    pub organization: String,
    /// Name of a reason.
    pub reason: String,
    /// Session ID.
    pub session: String,
    /// Earliest time of failure.
    pub after: String,
    /// Time before which an event failed.
    pub before: String,
    /// Any text, such as `yes`, selects all that match.
    pub all: String,
}

impl FilterForm {
    /// Parses a query or a form body, which have the same syntax. Blank values count as absent.
    pub(crate) fn parse(query: &str) -> Self {
        let mut filter = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let value = value.trim().to_owned();
            match name.as_ref() {
                "id" if !value.is_empty() => filter.ids.push(value),
                "organization" => filter.organization = value,
                "reason" => filter.reason = value,
                "session" => filter.session = value,
                "after" => filter.after = value,
                "before" => filter.before = value,
                "all" => filter.all = value,
                _ => {}
            }
        }
        filter
    }

    /// Returns the selection that the filter describes.
    ///
    /// # Errors
    /// Describes a value that is invalid.
    pub(crate) fn selection(&self, now: Timestamp) -> Result<Selection, String> {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Ok(Selection {
            ids: self.ids.clone(),
            organization: text(&self.organization),
            reason: text(&self.reason).map(|name| reason(&name)).transpose()?,
            session: text(&self.session),
            after: text(&self.after).map(|time| moment(&time, now)).transpose()?,
            before: text(&self.before).map(|time| moment(&time, now)).transpose()?,
            all: !self.all.is_empty(),
        })
    }

    /// Returns the filter as names and values.
    pub(crate) fn pairs(&self) -> Vec<(&str, &str)> {
        let one = [
            ("organization", &self.organization),
            ("reason", &self.reason),
            ("session", &self.session),
            ("after", &self.after),
            ("before", &self.before),
            ("all", &self.all),
        ];
        let ids = self.ids.iter().map(|id| ("id", id.as_str()));
        let rest = one.into_iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| (name, value.as_str()));
        ids.chain(rest).collect()
    }

    /// Returns an address with the filter and more parameters.
    pub(crate) fn address<'a>(&'a self, path: &str, more: &[(&'a str, &'a str)]) -> String {
        link::with(path, &[more, &self.pairs()].concat())
    }

    /// Renders the filter as hidden form fields.
    pub(crate) fn hidden(&self) -> Markup {
        html! { @for (name, value) in self.pairs() { input type="hidden" name=(name) value=(value); } }
    }

    /// Renders the filter as a form.
    pub(crate) fn form(&self) -> Markup {
        html! {
            form class="filter" method="get" action="/dead-letters" {
                (field("organization", "Organization", &self.organization, ""))
                div {
                    label for="f-reason" { "Reason" }
                    select id="f-reason" name="reason" {
                        option value="" { "any" }
                        @for reason in Reason::DEAD {
                            option value=(reason.as_str()) selected[reason.as_str() == self.reason] { (words::meaning(reason).title) }
                        }
                    }
                }
                (field("session", "Session", &self.session, ""))
                (field("id", "Event", self.ids.first().map_or("", String::as_str), ""))
                (field("after", "Failed since", &self.after, "2h, 2026-11-22T10:15Z"))
                (field("before", "Failed before", &self.before, "30m"))
                div class="go" { button { "Filter" } a class="quiet" href="/dead-letters" { "Clear" } }
            }
        }
    }
}

fn field(name: &str, label: &str, value: &str, example: &str) -> Markup {
    let id = format!("f-{name}");
    html! {
        div {
            label for=(id) { (label) }
            input id=(id) name=(name) value=(value) placeholder=[(!example.is_empty()).then_some(example)] autocomplete="off"
                autocapitalize="off" spellcheck="false" maxlength="600";
        }
    }
}

fn reason(name: &str) -> Result<Reason, String> {
    let known = Reason::DEAD.into_iter().find(|reason| reason.as_str() == name);
    known.ok_or_else(|| format!("unknown reason {name:?}; choose one from the list"))
}

/// Parses RFC 3339, a date and time in UTC, or an age.
fn moment(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    if let Ok(at) = text.parse() {
        return Ok(at);
    }
    if let Ok(at) = text.trim_end_matches('Z').parse::<DateTime>()
        && let Ok(at) = at.to_zoned(TimeZone::UTC)
    {
        return Ok(at.timestamp());
    }
    let ago = parse_duration(text).and_then(|ago| SignedDuration::try_from(ago).ok());
    let at = ago.and_then(|ago| now.checked_sub(ago).ok());
    at.ok_or_else(|| {
        format!("invalid time {text:?}; expected a time such as 2026-11-22T10:15:00Z or an age such as 2h")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-11-22T10:15:00Z";

    fn selection(query: &str) -> Result<Selection, String> {
        FilterForm::parse(query).selection(NOW.parse().expect("a time"))
    }

    #[test]
    fn a_typed_filter_becomes_a_selection() {
        let found = selection(
            "organization=+org_acme+&reason=delivery_limit&id=a&id=b%26c&session=&after=2h&before=2026-11-22T10:00",
        );
        let expected = Selection {
            ids: vec!["a".to_owned(), "b&c".to_owned()],
            organization: Some("org_acme".to_owned()),
            reason: Some(Reason::DeliveryLimit),
            after: "2026-11-22T08:15:00Z".parse().ok(),
            before: "2026-11-22T10:00:00Z".parse().ok(),
            ..Selection::default()
        };
        assert_eq!(found, Ok(expected));
        assert!(selection("").expect("nothing is fine").is_empty());
        assert!(selection("all=yes").expect("all").all);
    }

    #[test]
    fn invalid_values_are_rejected() {
        assert!(selection("reason=no_incident").unwrap_err().contains("unknown reason"));
        assert!(selection("after=yesterday").unwrap_err().contains("expected a time such as"));
    }

    #[test]
    fn a_filter_survives_addresses_and_forms() {
        let filter = FilterForm::parse("id=%3Cb%3E&id=2&organization=a%20b&all=yes");
        assert_eq!(FilterForm::parse(filter.address("/x", &[]).strip_prefix("/x?").expect("a query")), filter);
        assert_eq!(
            filter.address("/x", &[("act", "replay")]),
            "/x?act=replay&id=%3Cb%3E&id=2&organization=a+b&all=yes"
        );
        assert!(filter.hidden().into_string().contains(r#"<input type="hidden" name="id" value="&lt;b&gt;">"#));
        assert!(filter.form().into_string().contains(r#"value="a b""#));
    }
}

//! Which dead letters, as it stands in a page's address. Pure.

use handoffd_engine::dead_letters::Selection;
use handoffd_engine::workflow::Reason;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use maud::{Markup, html};
use url::form_urlencoded;

use crate::admin::page::{link, words};
use crate::config::parse_duration;

/// Which dead letters, as somebody has typed it.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Filter {
    /// Event ids.
    pub ids: Vec<String>,
    /// An organization.
    pub organization: String,
    /// A reason's name.
    pub reason: String,
    /// A session.
    pub session: String,
    /// Dead at or after this time.
    pub after: String,
    /// Dead before this time.
    pub before: String,
    /// `yes`: all that match.
    pub all: String,
}

impl Filter {
    /// Reads a query, or a form: they are written alike. What is blank is not given.
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

    /// What it means.
    ///
    /// # Errors
    /// What can't be understood, in words.
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

    /// As names and values.
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

    /// An address that has it, and more.
    pub(crate) fn address<'a>(&'a self, path: &str, more: &[(&'a str, &'a str)]) -> String {
        link::with(path, &[more, &self.pairs()].concat())
    }

    /// As fields of a form that nobody sees.
    pub(crate) fn hidden(&self) -> Markup {
        html! { @for (name, value) in self.pairs() { input type="hidden" name=(name) value=(value); } }
    }

    /// As a form to narrow the list down.
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
                (field("after", "Dead since", &self.after, "2h, 2026-11-22T10:15Z"))
                (field("before", "Dead before", &self.before, "30m"))
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
    known.ok_or_else(|| format!("{name:?} is no reason of a dead letter"))
}

/// RFC 3339, a date and time in UTC, or how long ago.
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
        format!("{text:?} is no time: expected one such as 2026-11-22T10:15:00Z, or how long ago, such as 2h")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-11-22T10:15:00Z";

    fn selection(query: &str) -> Result<Selection, String> {
        Filter::parse(query).selection(NOW.parse().expect("a time"))
    }

    #[test]
    fn what_is_typed_is_what_is_meant() {
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
    fn what_is_not_understood_is_said() {
        assert!(selection("reason=no_incident").unwrap_err().contains("no reason"));
        assert!(selection("after=yesterday").unwrap_err().contains("expected one such as"));
    }

    #[test]
    fn it_comes_back_as_it_was() {
        let filter = Filter::parse("id=%3Cb%3E&id=2&organization=a%20b&all=yes");
        assert_eq!(Filter::parse(filter.address("/x", &[]).strip_prefix("/x?").expect("a query")), filter);
        assert_eq!(
            filter.address("/x", &[("act", "replay")]),
            "/x?act=replay&id=%3Cb%3E&id=2&organization=a+b&all=yes"
        );
        assert!(filter.hidden().into_string().contains(r#"<input type="hidden" name="id" value="&lt;b&gt;">"#));
        assert!(filter.form().into_string().contains(r#"value="a b""#));
    }
}

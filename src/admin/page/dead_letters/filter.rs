//! Filter of dead letters, as a page's address holds it. Pure.

use handoffd_engine::dead_letters::{SelectionError, SelectionText};
use handoffd_engine::workflow::Reason;
use maud::{Markup, html};
use url::form_urlencoded;

use crate::admin::page::{link, words};

/// Filter of dead letters, as typed.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct FilterForm(pub SelectionText);

impl FilterForm {
    /// Parses a query or a form body, which have the same syntax. Other names are ignored.
    ///
    /// # Errors
    /// Describes a value that is invalid.
    pub(crate) fn parse(query: &str) -> Result<Self, SelectionError> {
        let mut text = SelectionText::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            text.add(&name, &value)?;
        }
        Ok(Self(text))
    }

    /// Returns a filter of one dead letter.
    pub(crate) fn letter(letter_id: &str) -> Self {
        Self(SelectionText { letters: vec![letter_id.to_owned()], ..SelectionText::default() })
    }

    /// Returns the filter as names and values.
    pub(crate) fn pairs(&self) -> Vec<(&str, &str)> {
        let SelectionText { letters, ids, organization, reason, session, group, before, after, all, dry_run: _ } =
            &self.0;
        let one = [
            ("organization", organization),
            ("reason", reason),
            ("session", session),
            ("group", group),
            ("after", after),
            ("before", before),
        ];
        let many = letters.iter().map(|id| ("letter", id)).chain(ids.iter().map(|id| ("id", id)));
        let given = one.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
        let pairs = many.chain(given).map(|(name, value)| (name, value.as_str()));
        pairs.chain(all.then_some(("all", "true"))).collect()
    }

    /// Returns an address with the filter and more parameters.
    pub(crate) fn address<'a>(&'a self, path: &str, more: &[(&'a str, &'a str)]) -> String {
        link::with(path, &[more, &self.pairs()].concat())
    }

    /// Returns a filter of one group.
    pub(crate) fn group(handle: &str) -> Self {
        Self(SelectionText { group: Some(handle.to_owned()), ..SelectionText::default() })
    }

    /// Returns the filter, or that of all dead letters if it is empty.
    pub(crate) fn or_all(&self) -> Self {
        let all = self.0.all || self.pairs().is_empty();
        Self(SelectionText { all, ..self.0.clone() })
    }

    /// Returns the command that does the same, for a shell.
    pub(crate) fn command(&self, verb: &str) -> String {
        let mut command = format!("handoffd dead-letters {verb}");
        for (name, value) in self.pairs() {
            command.extend([" --", name]);
            if name != "all" {
                command.extend([" ", &quoted(value)]);
            }
        }
        command
    }

    /// Renders the filter as hidden form fields.
    pub(crate) fn hidden(&self) -> Markup {
        html! { @for (name, value) in self.pairs() { input type="hidden" name=(name) value=(value); } }
    }

    /// Renders the filter as a form.
    pub(crate) fn form(&self) -> Markup {
        let SelectionText { ids, organization, reason: chosen, session, before, after, .. } = &self.0;
        html! {
            form class="filter" method="get" action="/dead-letters" {
                (field("organization", "Organization", organization.as_ref(), ""))
                div {
                    label for="f-reason" { "Reason" }
                    select id="f-reason" name="reason" {
                        option value="" { "any" }
                        @for reason in Reason::DEAD {
                            option value=(reason.as_str()) selected[Some(reason.as_str()) == chosen.as_deref()] { (words::meaning(reason).title) }
                        }
                    }
                }
                (field("session", "Session", session.as_ref(), ""))
                (field("id", "Event", ids.first(), ""))
                (field("after", "Failed since", after.as_ref(), "2h, 2026-11-22T10:15"))
                (field("before", "Failed before", before.as_ref(), "30m"))
                div class="go" { button { "Filter" } a class="quiet" href="/dead-letters" { "Clear" } }
            }
        }
    }
}

/// Quotes a value for a shell where it must be.
fn quoted(value: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:@%+/".contains(&byte);
    if !value.is_empty() && value.bytes().all(is_plain) {
        return value.to_owned();
    }
    format!("'{}'", value.replace('\'', "'\\''"))
}

fn field(name: &str, label: &str, value: Option<&String>, example: &str) -> Markup {
    let id = format!("f-{name}");
    html! {
        div {
            label for=(id) { (label) }
            input id=(id) name=(name) value=[value] placeholder=[(!example.is_empty()).then_some(example)] autocomplete="off"
                autocapitalize="off" spellcheck="false" maxlength="600";
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_survives_addresses_and_forms() {
        let filter =
            FilterForm::parse("letter=dl_1&id=%3Cb%3E&id=2&organization=a%20b&session=&all=true").expect("a filter");
        let parsed = FilterForm::parse(filter.address("/x", &[]).strip_prefix("/x?").expect("a query"));
        assert_eq!(parsed.as_ref(), Ok(&filter));
        assert_eq!(
            filter.address("/x", &[("act", "replay")]),
            "/x?act=replay&letter=dl_1&id=%3Cb%3E&id=2&organization=a+b&all=true"
        );
        assert!(filter.hidden().into_string().contains(r#"<input type="hidden" name="id" value="&lt;b&gt;">"#));
        assert!(filter.form().into_string().contains(r#"value="a b""#));
        assert!(FilterForm::parse("all=perhaps").is_err());
    }

    #[test]
    fn a_filter_is_also_a_command() {
        let filter = FilterForm::parse("organization=a'b%24&reason=expired&after=2h&letter=dl_1").expect("a filter");
        let expected =
            r"handoffd dead-letters replay --letter dl_1 --organization 'a'\''b$' --reason expired --after 2h";
        assert_eq!(filter.command("replay"), expected);
        assert_eq!(FilterForm::default().or_all().command("discard"), "handoffd dead-letters discard --all");
        assert_eq!(FilterForm::group("g_1").or_all().command("list"), "handoffd dead-letters list --group g_1");
    }
}

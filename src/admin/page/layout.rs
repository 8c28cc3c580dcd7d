//! Frame of every page: header, search, navigation, footer. Pure.

use maud::{DOCTYPE, Markup, html};

use super::text;

/// Address of the style sheet; it holds the version, so that a browser never mixes two versions.
const STYLE: &str = concat!("/page.css?", env!("CARGO_PKG_VERSION"));
/// Address of the script; versioned like [`STYLE`].
const SCRIPT: &str = concat!("/page.js?", env!("CARGO_PKG_VERSION"));

/// Sections of the page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum PageTab {
    /// Overview of the worker's present state.
    Now,
    /// Search for events and their history.
    Find,
    /// Dead letters.
    DeadLetters,
    /// Organizations.
    Organizations,
    /// Actions of operators.
    Activity,
}

/// Sections with their paths and names.
const PLACES: [(PageTab, &str, &str); 5] = [
    (PageTab::Now, "/", "Overview"),
    (PageTab::Find, "/find", "Find"),
    (PageTab::DeadLetters, "/dead-letters", "Dead letters"),
    (PageTab::Organizations, "/organizations", "Organizations"),
    (PageTab::Activity, "/activity", "Activity"),
];

/// State shown in the header of every page.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct PageHead {
    /// Reasons why the worker is not ready; empty if it is.
    pub unready: Vec<String>,
    /// Number of dead letters, if known.
    pub dead_letters: Option<u64>,
    /// Sign-in state of this browser.
    pub session: SignIn,
}

/// Sign-in state of a browser.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) enum SignIn {
    /// Signed in with `http.token`.
    Operator,
    /// Signed in with `http.reader_token`.
    Reader,
    /// No token is configured.
    #[default]
    Open,
}

/// Renders a whole page.
pub(super) fn page(place: PageTab, title: &str, standing: &PageHead, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            (head(title))
            body {
                a class="skip" href="#main" { "Skip to content" }
                header class="top" {
                    p class="mark" { a href="/" { "handoffd" } (status_light(standing)) }
                    nav aria-label="Pages" { ul { @for entry in PLACES { (link(entry, place, standing)) } } }
                    @if place != PageTab::Find { (search("", Size::Small)) }
                }
                main id="main" tabindex="-1" { (body) }
                footer {
                    p { "handoffd " (env!("CARGO_PKG_VERSION")) " · all times in UTC" }
                    (signed_in(standing.session))
                }
            }
        }
    }
}

/// Renders the `head` element of any page.
pub(super) fn head(title: &str) -> Markup {
    html! {
        head {
            meta charset="utf-8";
            meta name="viewport" content="width=device-width, initial-scale=1";
            meta name="color-scheme" content="light dark";
            meta name="robots" content="noindex";
            title { (text::visible(title)) " · handoffd" }
            link rel="icon" href="/icon.svg" type="image/svg+xml";
            link rel="stylesheet" href=(STYLE);
            script src=(SCRIPT) defer {}
        }
    }
}

/// Size of a search box.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Size {
    /// In the header of a page.
    Small,
    /// As the main element of a page.
    Large,
}

/// Renders the search box.
pub(super) fn search(query: &str, size: Size) -> Markup {
    let class = if size == Size::Large { "search large" } else { "search" };
    html! {
        form class=(class) role="search" method="get" action="/find" {
            label for="q" { "Session, event, case, ticket number or live work item" }
            div class="field" {
                input id="q" name="q" type="search" value=(query) autocomplete="off" autocapitalize="off" spellcheck="false"
                    maxlength="600" placeholder=(if size == Size::Large { "ses_9f2c, evt_01JDA7, CAS-01234-X1Y2Z3, a GUID" } else { "Any ID or ticket number" });
                button { "Find" }
            }
        }
    }
}

fn signed_in(session: SignIn) -> Markup {
    html! {
        @match session {
            SignIn::Open => p class="open" {
                "Open: no token is set, so everyone on this machine has access. Customer text, saving and discarding require "
                code { "http.token" } "."
            },
            SignIn::Reader => p { "Signed in as reader: no changes, no customer text" },
            SignIn::Operator => {},
        }
        @if session != SignIn::Open {
            form method="post" action="/logout" { button class="quiet" { "Sign out" } }
        }
    }
}

fn link((place, path, name): (PageTab, &str, &str), here: PageTab, standing: &PageHead) -> Markup {
    let current = (place == here).then_some("page");
    let count = standing.dead_letters.filter(|count| place == PageTab::DeadLetters && *count > 0);
    html! {
        li {
            a href=(path) aria-current=[current] {
                (name)
                @if let Some(count) = count { " " span class="tally" { (text::count(count)) } }
            }
        }
    }
}

fn status_light(standing: &PageHead) -> Markup {
    let (class, word) = if standing.unready.is_empty() { ("good", "running") } else { ("bad", "not processing") };
    html! { span class={ "light " (class) } { (word) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(place: PageTab, standing: &PageHead) -> String {
        page(place, "<i>\u{202e}", standing, &html! { h1 { "x" } }).into_string()
    }

    #[test]
    fn a_page_marks_its_section_and_is_self_contained() {
        let page = drawn(PageTab::DeadLetters, &PageHead { dead_letters: Some(1200), ..PageHead::default() });
        assert_eq!(page.matches("aria-current=\"page\"").count(), 1);
        assert!(
            page.contains(
                r#"<a href="/dead-letters" aria-current="page">Dead letters <span class="tally">1,200</span>"#
            )
        );
        assert!(!page.contains("://") && !page.contains("style=") && !page.contains("onclick"), "{page}");
        assert!(page.contains(r"<title>&lt;i&gt;\u{202e} · handoffd</title>"));
    }

    #[test]
    fn every_page_has_one_labelled_search() {
        for place in [PageTab::Now, PageTab::Organizations] {
            let page = drawn(place, &PageHead::default());
            assert_eq!((page.matches("id=\"q\"").count(), page.matches("for=\"q\"").count()), (1, 1));
        }
        assert_eq!(drawn(PageTab::Find, &PageHead::default()).matches("id=\"q\"").count(), 0);
        let search = search("\"><script>", Size::Large).into_string();
        assert!(search.contains("value=\"&quot;&gt;&lt;script&gt;\""), "{search}");
    }

    #[test]
    fn the_light_has_a_text() {
        let away = PageHead { unready: vec!["can't reach the broker".to_owned()], ..PageHead::default() };
        assert!(drawn(PageTab::Now, &away).contains(r#"<span class="light bad">not processing</span>"#));
        assert!(drawn(PageTab::Now, &PageHead::default()).contains("light good"));
    }

    #[test]
    fn only_a_signed_in_browser_can_sign_out() {
        for session in [SignIn::Operator, SignIn::Reader] {
            let page = drawn(PageTab::Now, &PageHead { session, ..PageHead::default() });
            assert!(page.contains("/logout") && !page.contains("Open: no token"));
            assert_eq!(page.contains("as reader"), session == SignIn::Reader);
        }
        let page = drawn(PageTab::Now, &PageHead::default());
        assert!(!page.contains("/logout") && page.contains("Open: no token is set"));
    }
}

//! Frame of every page: header, search, navigation, footer. Pure.

use jiff::Timestamp;
use maud::{DOCTYPE, Markup, html};

use super::text;
use crate::status::{WorkerStatus, WorkerVerdict};

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
    /// Events by state.
    Events,
    /// Dead letters.
    DeadLetters,
    /// Organizations.
    Organizations,
    /// Actions of operators.
    Activity,
}

/// Sections with their paths and names.
const PLACES: [(PageTab, &str, &str); 6] = [
    (PageTab::Now, "/", "Overview"),
    (PageTab::Find, "/find", "Find"),
    (PageTab::Events, "/events", "Events"),
    (PageTab::DeadLetters, "/dead-letters", "Dead letters"),
    (PageTab::Organizations, "/organizations", "Organizations"),
    (PageTab::Activity, "/activity", "Activity"),
];

/// State shown in the header of every page.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct PageHead {
    /// Present status.
    pub status: WorkerStatus,
    /// Time at which the page was made.
    pub at: Timestamp,
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

impl SignIn {
    /// Returns true if it may replay, pause, resume and test.
    pub(super) fn may_change(self) -> bool {
        self != Self::Reader
    }

    /// Returns true if it may discard dead letters.
    pub(super) fn may_discard(self) -> bool {
        self == Self::Operator
    }

    /// Returns true if it may read customers' text.
    pub(super) fn may_read_text(self) -> bool {
        self == Self::Operator
    }
}

/// Renders a whole page.
pub(super) fn page(place: PageTab, title: &str, standing: &PageHead, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            (head(&format!("{} · {title}", standing.status.verdict.words())))
            body {
                a class="skip" href="#main" { "Skip to content" }
                header class="top" {
                    p class="mark" { a href="/" { "handoffd" } (light(&standing.status, standing.at)) }
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

/// Renders the verdict in the header. The script renews it every two seconds, and turns it grey without an answer; without
/// the script it says when it was made.
pub(super) fn light(status: &WorkerStatus, at: Timestamp) -> Markup {
    let made = at.strftime("%H:%M:%S UTC").to_string();
    html! {
        span id="light" class={ "light " (tone(status.verdict)) } data-verdict=(status.verdict.words()) {
            span { (status.verdict.words()) } " " time datetime=(at) { "at " (made) }
        }
    }
}

/// Returns the colour of a verdict.
pub(super) fn tone(verdict: WorkerVerdict) -> &'static str {
    match verdict {
        WorkerVerdict::Working => "good",
        WorkerVerdict::Degraded => "warn",
        WorkerVerdict::NotWorking => "bad",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::page::tests::{head_in, page_head};

    fn drawn(place: PageTab, standing: &PageHead) -> String {
        page(place, "<i>\u{202e}", standing, &html! { h1 { "x" } }).into_string()
    }

    #[test]
    fn a_page_marks_its_section_and_is_self_contained() {
        let page = drawn(PageTab::DeadLetters, &PageHead { dead_letters: Some(1200), ..page_head() });
        assert_eq!(page.matches("aria-current=\"page\"").count(), 1);
        assert!(
            page.contains(
                r#"<a href="/dead-letters" aria-current="page">Dead letters <span class="tally">1,200</span>"#
            )
        );
        assert!(!page.contains("://") && !page.contains("style=") && !page.contains("onclick"), "{page}");
        assert!(page.contains(r"<title>Running normally · &lt;i&gt;\u{202e} · handoffd</title>"));
    }

    #[test]
    fn every_page_has_one_labelled_search() {
        for place in [PageTab::Now, PageTab::Organizations] {
            let page = drawn(place, &page_head());
            assert_eq!((page.matches("id=\"q\"").count(), page.matches("for=\"q\"").count()), (1, 1));
        }
        assert_eq!(drawn(PageTab::Find, &page_head()).matches("id=\"q\"").count(), 0);
        let search = search("\"><script>", Size::Large).into_string();
        assert!(search.contains("value=\"&quot;&gt;&lt;script&gt;\""), "{search}");
    }

    #[test]
    fn the_light_has_a_text() {
        for (verdict, class, words) in [
            (WorkerVerdict::Working, "good", "Running normally"),
            (WorkerVerdict::Degraded, "warn", "Degraded"),
            (WorkerVerdict::NotWorking, "bad", "Not processing events"),
        ] {
            let page = drawn(PageTab::Now, &head_in(verdict));
            let light = format!(r#"class="light {class}" data-verdict="{words}"><span>{words}</span> <time"#);
            assert!(page.contains(&light) && page.contains(&format!("<title>{words} · ")), "{page}");
            assert!(page.contains("at 10:15:00 UTC"), "without a script it says when it was made: {page}");
        }
    }

    #[test]
    fn only_a_signed_in_browser_can_sign_out() {
        for session in [SignIn::Operator, SignIn::Reader] {
            let page = drawn(PageTab::Now, &PageHead { session, ..page_head() });
            assert!(page.contains("/logout") && !page.contains("Open: no token"));
            assert_eq!(page.contains("as reader"), session == SignIn::Reader);
        }
        let page = drawn(PageTab::Now, &page_head());
        assert!(!page.contains("/logout") && page.contains("Open: no token is set"));
    }
}

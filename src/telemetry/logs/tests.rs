use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use super::*;

#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl Paper {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn logged(format: LogFormat, level: &str, log: impl FnOnce()) -> String {
    let paper = Paper::default();
    let writer = paper.clone();
    let lines = layer(format, move || writer.clone());
    let subscriber = Registry::default().with(filter(level).unwrap()).with(filter_fn(may_be_logged)).with(lines);
    tracing::subscriber::with_default(subscriber, log);
    paper.text()
}

#[test]
fn a_text_line_is_a_sentence_and_fields() {
    let text = logged(LogFormat::Text, "info", || {
        tracing::info!(target: "handoffd::worker", event_id = "evt_1", elapsed_ms = 12, note = "two words", "done");
    });
    let (time, rest) = text.split_once(' ').unwrap();
    assert!(time.parse::<jiff::Timestamp>().is_ok(), "{time}");
    assert_eq!(rest, " INFO done event_id=evt_1 elapsed_ms=12 note=\"two words\"\n");
}

#[test]
fn actions_of_operators_are_logged_at_every_level_but_off() {
    let record = |level| logged(LogFormat::Text, level, || tracing::info!(target: AUDIT, count = 1, "replayed"));
    for level in ["error", "warn", "info", "trace", "handoffd=error", "handoffd=debug,warn"] {
        assert!(record(level).ends_with(" INFO audit: replayed count=1\n"), "{level}: {}", record(level));
    }
    for level in ["off", "audit=off"] {
        assert_eq!(record(level), "");
    }
}

#[test]
fn values_never_break_a_line() {
    let evil = "a\nb\r\u{1b}[31m\u{2028}c \"q\" \\ \u{7f}\u{85}\u{202e}\u{61c}\u{200b}\u{feff}\u{e0041}";
    for format in [LogFormat::Text, LogFormat::Json] {
        let text = logged(format, "info", || {
            let span = tracing::info_span!(target: "handoffd::worker", "work", session_id = %evil);
            let _entered = span.enter();
            tracing::info!(target: "handoffd::worker", shown = %evil, debugged = ?evil, plain = evil, "{evil}");
        });
        let body = text.strip_suffix('\n').unwrap();
        assert!(!body.contains(|char: char| char < ' '), "{text:?}");
        // JSON leaves the others unescaped; no reader of lines takes them for line ends.
        if format == LogFormat::Text {
            let hidden = ['\u{2028}', '\u{202e}', '\u{61c}', '\u{200b}', '\u{feff}', '\u{e0041}'];
            let odd = |char: char| char.is_control() || hidden.contains(&char);
            assert!(!body.contains(odd), "{text:?}");
        } else {
            assert!(serde_json::from_str::<Value>(body).is_ok());
        }
    }
}

#[test]
fn values_are_quoted_unlike_fields() {
    let text = logged(LogFormat::Text, "info", || {
        tracing::info!(target: "handoffd::worker", error = %"x level=ERROR", "failed");
    });
    assert!(text.ends_with("failed error=\"x level=ERROR\"\n"), "{text}");
}

#[test]
fn json_is_flat() {
    let text = logged(LogFormat::Json, "info", || {
        tracing::warn!(target: "handoffd::worker", event_id = "evt\n1", attempt = 2, "later");
    });
    let line: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(line["level"], "WARN");
    assert_eq!(line["message"], "later");
    assert_eq!(line["event_id"], "evt\n1");
    assert_eq!(line["attempt"], 2);
    assert_eq!(line["target"], "handoffd::worker");
    assert!(line["timestamp"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok());
}

#[test]
fn errors_are_logged_with_their_causes() {
    let cause = io::Error::other("disk full");
    let error = handoffd_engine::ports::store::StoreError::Write { source: Arc::new(cause) };
    let text = logged(LogFormat::Text, "info", || {
        tracing::error!(target: "handoffd::store", error = &error as &dyn std::error::Error, "lost");
    });
    assert!(text.contains("disk full"), "{text}");
}

#[test]
fn a_level_applies_to_the_worker_only() {
    let all = |level: &str| {
        logged(LogFormat::Text, level, || {
            tracing::debug!(target: "handoffd::worker", "own debug");
            tracing::info!(target: "handoffd::worker", "own info");
            tracing::info!(target: "reqwest::connect", "library info");
            tracing::warn!(target: "reqwest::connect", "library warning");
            tracing::error!(target: "sled::flusher", "a failure that the store logs");
            tracing::warn!(target: "lapin::returned_messages", "a whole message");
        })
    };
    let info = all("info");
    assert!(info.contains("own info") && info.contains("reqwest::connect: library warning"));
    assert!(!info.contains("the store logs"));
    assert!(!info.contains("own debug") && !info.contains("library info"));
    assert!(all("DEBUG").contains("own debug"));
    assert!(!all("error").contains("library warning"));
    assert!(all("off").is_empty());
    assert!(all("warn,sled=info").contains("the store logs"));
}

#[test]
fn lapin_is_never_logged_because_it_logs_whole_messages() {
    for level in ["info", "trace", "lapin=trace", "lapin::returned_messages=warn"] {
        let text = logged(LogFormat::Json, level, || {
            tracing::warn!(target: "lapin::returned_messages", "a whole message");
        });
        assert!(text.is_empty(), "{level}: {text}");
    }
}

/// Builds the subscriber that `init` sets up without an endpoint, with a layer that counts spans.
#[test]
fn spans_are_disabled_unless_traces_are_exported() {
    use tracing_subscriber::layer::Context as LayerContext;

    struct Counting(Arc<std::sync::atomic::AtomicUsize>);
    impl<S: tracing::Subscriber> Layer<S> for Counting {
        fn on_new_span(&self, _: &tracing::span::Attributes<'_>, _: &tracing::span::Id, _: LayerContext<'_, S>) {
            self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    }

    let spans = Arc::<std::sync::atomic::AtomicUsize>::default();
    for level in ["info", "trace", "handoffd::trace=trace"] {
        let lines = layer(LogFormat::Json, io::sink);
        let stack = Registry::default().with(filter(level).unwrap()).with(filter_fn(may_be_logged)).with(lines);
        tracing::subscriber::with_default(stack.with(Counting(spans.clone())), || {
            let span = trace::message(|| panic!("the context is not needed"));
            assert!(span.is_disabled());
            assert_eq!(trace::context(&span), Vec::new());
            assert!(trace::announcement("dynamics365.handoff.succeeded").is_disabled());
            assert!(trace::request(handoffd_engine::workflow::StepName::Token).is_disabled());
        });
    }
    assert_eq!(spans.load(std::sync::atomic::Ordering::Relaxed), 0);
}

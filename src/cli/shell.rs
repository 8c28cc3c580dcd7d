//! Shell of every command: why it failed, its runtime, its standard output.

use std::fmt::Display;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::Result;
use handoffd_engine::text::{visible_json, visible_lines};
use serde::Serialize;

use crate::config::{ConfigFaults, Insecurity};

/// Exit status of a command that failed.
pub(super) const FAILED: u8 = 1;
/// Exit status of a usage or configuration error.
pub(super) const USAGE: u8 = 2;
/// Exit status of a command that found nothing.
pub(super) const NOTHING_FOUND: u8 = 3;
/// Exit status of `status` for a degraded worker.
pub(super) const DEGRADED: u8 = 4;
/// Longest time a finished process waits for calls that can't be cancelled.
const END_LIMIT: Duration = Duration::from_secs(2);

/// First failure of [`print_unescaped`].
static UNWRITTEN: OnceLock<io::Error> = OnceLock::new();

/// Reason for which a command was not carried out.
pub(super) enum CommandError {
    /// Invalid configuration; exit status 2.
    Configuration(ConfigFaults),
    /// Invalid use of the command; exit status 2.
    Usage(String),
    /// Nothing that matches, as already printed; exit status 3.
    NothingFound,
    /// Degraded worker, as already printed; exit status 4.
    Degraded,
    /// Failure of the command; exit status 1.
    Failed(anyhow::Error),
    /// Failure whose reason is already printed; exit status 1.
    AlreadyReported,
}

impl From<ConfigFaults> for CommandError {
    fn from(faults: ConfigFaults) -> Self {
        Self::Configuration(faults)
    }
}

impl From<anyhow::Error> for CommandError {
    fn from(problem: anyhow::Error) -> Self {
        Self::Failed(problem)
    }
}

pub(super) fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = crate::app::runtime()?;
    let result = runtime.block_on(work);
    // A read from a hanging mount and a DNS lookup can't be cancelled; the process ends without them.
    runtime.shutdown_timeout(END_LIMIT);
    result
}

/// Prints insecure settings as warnings. If `strict`, fails with them instead.
pub(super) fn report_insecure(settings: &[Insecurity], strict: bool) -> Result<(), CommandError> {
    let lines: Vec<String> = settings.iter().map(|setting| format!("insecure setting {setting}")).collect();
    if strict && !lines.is_empty() {
        return Err(CommandError::Usage(lines.join("\nerror: ")));
    }
    for line in lines {
        print_status(format!("warning: {line}"));
    }
    Ok(())
}

/// Prints text for people or JSON, with hidden characters escaped.
pub(super) fn print(text: &str) {
    print_unescaped(&visible_lines(text).to_string());
}

/// Prints this program's own text for another program, such as a shell script.
///
/// A reader that has closed the pipe (`| head`) is not an error. Any other failure does not stop the command, which may be
/// changing something; its exit status shows it.
pub(super) fn print_unescaped(text: &str) {
    let mut output = io::stdout().lock();
    let written = output.write_all(text.as_bytes()).and_then(|()| output.flush());
    if let Err(error) = written
        && error.kind() != ErrorKind::BrokenPipe
    {
        _ = UNWRITTEN.set(error);
    }
}

/// Returns the first failure to write what was printed.
pub(super) fn unwritten() -> Option<&'static io::Error> {
    UNWRITTEN.get()
}

/// Returns standard output, for data of another program that must be complete.
pub(super) fn standard_output() -> io::Stdout {
    io::stdout()
}

/// Prints a line on standard error, with hidden characters escaped. A closed standard error is not an error.
pub(super) fn print_status(text: impl Display) {
    let line = format!("{}\n", visible_lines(&text.to_string()));
    _ = io::stderr().lock().write_all(line.as_bytes());
}

/// Describes an error with its causes, each once: a message may hold its cause already.
pub(super) fn with_causes(problem: &anyhow::Error) -> String {
    let add = |text: String, cause: String| if text.contains(&cause) { text } else { format!("{text}: {cause}") };
    problem.chain().map(ToString::to_string).reduce(add).unwrap_or_default()
}

/// Reports whether somebody at a terminal can answer a question.
pub(super) fn can_ask() -> bool {
    io::stdin().is_terminal()
}

/// Asks a question on the terminal. Returns true if the answer is yes.
pub(super) fn confirmed(question: &str) -> bool {
    _ = io::stderr().lock().write_all(format!("{} [y/N] ", visible_lines(question)).as_bytes());
    let mut answer = String::new();
    _ = io::stdin().read_line(&mut answer);
    matches!(answer.trim().to_lowercase().as_str(), "y" | "yes")
}

/// Formats a value as indented JSON, with hidden characters escaped.
pub(super) fn pretty(value: &impl Serialize) -> Result<String> {
    Ok(visible_json(&serde_json::to_string_pretty(value)?).to_string() + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::api::HttpError;

    #[test]
    fn a_cause_is_described_once() {
        let source = io::Error::from(ErrorKind::AddrInUse);
        let bind = HttpError::Bind { key: "http.listen", address: "127.0.0.1:1".parse().unwrap(), source };
        let text = with_causes(&anyhow::Error::from(bind).context("cannot start"));
        assert_eq!(
            text,
            "cannot start: cannot listen on 127.0.0.1:1 (http.listen): address in use; stop the process that uses it, or \
             choose another address or port"
        );
    }
}

//! Prints dead letters by group: reason, organization and error.

use handoffd_engine::dead_letters::{DeadLetterEntry, DeadLetterGroup, GroupTally, Observer};

use super::page::{OutputFormat, Printer};
use super::progress::ProgressReport;
use crate::cli::shell::{pretty, print, print_status};
use crate::cli::table;

/// Printer of groups, which are known at the end only.
pub(super) struct GroupPrinter {
    form: OutputFormat,
    tally: GroupTally,
    progress: ProgressReport,
}

impl GroupPrinter {
    pub(super) fn begin(form: OutputFormat) -> Self {
        Self { form, tally: GroupTally::default(), progress: ProgressReport::begin() }
    }
}

impl Observer for GroupPrinter {
    fn looked_at(&mut self, count: u64, total: u64) {
        self.progress.at(count, total);
    }

    fn entry(&mut self, entry: DeadLetterEntry) {
        self.tally.add(&entry);
    }
}

impl Printer for GroupPrinter {
    fn end(self: Box<Self>) {
        self.progress.end();
        let (groups, beyond) = self.tally.finish();
        print(&match self.form {
            // Strings, numbers and nulls always serialize.
            OutputFormat::Json => pretty(&groups).unwrap_or_default(),
            OutputFormat::Text => text(&groups),
        });
        if beyond > 0 {
            print_status(format_args!("{beyond} more in further groups; narrow the selection to see them"));
        }
    }
}

fn text(groups: &[DeadLetterGroup]) -> String {
    const COLUMNS: [&str; 6] = ["count", "group", "last", "reason", "organization_id", "error"];
    if groups.is_empty() {
        return String::new();
    }
    let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let row = |group: &DeadLetterGroup| {
        let last = group.last.map(|time| time.to_string());
        let DeadLetterGroup { handle, reason, organization_id, error, count, .. } = group;
        [count.to_string(), handle.clone(), or_dash(&last), or_dash(reason), or_dash(organization_id), or_dash(error)]
    };
    let rows: Vec<_> = std::iter::once(COLUMNS.map(str::to_owned)).chain(groups.iter().map(row)).collect();
    table::table(&rows)
}

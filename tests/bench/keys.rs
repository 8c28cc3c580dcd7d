//! A store that remembers many events before a run.

use std::io::{BufWriter, Write};
use std::process::Stdio;

use handoffd_engine::ports::store::portable::{ExportLine, PortableEntry, parse_line, write_line};
use uuid::Uuid;

use super::events::{TROUBLED, mixed};
use super::machine::{LIMIT, Machine};

/// Fills the worker's store with so many copies of an event that the worker has carried, each with a session and a
/// contact of its own.
pub async fn remember(machine: &Machine, keys: u64) {
    if keys == 0 {
        return;
    }
    machine.publish(std::iter::once(mixed(TROUBLED, 0))).await;
    let mut worker = machine.start("log");
    machine.time_of(&mut worker, &[TROUBLED], 1).await;
    worker.terminate(LIMIT);
    let exported = machine.command(&["store", "export"]).output().expect("an export");
    assert!(exported.status.success(), "{}", String::from_utf8_lossy(&exported.stderr));
    let lines = exported.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    import(machine, &lines.map(|line| parse_line(line).expect("a line of an export")).collect::<Vec<_>>(), keys);
}

fn import(machine: &Machine, exported: &[ExportLine], keys: u64) {
    let mut command = machine.command(&["store", "import", "-"]);
    let mut importing = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("an import");
    let mut stream = BufWriter::new(importing.stdin.take().expect("a pipe"));
    let mut entries = 0;
    let mut write = |line: &ExportLine| {
        let mut text = Vec::new();
        write_line(&mut text, line);
        stream.write_all(&text).expect("the import reads");
    };
    for line in exported {
        match line {
            ExportLine::Header(_) => write(line),
            ExportLine::Entry(entry) => {
                for copy in (0..keys).filter_map(|n| copied(entry, n)) {
                    entries += 1;
                    write(&ExportLine::Entry(copy));
                }
            }
            ExportLine::End(end) => {
                let mut end = end.clone();
                end.entries = entries;
                write(&ExportLine::End(end));
            }
        }
    }
    drop(stream);
    assert!(importing.wait().is_ok_and(|status| status.success()), "the import failed");
}

/// Copy of an entry that there is one of for each event.
fn copied(entry: &PortableEntry, n: u64) -> Option<PortableEntry> {
    let mut copy = entry.clone();
    match &mut copy {
        PortableEntry::Record { event_id, record, .. } => {
            *event_id = format!("evt_key_{n}").into();
            record.session_id = Some(format!("ses_key_{n}").into());
        }
        PortableEntry::Session { session_id, entry, .. } => {
            *session_id = format!("ses_key_{n}").into();
            entry.event_id = format!("evt_key_{n}").into();
        }
        PortableEntry::Contact { key, .. } => *key = Uuid::new_v4(),
        _ => return None,
    }
    Some(copy)
}

//! Scan of events on disk, for what the outcome index does not know. It runs beside the writers, which never wait for it.

use std::time::{Duration, Instant};

use handoffd_engine::event::EventKey;
use handoffd_engine::ports::store::StoreError;
use handoffd_engine::ports::store::queued::QueuedNote;
use handoffd_engine::ports::store::scan::ScanPage;
use handoffd_engine::ports::store::{EventScan, ScannedEvents};
use sled::Db;

use super::errors::unreadable;
use super::{codec, keys};

/// Name of the scanned data in errors.
pub(super) const EVENTS: &str = "events";
/// Longest scan. It reads some 300,000 records a second.
const LONGEST: Duration = Duration::from_secs(10);
/// Number of rows between two looks at the clock.
const LOOK: usize = 1024;

/// Scans unfinished events, then finished ones unless they are not asked for.
pub(super) fn scan(db: &Db, scan: EventScan) -> Result<ScannedEvents, StoreError> {
    let started = Instant::now();
    let needle = scan.id.as_deref().and_then(needle);
    let prefixes: &[&[u8]] = if scan.unfinished_only { &[keys::UNENDED] } else { &[keys::UNENDED, keys::RECORDS] };
    let mut page = ScanPage::new(scan)?;
    let rows = prefixes.iter().flat_map(|prefix| db.scan_prefix(prefix));
    for (nth, row) in rows.enumerate() {
        if nth % LOOK == 0 && started.elapsed() >= LONGEST {
            return Ok(page.end(true));
        }
        let (key, value) = row.map_err(|error| unreadable(EVENTS, error))?;
        let may_match = needle.as_deref().is_none_or(|needle| contains(&key, needle) || contains(&value, needle));
        if let Some(event) = Some(&key).filter(|_| may_match).and_then(|key| event(key)) {
            let record = codec::decode_record(&value).map_err(|error| unreadable(EVENTS, error))?;
            page.offer(event, record);
        }
    }
    Ok(page.end(false))
}

/// Reads the notes of queued events.
pub(super) fn queued(db: &Db, limit: usize) -> Result<Vec<(EventKey, QueuedNote)>, StoreError> {
    let mut found = Vec::new();
    for row in db.scan_prefix(keys::WAITING).take(limit) {
        let (key, value) = row.map_err(|error| unreadable(EVENTS, error))?;
        let note = codec::decode_queued(&value).map_err(|error| unreadable(EVENTS, error))?;
        found.extend(event(&key).map(|key| (key, note)));
    }
    Ok(found)
}

fn event(key: &[u8]) -> Option<EventKey> {
    let mut key = key.to_vec();
    *key.first_mut()? = keys::RECORDS[0]; // all kinds of rows of events have the same form
    keys::event_of(&key)
}

/// Returns the bytes that a matching row contains in some case; `None` if a key or JSON may escape them.
fn needle(id: &str) -> Option<Vec<u8>> {
    let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
    id.bytes().all(plain).then(|| id.to_ascii_lowercase().into_bytes())
}

/// Reports whether the bytes contain the needle, which is in lower case, in any case.
fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len().max(1)).any(|window| window.eq_ignore_ascii_case(needle))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_ids_are_looked_for_in_any_case_and_others_in_every_record() {
        assert_eq!(needle("CAS-01"), Some(b"cas-01".to_vec()));
        assert_eq!(needle("gr\u{fc}n"), None);
        assert_eq!(needle("a\"b"), None);
        assert!(contains(b"..{\"id\":\"CAS-01\"}", b"cas-01") && !contains(b"cas-", b"cas-01"));
    }
}

//! Index of dead letters: what a list shows of each, in a quarter of a kilobyte, so that a large queue need not be
//! scanned for each list. Pure.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;

use super::entry::{DeadLetterEntry, one_begins};
use super::group::{DeadLetterGroup, MOST_KEPT_GROUPS, group_of, largest_first};
use super::selection::{LetterFields, Selection};

/// Dead letters in the order of the queue.
#[derive(Default, Debug)]
pub struct LetterIndex {
    letters: Vec<IndexedLetter>,
    /// Groups without their counts, which depend on the selection. Dead letters of further ones are compared one by one.
    groups: Vec<DeadLetterGroup>,
    numbers: HashMap<String, u32>,
    texts: HashSet<Arc<str>>,
    gone: HashSet<String>,
}

/// Dead letter in the index. Organizations, reasons and errors are shared by many.
#[derive(Debug)]
struct IndexedLetter {
    letter_id: Box<str>,
    event_id: Option<Box<str>>,
    organization_id: Option<Arc<str>>,
    session_id: Option<Box<str>>,
    reason: Option<Arc<str>>,
    error: Option<Arc<str>>,
    dead_at: Option<Timestamp>,
    /// Number of its group, if that is kept.
    group: Option<u32>,
}

/// Dead letters that match a selection: how many there are of each kind, and a page of them.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct LetterSurvey {
    /// Groups, largest first.
    pub groups: Vec<DeadLetterGroup>,
    /// Number of dead letters in groups beyond these.
    pub beyond: u64,
    /// Entries of the page, newest first.
    pub entries: Vec<DeadLetterEntry>,
    /// Number of all that match.
    pub total: u64,
}

impl LetterIndex {
    /// Adds the next dead letter of the queue.
    pub fn add(&mut self, entry: DeadLetterEntry) {
        let group = self.group(&entry);
        let DeadLetterEntry { letter_id, event_id, organization_id, session_id, reason, error, dead_at, .. } = entry;
        let letter = IndexedLetter {
            letter_id: letter_id.into(),
            event_id: event_id.map(Into::into),
            organization_id: organization_id.map(|text| self.shared(text)),
            session_id: session_id.map(Into::into),
            reason: reason.map(|text| self.shared(text)),
            error: error.map(|text| self.shared(text)),
            dead_at,
            group,
        };
        self.letters.push(letter);
    }

    /// Leaves out a dead letter that was replayed or discarded meanwhile.
    pub fn remove(&mut self, letter_id: &str) {
        self.gone.insert(letter_id.to_owned());
    }

    /// Returns the number of dead letters.
    pub fn len(&self) -> usize {
        self.letters.len().saturating_sub(self.gone.len())
    }

    /// Returns true if there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns at most so many dead letters that match, oldest first, from a place of the index on, and the place behind
    /// them; `None` if there are no more.
    pub fn matching(&self, selection: &Selection, from: usize, most: usize) -> (Vec<DeadLetterEntry>, Option<usize>) {
        let mut found = Vec::new();
        for (place, letter) in self.letters.iter().enumerate().skip(from) {
            if !self.is_present(letter) || !self.matches(letter, selection) {
                continue;
            }
            if found.len() >= most {
                return (found, Some(place));
            }
            found.push(letter.entry());
        }
        (found, None)
    }

    /// Returns the number of dead letters that match.
    pub fn count(&self, selection: &Selection) -> u64 {
        self.present().filter(|letter| self.matches(letter, selection)).count() as u64
    }

    /// Returns at most so many dead letters that have an id which begins with this text.
    pub fn with_id(&self, id: &str, most: usize) -> Vec<DeadLetterEntry> {
        let has_id = |letter: &&IndexedLetter| {
            one_begins([Some(&letter.letter_id), letter.event_id.as_deref(), letter.session_id.as_deref()], id)
        };
        self.present().filter(has_id).take(most).map(IndexedLetter::entry).collect()
    }

    /// Counts what matches by group, and returns a page of it.
    pub fn survey(&self, selection: &Selection, skipped: usize, most: usize) -> LetterSurvey {
        let mut groups = self.groups.clone();
        let (mut found, mut beyond) = (Vec::new(), 0);
        for (place, letter) in self.letters.iter().enumerate() {
            if !self.is_present(letter) || !self.matches(letter, selection) {
                continue;
            }
            found.push((letter.dead_at, place));
            match letter.group.and_then(|number| groups.get_mut(number as usize)) {
                Some(group) => group.add(letter.dead_at),
                None => beyond += 1,
            }
        }
        groups.retain(|group| group.count > 0);
        beyond += largest_first(&mut groups);
        // Of those with the same time, the later one in the queue is the newer one.
        found.sort_unstable_by(|one, other| other.cmp(one));
        let page = found.iter().skip(skipped).take(most).filter_map(|(_, place)| self.letters.get(*place));
        LetterSurvey { groups, beyond, entries: page.map(IndexedLetter::entry).collect(), total: found.len() as u64 }
    }

    fn present(&self) -> impl Iterator<Item = &IndexedLetter> {
        self.letters.iter().filter(|letter| self.is_present(letter))
    }

    fn is_present(&self, letter: &IndexedLetter) -> bool {
        self.gone.is_empty() || !self.gone.contains(&*letter.letter_id)
    }

    fn matches(&self, letter: &IndexedLetter, selection: &Selection) -> bool {
        let known = letter.group.and_then(|number| self.groups.get(number as usize));
        selection.matches_fields(&letter.fields(), |handle| match known {
            Some(group) => group.handle == handle,
            None => group_of(&letter.entry()) == handle,
        })
    }

    fn group(&mut self, entry: &DeadLetterEntry) -> Option<u32> {
        let known = self.numbers.len();
        match self.numbers.entry(group_of(entry)) {
            Entry::Occupied(number) => Some(*number.get()),
            Entry::Vacant(_) if known >= MOST_KEPT_GROUPS => None,
            Entry::Vacant(new) => {
                self.groups.push(DeadLetterGroup::empty(new.key().clone(), entry));
                Some(*new.insert(u32::try_from(known).ok()?))
            }
        }
    }

    fn shared(&mut self, text: String) -> Arc<str> {
        if let Some(known) = self.texts.get(text.as_str()) {
            return Arc::clone(known);
        }
        let text: Arc<str> = text.into();
        self.texts.insert(Arc::clone(&text));
        text
    }
}

impl IndexedLetter {
    fn fields(&self) -> LetterFields<'_> {
        LetterFields {
            letter_id: &self.letter_id,
            event_id: self.event_id.as_deref(),
            organization_id: self.organization_id.as_deref(),
            session_id: self.session_id.as_deref(),
            reason: self.reason.as_deref(),
            dead_at: self.dead_at,
        }
    }

    fn entry(&self) -> DeadLetterEntry {
        let text = |text: Option<&str>| text.map(str::to_owned);
        DeadLetterEntry {
            letter_id: self.letter_id.to_string(),
            event_id: text(self.event_id.as_deref()),
            organization_id: text(self.organization_id.as_deref()),
            session_id: text(self.session_id.as_deref()),
            reason: text(self.reason.as_deref()),
            error: text(self.error.as_deref()),
            dead_at: self.dead_at,
            ..DeadLetterEntry::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cmp::Reverse;
    use std::collections::BTreeSet;

    use super::super::group::MOST_GROUPS;
    use super::super::normalize::normalized;
    use super::*;
    use crate::workflow::Reason;

    fn entry(n: i64) -> DeadLetterEntry {
        let reason = if n % 3 == 0 { Reason::InvalidEvent } else { Reason::RejectedByDynamics };
        DeadLetterEntry {
            letter_id: format!("dl_{n}"),
            event_id: (n % 7 != 0).then(|| format!("evt_{n}")),
            organization_id: (n % 5 != 0).then(|| format!("org_{}", n % 4)),
            session_id: (n % 7 != 0).then(|| format!("ses_{}", n / 2)),
            reason: (n % 11 != 0).then(|| reason.as_str().to_owned()),
            error: (n % 6 != 0).then(|| format!("No queue 11111111-1111-1111-1111-{n:012}.")),
            // Not in the order of the queue, and some at the same time.
            dead_at: (n % 13 != 0).then(|| Timestamp::from_second(1_800_000_000 + n * 7 % 40).unwrap()),
            ..DeadLetterEntry::default()
        }
    }

    fn index(numbers: impl Iterator<Item = i64>) -> LetterIndex {
        let mut index = LetterIndex::default();
        numbers.for_each(|n| index.add(entry(n)));
        index
    }

    fn selections() -> Vec<Selection> {
        let text = |text: &str| Some(text.to_owned());
        vec![
            Selection::default(),
            Selection { organization: text("org_1"), ..Selection::default() },
            Selection { reason: Some(Reason::InvalidEvent), ..Selection::default() },
            Selection { session: text("ses_4"), ..Selection::default() },
            Selection { ids: ["evt_9".to_owned(), "evt_10".to_owned()].into(), ..Selection::default() },
            Selection { letters: ["dl_14".to_owned()].into(), ..Selection::default() },
            Selection { group: Some(group_of(&entry(2))), ..Selection::default() },
            Selection { group: Some(group_of(&entry(30))), ..Selection::default() },
            Selection { before: Timestamp::from_second(1_800_000_020).ok(), ..Selection::default() },
            Selection { after: Timestamp::from_second(1_800_000_020).ok(), ..Selection::default() },
        ]
    }

    /// Groups of these entries, by handle.
    fn grouped(entries: &[DeadLetterEntry]) -> Vec<DeadLetterGroup> {
        let handles: BTreeSet<String> = entries.iter().map(group_of).collect();
        let group = |handle: String| {
            let of_it: Vec<_> = entries.iter().filter(|entry| group_of(entry) == handle).collect();
            DeadLetterGroup {
                reason: of_it[0].reason.clone(),
                organization_id: of_it[0].organization_id.clone(),
                error: of_it[0].error.as_deref().map(normalized),
                count: of_it.len() as u64,
                first: of_it.iter().filter_map(|entry| entry.dead_at).min(),
                last: of_it.iter().filter_map(|entry| entry.dead_at).max(),
                handle,
            }
        };
        handles.into_iter().map(group).collect()
    }

    #[test]
    fn letters_are_grouped_by_reason_organization_and_normalized_error() {
        let of = |organization: Option<&str>, reason: Option<&str>, error: Option<&str>| {
            let [organization_id, reason, error] = [organization, reason, error].map(|text| text.map(str::to_owned));
            DeadLetterEntry { organization_id, reason, error, ..DeadLetterEntry::default() }
        };
        let refused = |id| of(Some("org_acme"), Some("rejected_by_dynamics"), Some(id));
        let [first, last] = ["2026-11-22T10:15:00Z", "2026-11-22T10:16:00Z"].map(|at| at.parse().ok());
        let mut index = LetterIndex::default();
        index.add(DeadLetterEntry { dead_at: last, ..refused("No queue 11111111-1111-1111-1111-111111111111.") });
        index.add(DeadLetterEntry { dead_at: first, ..refused("No queue 22222222-2222-2222-2222-222222222222.") });
        index.add(refused("No owner."));
        index.add(of(Some("org_other"), Some("rejected_by_dynamics"), Some("No owner.")));
        index.add(of(None, None, None));
        let sorted = index.survey(&Selection::default(), 0, 0).groups;
        assert_eq!(sorted.iter().map(|group| group.count).collect::<Vec<_>>(), [2, 1, 1, 1]);
        assert_eq!((sorted[0].error.as_deref(), sorted[0].first, sorted[0].last), (Some("No queue …."), first, last));
        let foreign = sorted.iter().find(|group| group.reason.is_none()).expect("the foreign one");
        assert_eq!(foreign.handle, group_of(&of(None, None, None)));
    }

    #[test]
    fn pages_are_newest_first() {
        let times = ["2026-11-22T10:01:00Z", "2026-11-22T10:03:00Z", "2026-11-22T10:02:00Z", "2026-11-22T10:03:00Z"];
        let mut index = LetterIndex::default();
        for (n, dead_at) in times.into_iter().map(|at| at.parse().ok()).chain([None]).enumerate() {
            index.add(DeadLetterEntry { letter_id: n.to_string(), dead_at, ..DeadLetterEntry::default() });
        }
        let page = |skipped, most| {
            let found = index.survey(&Selection::default(), skipped, most);
            assert_eq!(found.total, 5);
            found.entries.into_iter().map(|entry| entry.letter_id).collect::<Vec<_>>()
        };
        assert_eq!(page(0, 2), ["3", "1"]);
        assert_eq!(page(2, 2), ["2", "0"]);
        assert_eq!(page(4, 2), ["4"], "one without a time is last");
    }

    #[test]
    fn groups_beyond_those_that_are_listed_are_counted() {
        let mut index = LetterIndex::default();
        for n in (0..MOST_GROUPS + 7).chain([0]) {
            let organization_id = Some(format!("org_{n}"));
            index.add(DeadLetterEntry { organization_id, ..DeadLetterEntry::default() });
        }
        let found = index.survey(&Selection::default(), 0, 0);
        assert_eq!((found.beyond, found.groups[0].count), (7, 2));
    }

    #[test]
    fn the_index_answers_as_a_scan_does() {
        let index = index(0..200);
        for selection in selections() {
            let matching: Vec<_> = (0..200).map(entry).filter(|entry| selection.matches(entry)).collect();
            assert_eq!(index.matching(&selection, 0, 500), (matching.clone(), None), "{selection:?}");
            assert_eq!(index.count(&selection), matching.len() as u64);
            let mut found = index.survey(&selection, 10, 20);
            assert!(found.groups.is_sorted_by_key(|group| Reverse(group.count)), "{selection:?}");
            found.groups.sort_by(|one, other| one.handle.cmp(&other.handle));
            assert_eq!(found.groups, grouped(&matching), "{selection:?}");
            assert_eq!((found.total, found.beyond), (matching.len() as u64, 0));
            let mut newest: Vec<_> = matching.into_iter().enumerate().collect();
            newest.sort_by_key(|(place, entry)| Reverse((entry.dead_at, *place)));
            let page: Vec<_> = newest.into_iter().map(|(_, entry)| entry).skip(10).take(20).collect();
            assert_eq!(found.entries, page, "{selection:?}");
        }
        let ids = |found: Vec<DeadLetterEntry>| found.into_iter().map(|it| it.letter_id).collect::<Vec<_>>();
        assert_eq!(ids(index.with_id("EVT_19", 50)).len(), 10, "evt_19, and evt_190 to evt_199 without evt_196");
        assert_eq!(ids(index.with_id("dl_7", 2)), ["dl_7", "dl_70"]);
        let odd = Selection { organization: Some("org_1".to_owned()), ..Selection::default() };
        let (first, next) = index.matching(&odd, 0, 3);
        let (second, last) = index.matching(&odd, next.expect("there are more"), 500);
        assert_eq!([ids(first), ids(second)].concat(), ids(index.matching(&odd, 0, 500).0));
        assert_eq!(last, None);
    }

    #[test]
    fn what_was_replayed_or_discarded_is_left_out() {
        let mut index = index(0..10);
        index.remove("dl_3");
        index.remove("dl_8");
        let (left, _) = index.matching(&Selection::default(), 0, 500);
        assert_eq!(left, [0, 1, 2, 4, 5, 6, 7, 9].map(entry));
        let found = index.survey(&Selection::default(), 0, 500);
        assert_eq!((index.len(), found.total, found.entries.len()), (8, 8, 8));
        assert_eq!(found.groups.iter().map(|group| group.count).sum::<u64>(), 8);
    }

    #[test]
    fn groups_are_bounded() {
        let mut index = LetterIndex::default();
        let entry =
            |n: usize| DeadLetterEntry { organization_id: Some(format!("org_{n}")), ..DeadLetterEntry::default() };
        (0..MOST_KEPT_GROUPS + 7).for_each(|n| index.add(entry(n)));
        index.add(entry(0));
        let found = index.survey(&Selection::default(), 0, 0);
        assert_eq!((found.groups.len(), found.groups[0].count), (MOST_GROUPS, 2));
        assert_eq!(found.beyond + found.groups.iter().map(|group| group.count).sum::<u64>(), found.total);
        let last = Selection { group: Some(group_of(&entry(MOST_KEPT_GROUPS + 6))), ..Selection::default() };
        assert_eq!(index.survey(&last, 0, 10).entries, [entry(MOST_KEPT_GROUPS + 6)]);
    }
}

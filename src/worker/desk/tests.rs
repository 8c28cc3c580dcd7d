use jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::crm::Shut;

const PREFETCH: usize = 256;
const SHUT: Standing = Standing::Shut { until: Timestamp::MAX, why: Shut::Throttled };
const LATE: Duration = Duration::from_secs(10);

fn open(room: usize) -> Standing {
    Standing::Open { room }
}

fn org(name: &str) -> OrganizationId {
    OrganizationId::from(name)
}

fn desk() -> Desk<usize> {
    Desk::new(PREFETCH)
}

/// So many events of an organization arrive at once; how many are taken up and how many go to the backlog.
fn flood(desk: &mut Desk<usize>, name: &str, events: usize, standing: Standing, now: Duration) -> (usize, usize) {
    for event in 0..events {
        desk.arrives(&org(name), event, now);
    }
    rulings(desk, name, standing, now)
}

fn rulings(desk: &mut Desk<usize>, name: &str, standing: Standing, now: Duration) -> (usize, usize) {
    let rulings: Vec<_> = std::iter::from_fn(|| desk.rule(&org(name), standing, now)).collect();
    let taken = rulings.iter().filter(|ruling| matches!(ruling, Ruling::Take(..))).count();
    (taken, rulings.len() - taken)
}

#[test]
fn an_organization_takes_what_it_has_room_for_and_half_of_the_prefetch_at_most() {
    assert_eq!(flood(&mut desk(), "a", 1000, open(16), Duration::ZERO), (16, 0));
    assert_eq!(flood(&mut desk(), "a", 1000, open(1000), Duration::ZERO), (128, 0));
    assert_eq!(flood(&mut desk(), "a", 1000, SHUT, Duration::ZERO), (128, 0));
}

#[test]
fn however_many_are_slow_something_is_left() {
    let mut desk = desk();
    let taken: Vec<usize> =
        (0..20).map(|n| flood(&mut desk, &n.to_string(), 1000, open(1000), Duration::ZERO).0).collect();
    assert_eq!(taken[..8], [128, 64, 32, 16, 8, 4, 2, 1]);
    assert!(taken.iter().sum::<usize>() < PREFETCH);
    let late: Vec<_> = (0..20).map(|n| rulings(&mut desk, &n.to_string(), open(1000), LATE)).collect();
    assert!(late.iter().all(|(taken, _)| *taken == 0) && desk.undecided().is_empty(), "{late:?}");
}

#[test]
fn a_prefetch_of_one_is_for_passing_on() {
    let mut desk = Desk::new(1);
    assert_eq!(flood(&mut desk, "a", 1, open(52), Duration::ZERO), (0, 1));
    let mut desk = Desk::new(2);
    assert_eq!(flood(&mut desk, "a", 2, open(52), Duration::ZERO), (1, 0));
    assert_eq!(flood(&mut desk, "b", 1, open(52), Duration::ZERO), (0, 1));
}

#[test]
fn a_quick_organization_has_room_again_before_its_patience_ends() {
    let mut desk = desk();
    flood(&mut desk, "a", 20, open(16), Duration::ZERO);
    for _ in 0..4 {
        desk.left(&org("a"), Source::Work);
    }
    assert_eq!(rulings(&mut desk, "a", open(16), PATIENCE), (4, 0));
    assert!(!desk.has_waiting());
}

#[test]
fn what_waits_too_long_goes_to_the_backlog_and_the_next_follow_at_once() {
    let mut desk = desk();
    flood(&mut desk, "a", 100, open(16), Duration::ZERO);
    assert_eq!(rulings(&mut desk, "a", open(16), PATIENCE), (0, 84));
    // Room alone does not let anybody overtake those.
    for _ in 0..16 {
        desk.left(&org("a"), Source::Work);
    }
    assert_eq!(flood(&mut desk, "a", 5, open(16), PATIENCE), (0, 5));
    assert_eq!(flood(&mut desk, "b", 5, open(16), PATIENCE), (5, 0));
}

#[test]
fn an_organization_of_which_nobody_is_done_is_waited_for_less() {
    let mut desk = desk();
    flood(&mut desk, "a", 20, open(16), Duration::ZERO);
    assert_eq!(rulings(&mut desk, "a", open(16), PATIENCE_WHILE_STILL / 2), (0, 0));
    desk.left(&org("a"), Source::Work);
    assert_eq!(rulings(&mut desk, "a", open(16), PATIENCE_WHILE_STILL), (1, 0), "it stirs");
    assert_eq!(rulings(&mut desk, "a", open(16), PATIENCE_WHILE_STILL * 3 / 2), (0, 0));
    assert_eq!(rulings(&mut desk, "a", open(16), PATIENCE_WHILE_STILL * 2), (0, 3));
}

#[test]
fn a_short_backlog_is_waited_for_until_it_is_empty() {
    let mut desk = desk();
    let a = org("a");
    desk.opened(&a, 1);
    assert_eq!(flood(&mut desk, "a", 1, open(16), Duration::ZERO), (0, 0));
    desk.comes_first(&a, 77, Duration::MAX);
    assert_eq!(desk.rule(&a, open(16), Duration::ZERO), Some(Ruling::Take(77, Source::Backlog)));
    assert_eq!(desk.rule(&a, open(16), Duration::ZERO), Some(Ruling::Take(0, Source::Work)));
}

#[test]
fn what_is_in_the_backlog_waits_while_the_organization_is_shut() {
    let mut desk = desk();
    let a = org("a");
    desk.opened(&a, 1);
    desk.comes_first(&a, 77, Duration::MAX);
    assert_eq!(flood(&mut desk, "a", 3, SHUT, Duration::ZERO), (0, 3));
    assert_eq!(desk.rule(&a, SHUT, LATE), None);
    assert_eq!(desk.rule(&a, open(1), LATE), Some(Ruling::Take(77, Source::Backlog)));
}

#[test]
fn what_has_waited_long_enough_is_taken_to_be_given_up() {
    let mut desk = desk();
    let a = org("a");
    desk.opened(&a, 1);
    desk.comes_first(&a, 77, LATE);
    assert_eq!(desk.rule(&a, SHUT, LATE.saturating_sub(PATIENCE)), None);
    assert_eq!(desk.rule(&a, SHUT, LATE), Some(Ruling::Take(77, Source::Backlog)));
}

#[test]
fn nothing_is_given_up_for_a_pause() {
    let paused = Standing::Shut { until: Timestamp::MAX, why: Shut::Paused };
    let mut desk = desk();
    let a = org("a");
    desk.opened(&a, 1);
    desk.comes_first(&a, 77, LATE);
    assert_eq!(desk.rule(&a, paused, LATE + PATIENCE), None);
    assert_eq!(desk.rule(&a, open(1), LATE + PATIENCE), Some(Ruling::Take(77, Source::Backlog)));
}

#[test]
fn what_is_shut_is_looked_at_as_it_comes_whatever_its_room() {
    let mut desk = desk();
    flood(&mut desk, "a", 200, SHUT, Duration::ZERO);
    desk.left(&org("a"), Source::Work);
    assert_eq!(rulings(&mut desk, "a", SHUT, PATIENCE), (1, 0));
    assert_eq!(rulings(&mut desk, "a", SHUT, PATIENCE_WHILE_SHUT), (0, 71));
}

#[test]
fn a_backlog_that_others_have_emptied_is_counted() {
    let mut desk = desk();
    let a = org("a");
    desk.opened(&a, 9);
    let from = desk.count_from(&a).unwrap();
    desk.parks(&a);
    desk.parked(&a, Parked::Behind);
    desk.counted(&a, from, 0);
    assert!(desk.count_from(&a).is_some(), "it was counted before the last one came");
    desk.counted(&a, desk.count_from(&a).unwrap(), 0);
    assert_eq!(desk.count_from(&a), None);
    assert_eq!(flood(&mut desk, "a", 1, open(16), Duration::ZERO), (1, 0));
}

#[test]
fn nothing_is_kept_of_an_organization_with_nothing_to_do() {
    let mut desk = desk();
    let a = org("a");
    flood(&mut desk, "a", 1, open(16), Duration::ZERO);
    desk.left(&a, Source::Work);
    desk.opened(&a, 3);
    desk.comes_first(&a, 7, Duration::MAX);
    desk.ended(&a);
    assert!(desk.accounts.is_empty() && desk.held == 0 && desk.waiting == 0);
}

/// What may happen at a desk.
#[derive(Clone, Copy, Debug)]
enum Happening {
    Arrives(usize),
    /// One in hand is settled: done, or (`true`) parked after all.
    Settles(bool),
    /// The backlog brings its first.
    Brings,
    /// Whatever is on its way to the backlog arrives there.
    Lands,
    Passes(u64),
    Stands(Option<usize>),
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        4 => (1..8usize).prop_map(Happening::Arrives),
        4 => prop::bool::weighted(0.1).prop_map(Happening::Settles),
        4 => Just(Happening::Brings),
        3 => Just(Happening::Lands),
        2 => (0..400u64).prop_map(Happening::Passes),
        1 => prop::option::of(1..20usize).prop_map(Happening::Stands),
    ]
}

/// One organization's desk with the broker's backlog beside it.
struct Play {
    desk: Desk<usize>,
    now: Duration,
    standing: Standing,
    next: usize,
    in_hand: Vec<(usize, Source)>,
    landing: VecDeque<usize>,
    backlog: VecDeque<usize>,
    first: Option<usize>,
    taken: Vec<usize>,
    /// Taken up, and put back behind others.
    returned: Vec<usize>,
}

impl Play {
    fn new() -> Self {
        Self {
            desk: Desk::new(20),
            now: Duration::ZERO,
            standing: open(8),
            next: 0,
            in_hand: Vec::new(),
            landing: VecDeque::new(),
            backlog: VecDeque::new(),
            first: None,
            taken: Vec::new(),
            returned: Vec::new(),
        }
    }

    fn goes(&mut self, happening: Happening) {
        let a = org("a");
        match happening {
            Happening::Arrives(count) => (0..count).for_each(|_| {
                self.desk.arrives(&a, self.next, self.now);
                self.next += 1;
            }),
            Happening::Settles(parks) if !self.in_hand.is_empty() => {
                let (event, source) = self.in_hand.remove(0);
                if parks {
                    self.desk.parks(&a);
                    self.landing.push_back(event);
                    self.returned.push(event);
                }
                self.desk.left(&a, source);
            }
            Happening::Brings if self.first.is_none() => {
                if let Some(event) = self.backlog.pop_front() {
                    self.first = Some(event);
                    self.desk.comes_first(&a, event, Duration::MAX);
                }
            }
            Happening::Lands => {
                for event in self.landing.drain(..) {
                    self.backlog.push_back(event);
                    self.desk.parked(&a, Parked::Behind);
                }
            }
            Happening::Passes(milliseconds) => self.now += Duration::from_millis(milliseconds),
            Happening::Stands(room) => self.standing = room.map_or(SHUT, open),
            Happening::Settles(_) | Happening::Brings => {}
        }
        while let Some(ruling) = self.desk.rule(&a, self.standing, self.now) {
            match ruling {
                Ruling::Take(event, source) => {
                    self.in_hand.push((event, source));
                    self.taken.push(event);
                    if source == Source::Backlog {
                        assert_eq!(self.first.take(), Some(event));
                    }
                    if let Standing::Open { room } = self.standing {
                        assert!(self.in_hand.len() <= room, "more in hand than there is room for");
                    }
                }
                Ruling::Park(event) => self.landing.push_back(event),
            }
        }
        let held = self.in_hand.iter().filter(|(_, source)| *source == Source::Work).count();
        assert!(held <= 10, "{held} of a prefetch of 20");
    }

    /// Everything is well from now on; true when all that came was taken up.
    fn finishes(&mut self) -> bool {
        self.standing = open(8);
        for _ in 0..4 * (self.next + self.returned.len() + 1) {
            self.goes(Happening::Passes(200));
            self.goes(Happening::Lands);
            self.goes(Happening::Brings);
            self.goes(Happening::Settles(false));
        }
        self.desk.accounts.is_empty() && self.in_hand.is_empty()
    }
}

proptest! {
    #[test]
    fn nobody_is_overtaken_forgotten_or_taken_beyond_the_room(happenings in prop::collection::vec(happening(), 0..200)) {
        let mut play = Play::new();
        for happening in happenings {
            play.goes(happening);
        }
        prop_assert!(play.finishes(), "someone is left: {:?}", play.desk.undecided());
        // Whoever was sent back after having been taken up comes later, behind others.
        let first_times: Vec<usize> = {
            let mut seen = std::collections::BTreeSet::new();
            play.taken.iter().copied().filter(|event| seen.insert(*event)).collect()
        };
        prop_assert_eq!(first_times, (0..play.next).collect::<Vec<_>>());
        prop_assert_eq!(play.taken.len(), play.next + play.returned.len());
    }
}

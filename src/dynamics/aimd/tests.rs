use proptest::prelude::*;

use super::*;

const MS: Duration = Duration::from_millis(1);

fn ms(count: u64) -> Duration {
    MS * u32::try_from(count).unwrap()
}

/// Uses the whole limit and answers all requests together after `latency`, `rounds` times. Returns the time afterwards.
fn rounds(pace: &mut Aimd, from: Instant, latency: Duration, rounds: u32) -> Instant {
    let mut now = from;
    for _ in 0..rounds {
        let (began, taken) = (now, pace.places(now));
        (0..taken).for_each(|_| pace.began(began));
        now += latency;
        (1..=taken).rev().for_each(|under_way| pace.answered(began, under_way, now));
    }
    now
}

#[test]
fn it_begins_low_and_doubles_while_requests_succeed() {
    let start = Instant::now();
    let mut pace = Aimd::new(52);
    assert_eq!(pace.places(start), 8);
    // In the last half of a round's answers, the limit is less than half used, so it grows by a factor of 1.5 or more a round.
    let now = rounds(&mut pace, start, ms(100), 8);
    assert_eq!(pace.places(now), 52, "within a second of load at 100 ms");
    let now = rounds(&mut pace, now, ms(100), 5);
    assert_eq!(pace.places(now), 52, "never above the maximum");
}

#[test]
fn a_trickle_raises_nothing() {
    let start = Instant::now();
    let mut pace = Aimd::new(52);
    for n in 1..100 {
        pace.began(start + ms(n));
        pace.answered(start + ms(n), 1, start + ms(n + 1));
    }
    assert_eq!(pace.places(start + ms(100)), 8);
}

#[test]
fn a_429_halves_it_at_once_and_only_once_for_all_that_were_under_way() {
    let start = Instant::now();
    let mut pace = Aimd::new(52);
    let now = rounds(&mut pace, start, ms(10), 20);
    for under_way in (1..=52).rev() {
        pace.throttled(now, under_way, now + ms(5));
    }
    assert_eq!(pace.places(now + ms(5)), 26);
    pace.answered(now, 26, now + ms(6));
    assert_eq!(pace.places(now + ms(6)), 26, "an answer to a request sent before the decrease raises nothing");
    pace.throttled(now + ms(6), 26, now + ms(7));
    assert_eq!(pace.places(now + ms(7)), 13, "a request sent after the decrease counts");
    for n in 0..10 {
        pace.throttled(now + ms(10 + 2 * n), 1, now + ms(11 + 2 * n));
    }
    assert_eq!(pace.places(now + ms(100)), 1, "never below one");
}

#[test]
fn after_a_decrease_it_rises_by_one_each_round() {
    let start = Instant::now();
    let mut pace = Aimd::new(52);
    pace.throttled(start, 1, start + MS);
    assert_eq!(pace.places(start + MS), 4);
    for expected in 5..10 {
        let now = start + ms(100 * expected);
        // Every finished request is followed by the next, so the limit is always used.
        (1..expected).for_each(|_| pace.answered(now, 52, now + ms(100)));
        assert_eq!(pace.places(now + ms(100)), usize::try_from(expected).unwrap());
    }
}

#[test]
fn a_time_out_halves_it_too() {
    let start = Instant::now();
    let mut pace = Aimd::new(52);
    pace.began(start);
    pace.unanswered(start, start + MS);
    assert_eq!(pace.places(start + MS), 4);
}

#[test]
fn a_recommendation_is_a_ceiling_until_the_next_one() {
    let start = Instant::now();
    let mut pace = Aimd::new(52);
    pace.advise(5);
    assert_eq!(pace.places(start), 5);
    let now = rounds(&mut pace, start, ms(10), 20);
    assert_eq!(pace.places(now), 5);
    pace.advise(0);
    assert_eq!(pace.places(now), 5, "zero is ignored");
    pace.advise(200);
    let now = rounds(&mut pace, now, ms(10), 20);
    assert_eq!(pace.places(now), 52);
}

#[test]
fn room_counts_the_events_that_get_a_permit_soon() {
    for (latency, least, most) in [
        (Duration::ZERO, 64, 64),
        (ms(20), 64, 64),
        (ms(250), 64, 64),
        (ms(2000), 58, 58),
        (Duration::from_secs(20), 53, 54),
    ] {
        let start = Instant::now();
        let mut pace = Aimd::new(52);
        assert_eq!(pace.room(start), 16, "pessimistic before the first answer");
        let now = rounds(&mut pace, start, latency, 40);
        let room = pace.room(now);
        assert!((least..=most).contains(&room), "{latency:?}: {room}");
    }
}

#[test]
fn a_hanging_environment_gets_a_few_requests_until_it_answers() {
    let start = Instant::now();
    let mut pace = Aimd::new(52);
    let began = rounds(&mut pace, start, MS, 20);
    (0..52).for_each(|_| pace.began(began));
    assert_eq!(pace.room(began + ms(4999)), 64);
    let silent = began + Duration::from_secs(5);
    assert_eq!((pace.room(silent), pace.places(silent)), (4, 4));
    let timed_out = began + Duration::from_secs(60);
    (0..52).for_each(|_| pace.unanswered(began, timed_out));
    let much_later = began + Duration::from_secs(3600);
    assert_eq!(pace.room(much_later), 4, "a time-out is no answer, nor is an idle hour");
    pace.began(much_later);
    pace.answered(much_later, 1, much_later + MS);
    assert_eq!(pace.places(much_later + MS), 26);
    assert_eq!(pace.room(much_later + MS), 64, "it has recovered");
}

#[derive(Clone, Debug)]
enum Happening {
    Begin,
    Answer,
    Fail,
    Throttle,
    TimeOut,
    Advise(usize),
    Pass(u64),
}

fn happenings() -> impl Strategy<Value = Vec<Happening>> {
    let one = prop_oneof![
        8 => Just(Happening::Begin),
        8 => Just(Happening::Answer),
        1 => Just(Happening::Fail),
        1 => Just(Happening::Throttle),
        1 => Just(Happening::TimeOut),
        1 => (0usize..100).prop_map(Happening::Advise),
        4 => (0u64..7000).prop_map(Happening::Pass),
    ];
    prop::collection::vec(one, 0..400)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_stays_within_its_bounds_and_at_most_halves(most in 0usize..80, happenings in happenings()) {
        let mut now = Instant::now();
        let (mut pace, mut under_way, mut advised) = (Aimd::new(most), Vec::new(), usize::MAX);
        for happening in happenings {
            let before = pace.limit;
            match happening {
                Happening::Begin => {
                    pace.began(now);
                    under_way.push(now);
                }
                Happening::Pass(time) => now += ms(time),
                Happening::Advise(hint) => {
                    pace.advise(hint);
                    if hint > 0 {
                        advised = hint;
                    }
                }
                other => {
                    let count = under_way.len();
                    let Some(began) = under_way.pop() else { continue };
                    match other {
                        Happening::Answer => pace.answered(began, count, now),
                        Happening::Fail => pace.failed(began, count, now),
                        Happening::Throttle => pace.throttled(began, count, now),
                        _ => pace.unanswered(began, now),
                    }
                    prop_assert!(pace.limit >= before / 2 && pace.limit <= before + 1);
                }
            }
            prop_assert!(pace.limit >= 1 && pace.limit <= most.max(1).min(advised));
            prop_assert!(pace.places(now) >= 1 && pace.places(now) <= pace.limit);
            prop_assert!(pace.room(now) >= pace.places(now) && pace.room(now) <= most.max(1) + WAITING);
        }
    }

    #[test]
    fn a_burst_of_429_halves_it_once(rounds_before in 0u32..30, burst in 1usize..60) {
        let start = Instant::now();
        let mut pace = Aimd::new(52);
        let sent = rounds(&mut pace, start, ms(10), rounds_before);
        let before = pace.limit;
        for n in 0..burst {
            pace.throttled(sent, burst - n, sent + ms(1) * u32::try_from(n + 1).unwrap());
        }
        prop_assert_eq!(pace.limit, (before / 2).max(1));
    }
}

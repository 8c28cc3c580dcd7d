use proptest::prelude::*;

use super::*;

const MS: Duration = Duration::from_millis(1);

fn ms(count: u64) -> Duration {
    MS * u32::try_from(count).unwrap()
}

/// Uses the whole limit and answers all requests together after `latency`, `rounds` times. Returns the time afterwards.
fn rounds(aimd: &mut Aimd, from: Instant, latency: Duration, rounds: u32) -> Instant {
    let mut now = from;
    for _ in 0..rounds {
        let (began, taken) = (now, aimd.places(now));
        (0..taken).for_each(|_| aimd.began(began));
        now += latency;
        (1..=taken).rev().for_each(|under_way| aimd.answered(began, under_way, now));
    }
    now
}

#[test]
fn it_begins_low_and_doubles_while_requests_succeed() {
    let start = Instant::now();
    let mut aimd = Aimd::new(52);
    assert_eq!(aimd.places(start), 8);
    // In the last half of a round's answers, the limit is less than half used, so it grows by a factor of 1.5 or more a round.
    let now = rounds(&mut aimd, start, ms(100), 8);
    assert_eq!(aimd.places(now), 52, "within a second of load at 100 ms");
    let now = rounds(&mut aimd, now, ms(100), 5);
    assert_eq!(aimd.places(now), 52, "never above the maximum");
}

#[test]
fn a_trickle_raises_nothing() {
    let start = Instant::now();
    let mut aimd = Aimd::new(52);
    for n in 1..100 {
        aimd.began(start + ms(n));
        aimd.answered(start + ms(n), 1, start + ms(n + 1));
    }
    assert_eq!(aimd.places(start + ms(100)), 8);
}

#[test]
fn a_429_halves_it_at_once_and_only_once_for_all_that_were_under_way() {
    let start = Instant::now();
    let mut aimd = Aimd::new(52);
    let now = rounds(&mut aimd, start, ms(10), 20);
    for under_way in (1..=52).rev() {
        aimd.throttled(now, under_way, now + ms(5));
    }
    assert_eq!(aimd.places(now + ms(5)), 26);
    aimd.answered(now, 26, now + ms(6));
    assert_eq!(aimd.places(now + ms(6)), 26, "an answer to a request sent before the decrease raises nothing");
    aimd.throttled(now + ms(6), 26, now + ms(7));
    assert_eq!(aimd.places(now + ms(7)), 13, "a request sent after the decrease counts");
    for n in 0..10 {
        aimd.throttled(now + ms(10 + 2 * n), 1, now + ms(11 + 2 * n));
    }
    assert_eq!(aimd.places(now + ms(100)), 1, "never below one");
}

#[test]
fn after_a_decrease_it_rises_by_one_each_round() {
    let start = Instant::now();
    let mut aimd = Aimd::new(52);
    aimd.throttled(start, 1, start + MS);
    assert_eq!(aimd.places(start + MS), 4);
    for expected in 5..10 {
        let now = start + ms(100 * expected);
        // Every finished request is followed by the next, so the limit is always used.
        (1..expected).for_each(|_| aimd.answered(now, 52, now + ms(100)));
        assert_eq!(aimd.places(now + ms(100)), usize::try_from(expected).unwrap());
    }
}

#[test]
fn a_time_out_halves_it_too() {
    let start = Instant::now();
    let mut aimd = Aimd::new(52);
    aimd.began(start);
    aimd.unanswered(start, start + MS);
    assert_eq!(aimd.places(start + MS), 4);
}

#[test]
fn a_recommendation_is_a_ceiling_until_the_next_one() {
    let start = Instant::now();
    let mut aimd = Aimd::new(52);
    aimd.advise(5);
    assert_eq!(aimd.places(start), 5);
    let now = rounds(&mut aimd, start, ms(10), 20);
    assert_eq!(aimd.places(now), 5);
    aimd.advise(0);
    assert_eq!(aimd.places(now), 5, "zero is ignored");
    aimd.advise(200);
    let now = rounds(&mut aimd, now, ms(10), 20);
    assert_eq!(aimd.places(now), 52);
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
        let mut aimd = Aimd::new(52);
        assert_eq!(aimd.room(start), 16, "pessimistic before the first answer");
        let now = rounds(&mut aimd, start, latency, 40);
        let room = aimd.room(now);
        assert!((least..=most).contains(&room), "{latency:?}: {room}");
    }
}

#[test]
fn a_hanging_environment_gets_a_few_requests_until_it_answers() {
    let start = Instant::now();
    let mut aimd = Aimd::new(52);
    let began = rounds(&mut aimd, start, MS, 20);
    (0..52).for_each(|_| aimd.began(began));
    assert_eq!(aimd.room(began + ms(4999)), 64);
    let silent = began + Duration::from_secs(5);
    assert_eq!((aimd.room(silent), aimd.places(silent)), (4, 4));
    let timed_out = began + Duration::from_secs(60);
    (0..52).for_each(|_| aimd.unanswered(began, timed_out));
    let much_later = began + Duration::from_secs(3600);
    assert_eq!(aimd.room(much_later), 4, "a time-out is no answer, nor is an idle hour");
    aimd.began(much_later);
    aimd.answered(much_later, 1, much_later + MS);
    assert_eq!(aimd.places(much_later + MS), 26);
    assert_eq!(aimd.room(much_later + MS), 64, "it has recovered");
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
        let (mut aimd, mut under_way, mut advised) = (Aimd::new(most), Vec::new(), usize::MAX);
        for happening in happenings {
            let before = aimd.limit;
            match happening {
                Happening::Begin => {
                    aimd.began(now);
                    under_way.push(now);
                }
                Happening::Pass(time) => now += ms(time),
                Happening::Advise(hint) => {
                    aimd.advise(hint);
                    if hint > 0 {
                        advised = hint;
                    }
                }
                other => {
                    let count = under_way.len();
                    let Some(began) = under_way.pop() else { continue };
                    match other {
                        Happening::Answer => aimd.answered(began, count, now),
                        Happening::Fail => aimd.failed(began, count, now),
                        Happening::Throttle => aimd.throttled(began, count, now),
                        _ => aimd.unanswered(began, now),
                    }
                    prop_assert!(aimd.limit >= before / 2 && aimd.limit <= before + 1);
                }
            }
            prop_assert!(aimd.limit >= 1 && aimd.limit <= most.max(1).min(advised));
            prop_assert!(aimd.places(now) >= 1 && aimd.places(now) <= aimd.limit);
            prop_assert!(aimd.room(now) >= aimd.places(now) && aimd.room(now) <= most.max(1) + WAITING);
        }
    }

    #[test]
    fn a_burst_of_429_halves_it_once(rounds_before in 0u32..30, burst in 1usize..60) {
        let start = Instant::now();
        let mut aimd = Aimd::new(52);
        let sent = rounds(&mut aimd, start, ms(10), rounds_before);
        let before = aimd.limit;
        for n in 0..burst {
            aimd.throttled(sent, burst - n, sent + ms(1) * u32::try_from(n + 1).unwrap());
        }
        prop_assert_eq!(aimd.limit, (before / 2).max(1));
    }
}

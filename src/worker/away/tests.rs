use super::*;
use crate::event::{Body, EventKey, Resolution, Verdict};

const SOON: Duration = Duration::from_secs(5);

fn event(id: &str, session: &str) -> Event {
    let resolution =
        Resolution { session_id: session.into(), channel: None, verdict: Verdict::Resolved, incident_id: None };
    Event {
        key: EventKey { organization_id: "org_acme".into(), event_id: id.into() },
        timestamp: None,
        body: Body::Resolution(resolution),
    }
}

#[tokio::test(start_paused = true)]
async fn those_of_a_session_come_back_in_their_order_whoever_is_quicker() {
    let away = Away::default();
    let [first, second, third, other] = [("1", "a"), ("2", "a"), ("3", "a"), ("4", "b")].map(|(id, of)| event(id, of));
    assert_eq!(away.ahead(&first), None);
    away.leaves(&first, SOON);
    assert_eq!(away.ahead(&second), Some(SOON));
    away.leaves(&second, SOON * 2);
    assert_eq!(away.ahead(&third), Some(SOON * 2));
    assert_eq!(away.ahead(&other), None);
    assert_eq!(away.ahead(&second), Some(SOON), "it has a place already");
    assert_eq!(away.ahead(&first), None);
    away.is_back(&first);
    assert_eq!(away.ahead(&second), None);
    away.is_back(&second);
    assert_eq!(away.ahead(&third), None);
    assert_eq!(away.lock().count, 0);
    assert!(away.lock().absent.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_event_that_goes_away_again_keeps_its_place() {
    let away = Away::default();
    let [first, second] = [event("1", "a"), event("2", "a")];
    away.leaves(&first, SOON);
    away.leaves(&second, SOON);
    assert_eq!(away.ahead(&first), None, "it has come, and is put off again");
    away.leaves(&first, SOON * 3);
    assert_eq!(away.ahead(&second), Some(SOON * 3));
    assert_eq!(away.ahead(&first), None);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_one_that_never_comes() {
    let away = Away::default();
    away.leaves(&event("1", "a"), SOON);
    tokio::time::advance(SOON + GRACE).await;
    assert_eq!(away.ahead(&event("2", "a")), None);
    away.is_back(&event("2", "a"));
    assert_eq!(away.lock().count, 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_remembered_is_bounded_and_the_late_go_first() {
    let away = Away::default();
    (0..MOST).for_each(|number| away.leaves(&event("1", &number.to_string()), SOON));
    away.leaves(&event("1", "one too many"), SOON);
    assert_eq!(away.lock().count, MOST);
    assert_eq!(away.ahead(&event("2", "one too many")), None);
    tokio::time::advance(SOON + GRACE).await;
    away.leaves(&event("1", "fits again"), SOON);
    assert_eq!(away.lock().count, 1);
    assert!(away.ahead(&event("2", "fits again")).is_some());
}

#[tokio::test(start_paused = true)]
async fn an_event_in_the_backlog_may_be_back_at_any_time_and_is_waited_for_as_long_as_it_may_take() {
    let away = Away::default();
    away.returns_to_backlog(&event("1", "a"));
    assert_eq!(away.ahead(&event("2", "a")), Some(Duration::ZERO));
    tokio::time::advance(LONGEST_IN_BACKLOG).await;
    assert_eq!(away.ahead(&event("2", "a")), Some(Duration::ZERO));
    tokio::time::advance(GRACE).await;
    assert_eq!(away.ahead(&event("2", "a")), None);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_joins_the_backlog_keeps_its_place_and_gets_none() {
    let away = Away::default();
    let [first, second] = [event("1", "a"), event("2", "a")];
    away.joins_backlog(&second);
    assert_eq!(away.ahead(&first), None, "all of them are in the backlog, in their order");
    away.leaves(&first, SOON);
    away.joins_backlog(&first);
    tokio::time::advance(LONGEST_IN_BACKLOG).await;
    assert_eq!(away.ahead(&second), Some(Duration::ZERO), "it is behind the second one there");
    away.leaves(&second, SOON);
    assert_eq!(away.ahead(&first), None);
}

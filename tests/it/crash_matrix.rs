//! The real process is killed with SIGKILL at every named point between two effects, in both kinds of environment, and
//! restarted. It leaves one of everything in Dynamics, one answer and an empty queue. `make crash` prints the table, and
//! does the same with several workers: another one takes over, and the first one is dead, or was suspended and wakes.
//!
//! The program contains no hooks for this: Dynamics holds the request at which the worker is to die, and a [`FrameProxy`]
//! holds the AMQP frame.

mod points;
mod table;

use std::sync::atomic::{AtomicUsize, Ordering};

use dynamics_simulator::{Profile, RepScript};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

use crate::support::broker::{Broker, eventually};
use crate::support::bus::Outcome;
use crate::support::event::{Event, handoff, resolved};
use crate::support::frame_proxy::FrameProxy;
use crate::support::postgres::{Postgres, new_schema};
use crate::support::rig::{Plan, Rig, rig};
use crate::support::worker::Worker;
use points::{Case, Message, Moment, Operation, POINTS, Point};
use table::{Counts, Row};

/// Only step of the ladder, short so that a retry returns soon.
const DELAY: &str = "200ms";

/// Attempts at a point that is reached only if two things happen within the same second.
const TRIES: usize = 6;
/// Number of points that one rig of several workers goes through, and of rigs at once: most of the time they wait.
const EACH: usize = 10;
const AT_ONCE: usize = 4;

/// Worker that goes on with the event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Successor {
    /// The same one, started again on its store.
    Same,
    /// Another one, which takes over.
    Another,
    /// Another one; the first was suspended, and wakes when the event is over.
    AnotherWhileSuspended,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_point_it_does_everything_once() {
    let all = |profile| column(profile, Successor::Same, &POINTS, rig());
    let (opencx, stock) = tokio::join!(all(Profile::OpenCx), all(Profile::Stock));
    check(&opencx.into_iter().zip(stock).flat_map(<[Row; 2]>::from).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes; `make crash` runs it"]
async fn killed_at_any_point_another_worker_does_everything_once() {
    check(&with_several_workers(Successor::Another).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes; `make crash` runs it"]
async fn suspended_at_any_point_it_adds_nothing_to_what_another_worker_has_done() {
    check(&with_several_workers(Successor::AnotherWhileSuspended).await);
}

fn check(rows: &[Row]) {
    println!("{}", table::of(rows));
    let wrong = rows.iter().filter(|row| row.problem.is_some()).count();
    assert_eq!(wrong, 0, "of {} kills; see the table", rows.len());
}

async fn with_several_workers(successor: Successor) -> Vec<Row> {
    let profiles = [Profile::OpenCx, Profile::Stock];
    let parts = profiles.into_iter().flat_map(|profile| POINTS.chunks(EACH).map(move |points| (profile, points)));
    let columns = stream::iter(parts).map(async |(profile, points)| {
        let schema = new_schema(Postgres::shared()).await;
        let plan = rig().set("store", "kind", "postgres").set("store", "url", schema).set("fleet", "lease", "2s").set(
            "dynamics",
            "request_timeout",
            "3s",
        );
        column(profile, successor, points, plan).await
    });
    let columns: Vec<Vec<Row>> = columns.buffered(AT_ONCE).collect().await;
    columns.into_iter().flatten().collect()
}

/// Runs points in one kind of environment in sequence; the next worker to be killed is the one that has gone on.
async fn column(profile: Profile, successor: Successor, points: &[Point], plan: Plan) -> Vec<Row> {
    let sluice = FrameProxy::before(Broker::shared()).await;
    let rig = plan
        .profile(profile)
        .queue()
        .organize("queue_assignment", "add_to_queue")
        .set("broker", "url", sluice.url())
        .set("retry", "in_process", 1)
        .set("retry", "delays", vec![DELAY.to_owned()])
        .start()
        .await;
    // The other code, 0x800404cf, is the simulator's own default.
    warm_up(&rig).await;
    if successor != Successor::Same {
        // One that is suspended before would not be lost, but too late.
        rig.worker().counts("handoffd_organizations_owned", "", 1).await;
    }
    let mut rows = Vec::new();
    for point in points.iter().copied() {
        rows.push(Killing { rig: &rig, sluice: &sluice, profile, point, successor }.row().await);
    }
    eventually("empty queues", async || rig.bus.unfinished().await == 0).await;
    rows
}

/// Lets the worker learn the environment's requirements and store them durably.
async fn warm_up(rig: &Rig) {
    let event = handoff("email");
    rig.hand_off(&event).await;
    rig.process(&resolved(event.session())).await;
    rig.stop_workers().await;
    rig.start_worker("worker").ready().await;
}

/// Lets a suspended worker go on, and waits until it has joined anew and nothing is in its hands.
async fn wake(worker: &Worker) {
    worker.wake();
    eventually("a worker that joins anew", async || worker.logged("this worker was declared lost; joining again"))
        .await;
    worker.ready().await;
    worker.counts("handoffd_in_flight", "", 0).await;
}

/// Event at its point, and the state before it was published.
struct Reached {
    event: Event,
    before: Counts,
    requests: usize,
}

/// One row of the table, in progress.
struct Killing<'a> {
    rig: &'a Rig,
    sluice: &'a FrameProxy,
    profile: Profile,
    point: Point,
    successor: Successor,
}

impl Killing<'_> {
    async fn row(self) -> Row {
        let Reached { event, before, requests } = self.reach().await;
        let worker = self.rig.worker();
        if self.successor == Successor::AnotherWhileSuspended {
            worker.suspend();
        } else {
            worker.kill9();
        }
        // Ends the connections of the worker, as a network that is gone does in the end.
        self.sluice.open();
        self.mend();
        let copies = self.copies().await;
        let was_closed = self.closings() > before.closings;
        self.reopen();
        self.rig.start_worker(&self.name()).ready().await;
        let mut outcomes = self.outcomes(&event, copies).await;
        if self.successor == Successor::AnotherWhileSuspended {
            self.rig.worker().counts("handoffd_organizations_owned", "", 1).await;
            wake(&worker).await;
            outcomes = self.rig.bus.outcomes(event.id(), outcomes.len()).await;
            worker.kill9();
        }
        let counts = self.counts().await.since(&before);
        let requests = self.rig.crm.operations().len() - requests;
        let problem = self.problem(&counts, &Counts::of(&self.point, was_closed), &outcomes);
        self.rig.crm.environment().clear_faults();
        Row { point: self.point, profile: self.profile, counts, outcomes: outcomes.len(), requests, problem }
    }

    /// Publishes events until one reaches the point. A case whose reopening falls into a later second than the intent
    /// to close it counts as touched, by `modifiedon` alone, and its case resolutions are not read.
    async fn reach(&self) -> Reached {
        for _ in 0..TRIES {
            let event = self.prepare().await;
            let (before, requests) = (self.counts().await, self.rig.crm.operations().len());
            self.shut();
            self.rig.bus.publish(&event).await;
            let mut reached = false;
            eventually(self.point.name, async || {
                reached = self.is_reached().await;
                reached || (self.point.of == Case::LookedOpen && self.is_over(&event).await)
            })
            .await;
            if reached {
                return Reached { event, before, requests };
            }
            self.rig.crm.environment().clear_faults();
        }
        panic!("{} not reached in {TRIES} attempts", self.point.name);
    }

    async fn is_over(&self, event: &Event) -> bool {
        !self.rig.bus.outcomes(event.id(), 0).await.is_empty()
    }

    /// Name of the worker that goes on.
    fn name(&self) -> String {
        static NUMBERS: AtomicUsize = AtomicUsize::new(0);
        match self.successor {
            Successor::Same => "worker".to_owned(),
            _ => format!("worker-{}", NUMBERS.fetch_add(1, Ordering::Relaxed)),
        }
    }

    /// Prepares the preconditions and publishes the event.
    async fn prepare(&self) -> Event {
        let long = json!([{ "sender": "customer", "text": "0123456789 ".repeat(300) }]);
        match self.point.of {
            Case::Incident => handoff("email").with("/data/transcript", long),
            Case::Chat => handoff("web"),
            Case::Retried | Case::Refused => handoff("email"),
            Case::Resolution | Case::Reopened | Case::Looked | Case::LookedOpen => {
                let event = handoff("email");
                self.rig.hand_off(&event).await;
                resolved(event.session())
            }
        }
    }

    fn shut(&self) {
        let crm = &self.rig.crm;
        match self.point.of {
            Case::Retried => {
                crm.fault(&json!({ "operation": "incidents.create", "times": null, "fault": { "status": 503 } }));
            }
            Case::Refused => {
                let answer = json!({ "status": 400, "code": "0x80040203", "message": "Refused by a plug-in." });
                crm.fault(&json!({ "operation": "incidents.create", "times": null, "fault": answer }));
            }
            Case::Looked | Case::LookedOpen => {
                let operation = Operation::Close.name(self.profile);
                if self.point.of == Case::LookedOpen {
                    self.employ(&json!({ "operation": operation, "does": "reopen" }));
                }
                crm.fault(&json!({ "operation": operation, "fault": "reset_after_commit" }));
            }
            _ => {}
        }
        let hang = match self.point.at {
            Moment::Asked(operation) => Some(("hang", operation)),
            Moment::Done(operation) => Some(("hang_after_commit", operation)),
            _ => None,
        };
        if let Some((fault, operation)) = hang {
            let operation = operation.name(self.profile);
            if operation == "token" {
                // The worker already has a token.
                crm.environment().revoke_tokens();
            }
            crm.fault(&json!({ "operation": operation, "fault": fault }));
        }
        if let Some(stop) = self.point.at.stop(&self.rig.files, &self.rig.retry_queue(DELAY)) {
            self.sluice.stop_at(stop);
        }
    }

    /// Waits until a request hangs or a frame is held, with everything before it done.
    async fn is_reached(&self) -> bool {
        match self.point.at {
            Moment::Asked(_) | Moment::Done(_) => {
                let scripts = self.rig.crm.scripts().await;
                scripts.as_array().unwrap().iter().all(|script| script["fired"] != 0)
            }
            _ => self.sluice.is_shut(),
        }
    }

    /// Makes Dynamics accept the requests it failed; permanent refusals stay.
    fn mend(&self) {
        if self.point.of != Case::Refused {
            self.rig.crm.environment().clear_faults();
        }
    }

    /// A rep reopens the case, if it is closed, while no worker runs.
    fn reopen(&self) {
        let incidents = self.rig.crm.incidents();
        if let Some(case) = incidents.last().filter(|case| self.point.of.is_reopened() && case["statecode"] == 1) {
            self.employ(&json!({ "table": "incidents", "key": case["incidentid"], "does": "reopen" }));
        }
    }

    fn employ(&self, script: &Value) {
        let script: RepScript = serde_json::from_value(script.clone()).unwrap();
        self.rig.crm.environment().add_rep_script(script);
    }

    /// Number of copies of the event left by the kill, as the broker counts them.
    async fn copies(&self) -> u32 {
        self.rig.bus.abandoned().await;
        let least = match (self.point.of, self.point.at) {
            (
                _,
                Moment::Unconfirmed(Message::Move | Message::Retry) | Moment::Unacked(Message::Move | Message::Retry),
            ) => 2,
            (_, Moment::Acked(Message::Outcome | Message::DeadLetter)) => 0,
            _ => 1,
        };
        let mut copies = 0;
        eventually("the event to be back", async || {
            copies = self.rig.bus.unfinished().await;
            copies >= least
        })
        .await;
        copies
    }

    /// All outcomes published until each copy is settled.
    async fn outcomes(&self, event: &Event, copies: u32) -> Vec<Outcome> {
        self.rig.bus.outcome(event.id()).await;
        let worker = self.rig.worker();
        let settled = async || worker.metric("handoffd_events_total", "").await >= i64::from(copies);
        eventually("each copy to be settled", settled).await;
        eventually("empty queues", async || self.rig.bus.unfinished().await == 0).await;
        eventually("no event in progress", async || worker.metric("handoffd_in_flight", "").await == 0).await;
        self.rig.bus.outcomes(event.id(), 1).await
    }

    async fn counts(&self) -> Counts {
        let crm = &self.rig.crm;
        let incidents = crm.incidents();
        let mut dead_letters = 0;
        while self.point.of == Case::Refused && self.rig.bus.dead_letters().await > 0 {
            self.rig.bus.dead_letter().await;
            dead_letters += 1;
        }
        Counts {
            contacts: crm.contacts().len(),
            incidents: incidents.len(),
            notes: crm.rows("annotations").len(),
            queue_items: crm.rows("queueitems").len(),
            work_items: crm.rows("oc_liveworkitems").len(),
            closed: incidents.iter().filter(|row| row["statecode"] == 1).count(),
            closings: self.closings(),
            dead_letters,
        }
    }

    /// Number of times a case was closed; Dynamics keeps a case resolution of each.
    fn closings(&self) -> usize {
        self.rig.crm.rows("incidentresolutions").len()
    }

    /// Describes the first deviation from the expected state.
    fn problem(&self, counts: &Counts, expected: &Counts, outcomes: &[Outcome]) -> Option<String> {
        let made = counts == expected;
        let answer = |outcome: &Outcome| match self.point.of {
            // A new failure at another time.
            Case::Refused => json!([outcome.body["event"], outcome.body["event_id"], outcome.body["data"]["reason"]]),
            _ => outcome.body.clone(),
        };
        let answers: Vec<Value> = outcomes.iter().map(answer).collect();
        let status = if self.point.of == Case::Refused { "failed" } else { "succeeded" };
        let ends = outcomes.iter().all(|outcome| outcome.routing_key.ends_with(status));
        let warned = outcomes[0].body["data"]["warnings"] == json!(["close_unconfirmed"]);
        match (made, answers.iter().all(|answer| *answer == answers[0]), ends) {
            (true, true, true) if self.point.is_unconfirmed() && !warned => Some("no warning".to_owned()),
            (true, true, true) => None,
            (false, ..) => Some(format!("expected {expected:?}")),
            (_, false, _) => Some(format!("answers differ: {answers:?}")),
            (.., false) => Some(format!("not {status}: {}", outcomes[0].body)),
        }
    }
}

//! One run of several workers on one broker and one store: they die, stop, are suspended and wake, and the store is away.

use std::sync::Arc;
use std::time::Duration;

use handoffd_engine::ports::bus::Bus;
use tokio::time::{sleep, timeout};

use super::checks;
use super::fleet_member::FleetMember;
use super::fleet_table::{FleetTable, LEASE};
use super::scene::{Diary, ProcessLife, TROUBLE_ENDS};
use super::world::{ACTIVITY_ENDS, LONGEST_RUN, LOOK, Process, Report, STOP, World};

/// Longest time after which the broker ends the connection of a suspended process: two heartbeats.
const HEARTBEATS: Duration = Duration::from_secs(20);
/// Longest suspension, outage, and pause before a process starts again.
const LONGEST_FREEZE: Duration = Duration::from_secs(90);
const LONGEST_OUTAGE: Duration = Duration::from_secs(60);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Process that is a member of the fleet.
struct MemberProcess {
    process: Process,
    member: Arc<FleetMember>,
}

/// Runs a seed.
pub fn run(seed: u64, diary: Diary) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut world = World::new(seed, diary);
        let table = FleetTable::new(world.scene.clone(), world.memory.clone(), world.broker.clone());
        world.owners = Some(table.clone());
        let finished = play(&mut world, table).await;
        let mut broken = checks::all(&world);
        if !finished {
            broken.push(format!("unfinished after {LONGEST_RUN:?}: {:?}", world.broker.unfinished()));
        }
        Report { broken, diary: world.scene.diary() }
    })
}

/// Runs the simulation. Returns true if all events finished in time.
async fn play(world: &mut World, table: Arc<FleetTable>) -> bool {
    world.begin();
    tokio::spawn(outages(table.clone()));
    let count = world.scene.pick(&[2, 2, 3]);
    let mut processes: Vec<MemberProcess> = (0..count).map(|_| start(world, &table)).collect();
    let mut incidents: Vec<Duration> =
        (0..3 + world.scene.below(12)).map(|_| TROUBLE_ENDS.mul_f64(world.scene.random().powi(2))).collect();
    incidents.sort();
    while world.scene.elapsed() < LONGEST_RUN {
        let next = incidents.first().map(|at| at.saturating_sub(world.scene.elapsed()));
        let patience = next.unwrap_or(LOOK).min(LOOK);
        if let Ok(dead) = timeout(patience, death(&processes)).await {
            replace(world, &table, &mut processes, dead).await;
        } else if incidents.first().is_some_and(|at| *at <= world.scene.elapsed()) {
            incidents.remove(0);
            let nth = world.scene.below(processes.len());
            if processes[nth].process.life.is_frozen() {
                continue;
            }
            match world.scene.below(3) {
                0 => freeze(world, &processes[nth].process.life),
                1 => {
                    stop(world, &processes[nth]).await;
                    processes[nth].process.life.end();
                    replace(world, &table, &mut processes, nth).await;
                }
                _ if world.scene.may_crash() => {
                    world.scene.log(|| format!("CRASH of process {} between calls", processes[nth].process.life.id));
                    processes[nth].process.life.end();
                    replace(world, &table, &mut processes, nth).await;
                }
                _ => {}
            }
        }
        world.broker.inspect();
        if world.scene.elapsed() > ACTIVITY_ENDS && world.broker.unfinished() == [0; 5] {
            return true;
        }
    }
    false
}

fn start(world: &World, table: &Arc<FleetTable>) -> MemberProcess {
    let life = ProcessLife::new(world.scene.clone());
    let member = FleetMember::new(table.clone(), life.clone());
    MemberProcess { process: world.start_with(life, member.clone()), member }
}

/// Waits for the death of a process and returns its position.
async fn death(processes: &[MemberProcess]) -> usize {
    let deaths = processes.iter().enumerate().map(|(nth, it)| {
        Box::pin(async move {
            it.process.life.death().await;
            nth
        })
    });
    futures_util::future::select_all(deaths).await.0
}

/// Replaces a process that is dead, while the others go on.
async fn replace(world: &mut World, table: &Arc<FleetTable>, processes: &mut [MemberProcess], nth: usize) {
    world.broker.cut(&processes[nth].process.life, "is gone");
    world.examine().await;
    world.scene.sleep_up_to(LONGEST_PAUSE).await;
    processes[nth] = start(world, table);
}

/// Suspends a process. It stays connected until the broker notices, and wakes some time later.
fn freeze(world: &World, life: &ProcessLife) {
    let (scene, broker, life) = (world.scene.clone(), world.broker.clone(), life.clone());
    scene.log(|| format!("process {} is suspended", life.id));
    life.freeze();
    tokio::spawn(async move {
        let (asleep, noticed) =
            (LONGEST_FREEZE.mul_f64(scene.random()), HEARTBEATS.mul_f64(0.5 + scene.random() / 2.0));
        sleep(asleep.min(noticed)).await;
        if noticed < asleep {
            broker.cut(&life, "has sent no heartbeat");
            sleep(asleep.saturating_sub(noticed)).await;
        }
        scene.log(|| format!("process {} goes on", life.id));
        broker.wake_process(&life);
    });
}

/// Stops a process. What it has begun ends first, or its time is over.
async fn stop(world: &World, it: &MemberProcess) {
    world.scene.log(|| format!("process {} is stopped", it.process.life.id));
    it.process.worker.stop_pausing();
    it.member.begin_leaving();
    it.process.bus.stop().await;
    let run = async {
        while !it.process.run.is_finished() {
            sleep(Duration::from_millis(100)).await;
        }
    };
    let has_ended = tokio::select! {
        biased;
        ended = timeout(STOP, run) => ended.is_ok(),
        () = it.process.life.death() => false,
    };
    if has_ended {
        world.broker.cut(&it.process.life, "has stopped");
        it.member.leave();
    }
}

/// Takes the store away at times. What was only noted may be lost then.
async fn outages(table: Arc<FleetTable>) {
    let scene = table.scene.clone();
    for _ in 0..scene.pick(&[0, 0, 1, 3]) {
        scene.sleep_up_to(TROUBLE_ENDS / 3).await;
        if scene.elapsed() > TROUBLE_ENDS {
            return;
        }
        scene.log(|| "THE STORE IS AWAY".to_owned());
        scene.set_outage(true);
        if scene.happens(0.5) {
            table.memory.crash();
        }
        scene.sleep_up_to(LONGEST_OUTAGE + LEASE).await;
        scene.set_outage(false);
        scene.log(|| "the store is back".to_owned());
    }
}

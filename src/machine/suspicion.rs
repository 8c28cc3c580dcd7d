//! Which event ends the process? Told from how often it was in hand when the process died.

use super::record::Phase;

/// Deaths that say little: everything that was in hand has seen them too. An event that has seen so many is a suspect,
/// and is carried alone from then on. One would make a suspect of every event of a worker that was killed once.
pub const SUSPECT: u32 = 2;
/// Deaths while an event was alone in hand before it is given up. A worker that something else kills every few seconds
/// happens to die within a second of one and the same event's first request one time in four or five; five times
/// running, one time in a thousand. Together with [`SUSPECT`] well below the broker's delivery limit (20).
pub const ALONE: u32 = 5;

/// What the deaths of the process say of an event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Suspicion {
    /// Nothing.
    None,
    /// The process has died with it in hand, among others; how often. It is to be carried alone.
    Suspect(u32),
    /// The process has died again, with this one alone in hand: others first.
    Struck(u32),
    /// So often that it is this event that does it.
    Guilty(u32),
}

impl Suspicion {
    /// Deaths that speak against it.
    pub fn deaths(self) -> u32 {
        match self {
            Self::None => 0,
            Self::Suspect(deaths) | Self::Struck(deaths) | Self::Guilty(deaths) => deaths,
        }
    }
}

/// What is known of an event that is taken up.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Traces<'a> {
    /// Deaths that the message itself tells of, in its header.
    pub told: u32,
    /// How often the broker has delivered this very copy before: for a death, or for a connection that was lost.
    pub deliveries: u64,
    /// How the store knows the event.
    pub phase: Option<&'a Phase>,
    /// This life of the process.
    pub life: u64,
}

/// Judges an event that is taken up.
pub fn suspicion(traces: Traces<'_>) -> Suspicion {
    let crowd = u32::try_from(traces.deliveries).unwrap_or(u32::MAX).min(SUSPECT);
    let deaths = traces.told.max(crowd);
    match traces.phase {
        // Whoever comes through, and whoever is only slow, is no longer on trial.
        Some(Phase::Quarantined { life, deaths: before, .. }) if *life != traces.life => {
            let deaths = deaths.max(*before).saturating_add(1);
            if deaths >= SUSPECT + ALONE { Suspicion::Guilty(deaths) } else { Suspicion::Struck(deaths) }
        }
        _ if deaths >= SUSPECT => Suspicion::Suspect(deaths),
        _ => Suspicion::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFE: u64 = 7;

    fn judged(told: u32, deliveries: u64, phase: Option<&Phase>) -> Suspicion {
        suspicion(Traces { told, deliveries, phase, life: LIFE })
    }

    fn quarantined(life: u64, deaths: u32) -> Phase {
        Phase::Quarantined { life, deaths, waiting: false, silent: 0 }
    }

    #[test]
    fn one_death_says_nothing_and_two_make_a_suspect() {
        for phase in [None, Some(&Phase::InHand), Some(&Phase::Waiting)] {
            assert_eq!(judged(0, 0, phase), Suspicion::None);
            assert_eq!(judged(0, 1, phase), Suspicion::None);
            assert_eq!(judged(0, 2, phase), Suspicion::Suspect(2));
            assert_eq!(judged(0, 19, phase), Suspicion::Suspect(2), "deliveries alone never make it more");
            assert_eq!(judged(4, 0, phase), Suspicion::Suspect(4), "a copy tells what the broker has forgotten");
        }
    }

    #[test]
    fn only_who_was_alone_in_hand_is_struck() {
        let then = quarantined(LIFE - 1, 2);
        assert_eq!(judged(0, 3, Some(&then)), Suspicion::Struck(3));
        let now = quarantined(LIFE, 2);
        assert_eq!(judged(0, 3, Some(&now)), Suspicion::Suspect(2), "this process lives");
    }

    #[test]
    fn it_is_given_up_after_so_many_deaths_alone() {
        let mut deaths = SUSPECT;
        for _ in 1..ALONE {
            let Suspicion::Struck(more) = judged(deaths, 1, Some(&quarantined(1, deaths))) else {
                panic!("struck {deaths} times")
            };
            assert_eq!(more, deaths + 1);
            deaths = more;
        }
        let last = judged(deaths, 1, Some(&quarantined(1, deaths)));
        assert_eq!(last, Suspicion::Guilty(SUSPECT + ALONE));
    }
}

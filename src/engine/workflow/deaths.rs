//! Deaths of the process that an event has seen in flight: the sign of a poison message.

use super::record::Phase;

/// Deaths from which on an event is carried alone. The first one says nothing, everything in flight has seen it; the second one
/// little, for each organization has begun one of those that were redelivered.
const ALONE: u32 = 2;
/// Deaths after which an event is given up: one more may have gone unnoticed (the first, before anything was written down), and
/// contract 5 allows seven. One may have been none: RabbitMQ marks as redelivered what was on its way to a consumer when that was
/// cancelled (`rabbit_fifo_client`), as it is when a prefetch changes.
const POISON: u32 = 6;
/// Deaths while it waited long for an answer after which it is given up. Such a death says little: whoever waits for a Dynamics
/// that hangs sees every kill of the process. The broker's limit for the inbox is the same.
const SILENT: u32 = 20;

/// Deaths that an event has seen in flight.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Deaths {
    /// While it was worked on.
    pub count: u32,
    /// While it waited long for an answer.
    pub silent: u32,
}

impl Deaths {
    /// True when it is to be carried alone.
    pub fn is_alone(self) -> bool {
        self.count >= ALONE
    }

    /// True when it is taken for what ends the process.
    pub fn is_poison(self) -> bool {
        self.count >= POISON || self.silent >= SILENT
    }
}

/// Counts the deaths of an event that is taken up in this `life` of the process; none of one that was not in flight when a process
/// died.
pub fn deaths(redelivered: bool, phase: Option<&Phase>, life: u64) -> Option<Deaths> {
    match phase {
        Some(&Phase::Quarantined { life: then, deaths, waiting, silent }) => {
            // One that was put into a retry queue since comes as a message of its own, and has seen no more.
            let died = u32::from(redelivered && then != life);
            let (count, silent) = if waiting { (deaths, silent + died) } else { (deaths + died, silent) };
            Some(Deaths { count, silent })
        }
        _ => redelivered.then_some(Deaths { count: 1, silent: 0 }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFE: u64 = 7;

    fn quarantined(life: u64, deaths: u32, waiting: bool, silent: u32) -> Phase {
        Phase::Quarantined { life, deaths, waiting, silent }
    }

    #[test]
    fn an_event_that_comes_for_the_first_time_has_seen_none() {
        assert_eq!(deaths(false, None, LIFE), None);
        assert_eq!(deaths(false, Some(&Phase::Waiting), LIFE), None);
        assert_eq!(deaths(true, None, LIFE), Some(Deaths { count: 1, silent: 0 }));
    }

    #[test]
    fn only_a_record_of_another_life_counts_one_more() {
        let of = |life| deaths(true, Some(&quarantined(life, 2, false, 0)), LIFE);
        assert_eq!(of(LIFE), Some(Deaths { count: 2, silent: 0 }), "the connection was lost, this process lives");
        assert_eq!(of(LIFE - 1), Some(Deaths { count: 3, silent: 0 }));
    }

    #[test]
    fn what_has_waited_for_its_organization_keeps_its_count() {
        let seen = deaths(false, Some(&quarantined(LIFE - 1, 3, true, 1)), LIFE);
        assert_eq!(seen, Some(Deaths { count: 3, silent: 1 }));
    }

    #[test]
    fn it_is_given_up_after_seven_deaths_at_most() {
        // The first death leaves no record.
        let (mut died, mut seen) = (1, deaths(true, None, LIFE).unwrap());
        while !seen.is_poison() {
            died += 1;
            seen = deaths(true, Some(&quarantined(LIFE - 1, seen.count, false, seen.silent)), LIFE).unwrap();
        }
        assert!(died <= 7, "{died}");
        assert!(died - ALONE >= 4, "mostly alone, or a neighbour would go with it: {died}");
    }

    #[test]
    fn deaths_while_it_waits_for_an_answer_say_little() {
        let seen = deaths(true, Some(&quarantined(LIFE - 1, 2, true, 18)), LIFE).unwrap();
        assert_eq!(seen, Deaths { count: 2, silent: 19 });
        assert!(!seen.is_poison());
        assert!(deaths(true, Some(&quarantined(LIFE - 1, 2, true, 19)), LIFE).unwrap().is_poison());
    }
}

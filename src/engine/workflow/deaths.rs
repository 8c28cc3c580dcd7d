//! Process deaths that an event has seen in flight: the evidence of a poison message.

use super::record::Phase;

/// Deaths from which an event is processed alone. The first death proves nothing, because every event in flight saw it. The second
/// proves little, because each organization had begun one of the redelivered events.
const ALONE: u32 = 2;
/// Deaths after which an event is given up. One more may have gone unnoticed (the first, before anything was recorded), and
/// contract 5 allows seven. One may be false: RabbitMQ marks messages as redelivered that were in transit to a consumer when it was
/// cancelled (`rabbit_fifo_client`), as happens when a prefetch changes.
const POISON: u32 = 6;
/// Deaths during a long wait for an answer after which an event is given up. Such a death is weak evidence, because an event that
/// waits for a hanging Dynamics sees every kill of the process. The broker's delivery limit of the inbox is the same.
const SILENT: u32 = 20;

/// Process deaths that an event has seen in flight.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Deaths {
    /// Deaths while the event was being processed.
    pub count: u32,
    /// Deaths during a long wait for an answer.
    pub while_waiting: u32,
}

impl Deaths {
    /// Returns true if the event must be processed alone.
    pub fn needs_quarantine(self) -> bool {
        self.count >= ALONE
    }

    /// Returns true if the event is taken for the cause of the deaths.
    pub fn is_poison(self) -> bool {
        self.count >= POISON || self.while_waiting >= SILENT
    }
}

/// Counts the deaths of an event that this `life` of the process takes up; `None` if the event was not in flight when a process
/// died.
pub fn deaths(redelivered: bool, phase: Option<&Phase>, life: u64) -> Option<Deaths> {
    match phase {
        Some(&Phase::Quarantined { life: then, deaths, waiting, silent }) => {
            // An event from a retry queue is a new message, which has seen no further death.
            let died = u32::from(redelivered && then != life);
            let (count, silent) = if waiting { (deaths, silent + died) } else { (deaths + died, silent) };
            Some(Deaths { count, while_waiting: silent })
        }
        _ => redelivered.then_some(Deaths { count: 1, while_waiting: 0 }),
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
    fn a_first_delivery_has_seen_no_deaths() {
        assert_eq!(deaths(false, None, LIFE), None);
        assert_eq!(deaths(false, Some(&Phase::Waiting), LIFE), None);
        assert_eq!(deaths(true, None, LIFE), Some(Deaths { count: 1, while_waiting: 0 }));
    }

    #[test]
    fn only_a_record_of_another_process_adds_a_death() {
        let of = |life| deaths(true, Some(&quarantined(life, 2, false, 0)), LIFE);
        assert_eq!(
            of(LIFE),
            Some(Deaths { count: 2, while_waiting: 0 }),
            "the connection was lost, this process lives"
        );
        assert_eq!(of(LIFE - 1), Some(Deaths { count: 3, while_waiting: 0 }));
    }

    #[test]
    fn an_event_that_waited_for_its_organization_keeps_its_count() {
        let seen = deaths(false, Some(&quarantined(LIFE - 1, 3, true, 1)), LIFE);
        assert_eq!(seen, Some(Deaths { count: 3, while_waiting: 1 }));
    }

    #[test]
    fn an_event_is_given_up_after_at_most_seven_deaths() {
        // The first death leaves no record.
        let (mut died, mut seen) = (1, deaths(true, None, LIFE).unwrap());
        while !seen.is_poison() {
            died += 1;
            seen = deaths(true, Some(&quarantined(LIFE - 1, seen.count, false, seen.while_waiting)), LIFE).unwrap();
        }
        assert!(died <= 7, "{died}");
        assert!(died - ALONE >= 4, "mostly alone, or a neighbour would go with it: {died}");
    }

    #[test]
    fn deaths_while_waiting_for_an_answer_are_counted_apart() {
        let seen = deaths(true, Some(&quarantined(LIFE - 1, 2, true, 18)), LIFE).unwrap();
        assert_eq!(seen, Deaths { count: 2, while_waiting: 19 });
        assert!(!seen.is_poison());
        assert!(deaths(true, Some(&quarantined(LIFE - 1, 2, true, 19)), LIFE).unwrap().is_poison());
    }
}

//! Every state that an event can reach, found by taking every receipt of every step.

use std::collections::{HashMap, HashSet};

use super::late;
use crate::event::Event;
use crate::workflow::samples::receipts;
use crate::workflow::{Decision, Fit, Memory, Progress, Receipt, SessionState, Settings, Step, apply, decide, learn};

/// No event of a test needs more steps in a row; a longer path is a circle.
const LONGEST_PATH: usize = 64;

/// What an event is, and where it begins.
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) event: Event,
    pub(super) settings: Settings,
    pub(super) memory: Memory,
    /// Whether its description is too long.
    pub(super) fit: Fit,
}

/// Where an event stands.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct State {
    pub(super) progress: Progress,
    pub(super) memory: Memory,
}

/// One receipt, from one state to the next.
pub(super) struct Transition {
    pub(super) from: State,
    pub(super) step: Step,
    pub(super) receipt: Receipt,
    pub(super) to: State,
}

/// All that can happen in a case.
#[derive(Default)]
pub(super) struct Graph {
    pub(super) transitions: Vec<Transition>,
    /// States in which nothing is to be done any more, with what is decided there.
    pub(super) ends: Vec<(State, Decision)>,
    longest: HashMap<String, usize>,
}

impl Graph {
    /// Explores a case to its ends.
    ///
    /// # Panics
    /// When `apply` refuses a receipt that `decide` asked for, or a path leads in a circle.
    pub(super) fn of(case: &Case) -> Self {
        let mut graph = Self::default();
        let start = State { progress: Progress::default(), memory: case.memory.clone() };
        graph.explore(case, start, &mut HashSet::new());
        graph
    }

    /// The most steps that a case can take.
    pub(super) fn longest_path(&self) -> usize {
        self.longest.values().copied().max().unwrap_or(0)
    }

    fn explore(&mut self, case: &Case, state: State, path: &mut HashSet<String>) -> usize {
        let name = format!("{state:?}");
        if let Some(longest) = self.longest.get(&name) {
            return *longest;
        }
        assert!(path.insert(name.clone()), "{}: a circle through {state:?}", case.name);
        assert!(path.len() <= LONGEST_PATH, "{}: no end in sight at {state:?}", case.name);
        let mut longest = 0;
        match decide(&case.event, &case.settings, &state.memory, &state.progress, late()) {
            Decision::Call(step) => {
                for receipt in receipts(&step, &case.settings, case.fit) {
                    let to = take(state.clone(), &receipt);
                    longest = longest.max(1 + self.explore(case, to.clone(), path));
                    self.transitions.push(Transition { from: state.clone(), step: step.clone(), receipt, to });
                }
            }
            end => self.ends.push((state, end)),
        }
        path.remove(&name);
        self.longest.insert(name, longest);
        longest
    }
}

/// Takes a receipt as the worker does: into the progress and into the memory.
pub(super) fn take(state: State, receipt: &Receipt) -> State {
    let progress = apply(state.progress, receipt).unwrap_or_else(|illegal| panic!("{illegal}"));
    let mut memory = Memory { learned: learn(state.memory.learned, receipt), ..state.memory };
    match receipt {
        Receipt::ContactFound(id) | Receipt::ContactCreated(id) => memory.contact = Some(*id),
        Receipt::ContactGone => memory.contact = None,
        Receipt::IncidentClosed(closed) => {
            for entry in &mut memory.session {
                if let SessionState::Open { incident, ticket_number } = &entry.state
                    && incident == closed
                {
                    entry.state = SessionState::Closed { incident: *incident, ticket_number: ticket_number.clone() };
                }
            }
        }
        _ => {}
    }
    State { progress, memory }
}

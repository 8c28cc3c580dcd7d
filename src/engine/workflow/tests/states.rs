//! Graph of every state that an event can reach by every receipt of every step.

use std::collections::{HashMap, HashSet};

use super::late;
use crate::event::Event;
use crate::workflow::samples::receipts;
use crate::workflow::{Decision, Fit, Memory, Progress, Receipt, SessionState, Settings, Step, apply, decide, learn};

/// Most steps of any event in these tests; a longer path is a cycle.
const LONGEST_PATH: usize = 64;

/// Event and its starting point.
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) event: Event,
    pub(super) settings: Settings,
    pub(super) memory: Memory,
    /// Fit of the description.
    pub(super) fit: Fit,
}

/// State of an event.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct State {
    pub(super) progress: Progress,
    pub(super) memory: Memory,
}

/// Transition from one state to the next by a receipt.
pub(super) struct Transition {
    pub(super) from: State,
    pub(super) step: Step,
    pub(super) receipt: Receipt,
    pub(super) to: State,
}

/// All states and transitions of a case.
#[derive(Default)]
pub(super) struct Graph {
    pub(super) transitions: Vec<Transition>,
    /// States without a next step, each with its decision.
    pub(super) ends: Vec<(State, Decision)>,
    longest: HashMap<String, usize>,
}

impl Graph {
    /// Explores a case to its ends.
    ///
    /// # Panics
    /// If `apply` refuses a receipt that `decide` asked for, or a path leads into a cycle.
    pub(super) fn of(case: &Case) -> Self {
        let mut graph = Self::default();
        let start = State { progress: Progress::default(), memory: case.memory.clone() };
        graph.explore(case, start, &mut HashSet::new());
        graph
    }

    /// Returns the number of steps on the longest path.
    pub(super) fn longest_path(&self) -> usize {
        self.longest.values().copied().max().unwrap_or(0)
    }

    fn explore(&mut self, case: &Case, state: State, path: &mut HashSet<String>) -> usize {
        let name = format!("{state:?}");
        if let Some(longest) = self.longest.get(&name) {
            return *longest;
        }
        assert!(path.insert(name.clone()), "{}: a cycle through {state:?}", case.name);
        assert!(path.len() <= LONGEST_PATH, "{}: the path is too long at {state:?}", case.name);
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

/// Applies a receipt as the worker does, to the progress and to the memory.
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

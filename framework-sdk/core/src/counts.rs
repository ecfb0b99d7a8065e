//! What a framework has done, as numbers.
//!
//! Invariants
//! - Every offer that was received has ended in one way or is in hand ([`Counts::offers_are_accounted_for`]).

use lonja_model::scheduler::Call;

/// What a framework has done since it began, and what it has in hand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Subscriptions that stood.
    pub subscriptions: u64,
    /// Offers that came, save those that came while the framework was ending.
    pub offers_received: u64,
    /// Those that a plan used.
    pub offers_used: u64,
    /// Those that were declined, by a plan or because none used them.
    pub offers_declined: u64,
    /// Those that were held until their time was up, and then declined.
    pub offers_expired: u64,
    /// Those that the master took back.
    pub offers_rescinded: u64,
    /// Those that ended with their subscription, or were replaced.
    pub offers_void: u64,
    /// Those that are held now.
    pub offers_in_hand: u64,
    /// Tasks that plans have launched.
    pub tasks_launched: u64,
    /// Tasks that are alive now, as far as is known.
    pub live_tasks: u64,
    /// Updates of tasks that came, duplicates included.
    pub updates: u64,
    /// Updates of operations that came, duplicates included.
    pub operation_updates: u64,
    /// Updates that had been shown to the scheduler before, and were not shown again.
    pub duplicates: u64,
    /// Acknowledgements sent, of tasks' updates and operations'.
    pub acknowledgements: u64,
    /// Calls sent that ask where tasks or operations stand.
    pub reconciliations: u64,
    /// Kills sent, repetitions included.
    pub kills: u64,
    /// Calls sent, of any kind.
    pub calls: u64,
}

impl Counts {
    /// Errors: an offer is counted as neither ended nor in hand, or as both.
    pub fn offers_are_accounted_for(&self) -> Result<(), String> {
        let ended = self.offers_used
            + self.offers_declined
            + self.offers_expired
            + self.offers_rescinded
            + self.offers_void;
        if self.offers_received == ended + self.offers_in_hand {
            return Ok(());
        }
        Err(format!("INV-3: the offers do not add up: {self:?}"))
    }

    /// What `self` and `later` come to together, where `later` is of a framework that took over from this one.
    #[must_use]
    pub fn and_then(&self, later: &Self) -> Self {
        Self {
            subscriptions: self.subscriptions + later.subscriptions,
            offers_received: self.offers_received + later.offers_received,
            offers_used: self.offers_used + later.offers_used,
            offers_declined: self.offers_declined + later.offers_declined,
            offers_expired: self.offers_expired + later.offers_expired,
            offers_rescinded: self.offers_rescinded + later.offers_rescinded,
            // Who took over has none of them.
            offers_void: self.offers_void + self.offers_in_hand + later.offers_void,
            offers_in_hand: later.offers_in_hand,
            tasks_launched: self.tasks_launched + later.tasks_launched,
            live_tasks: later.live_tasks,
            updates: self.updates + later.updates,
            operation_updates: self.operation_updates + later.operation_updates,
            duplicates: self.duplicates + later.duplicates,
            acknowledgements: self.acknowledgements + later.acknowledgements,
            reconciliations: self.reconciliations + later.reconciliations,
            kills: self.kills + later.kills,
            calls: self.calls + later.calls,
        }
    }

    /// A call goes out.
    pub(crate) fn call(&mut self, call: &Call) {
        self.calls += 1;
        let acknowledges = matches!(call, Call::Acknowledge { .. } | Call::AcknowledgeOperation { .. });
        self.acknowledgements += u64::from(acknowledges);
        let reconciles = matches!(call, Call::Reconcile { .. } | Call::ReconcileOperations { .. });
        self.reconciliations += u64::from(reconciles);
        self.kills += u64::from(matches!(call, Call::Kill { .. }));
    }
}

/// A length as a count.
pub(crate) fn as_count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

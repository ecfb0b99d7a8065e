//! Who may act as the one master.
//!
//! A single master leads because it holds the lock of its data dir: nobody else can open the same
//! registry, on this host, while it lives, and the kernel gives the lock up when it dies. There is
//! no term to count and no lease to lose.
//!
//! Several masters will campaign in etcd (`docs/design.md` D7, `docs/invariants.md` INV-12). That
//! leadership has a term and can be lost while the process lives, so it is another variant here, and
//! whoever matches on this enum must already say what to do with variants to come.

/// By what right this process acts on its store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Leadership {
    /// It holds the lock of the data dir ([`crate::RedbStore::open`]), or the only copy of the data
    /// ([`crate::MemoryStore`]). Ends with the store.
    Alone,
}

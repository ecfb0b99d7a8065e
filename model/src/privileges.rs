//! What a program may ask of the kernel: capabilities and limits of each process.
//!
//! Invariants
//! - A capability that exists has a name; a set never holds a number that Linux does not know.
//! - A soft limit is never above its hard one.
//!
//! Source: capabilities(7), setrlimit(2); Mesos v1 `CapabilityInfo` and `RLimitInfo`.

use std::fmt;
use std::str::FromStr;

/// Names of capabilities by their numbers, without `CAP_`.
const CAPABILITIES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// One of the powers that Linux divides root's into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Capability(u8);

impl Capability {
    /// Changing owners of files.
    pub const CHOWN: Self = Self(0);
    /// Passing by permissions of files.
    pub const DAC_OVERRIDE: Self = Self(1);
    /// Passing by permissions for reading, and opening files by handle.
    pub const DAC_READ_SEARCH: Self = Self(2);
    /// Acting on files as their owner.
    pub const FOWNER: Self = Self(3);
    /// Keeping set-id bits.
    pub const FSETID: Self = Self(4);
    /// Signalling processes of others.
    pub const KILL: Self = Self(5);
    /// Changing groups.
    pub const SETGID: Self = Self(6);
    /// Changing users.
    pub const SETUID: Self = Self(7);
    /// Changing capabilities within the bounding set.
    pub const SETPCAP: Self = Self(8);
    /// Ports below 1024.
    pub const NET_BIND_SERVICE: Self = Self(10);
    /// Addresses, routes, filters.
    pub const NET_ADMIN: Self = Self(12);
    /// Raw and packet sockets.
    pub const NET_RAW: Self = Self(13);
    /// Kernel modules.
    pub const SYS_MODULE: Self = Self(16);
    /// Ports and memory of the machine.
    pub const SYS_RAWIO: Self = Self(17);
    /// chroot(2).
    pub const SYS_CHROOT: Self = Self(18);
    /// Tracing processes of others.
    pub const SYS_PTRACE: Self = Self(19);
    /// Process accounting.
    pub const SYS_PACCT: Self = Self(20);
    /// Mounting, and much else.
    pub const SYS_ADMIN: Self = Self(21);
    /// Rebooting.
    pub const SYS_BOOT: Self = Self(22);
    /// Higher priorities.
    pub const SYS_NICE: Self = Self(23);
    /// Going beyond limits.
    pub const SYS_RESOURCE: Self = Self(24);
    /// Setting the clock.
    pub const SYS_TIME: Self = Self(25);
    /// Hanging up terminals.
    pub const SYS_TTY_CONFIG: Self = Self(26);
    /// Making devices.
    pub const MKNOD: Self = Self(27);
    /// Writing the audit log.
    pub const AUDIT_WRITE: Self = Self(29);
    /// Giving files capabilities.
    pub const SETFCAP: Self = Self(31);
    /// Reading the kernel's log.
    pub const SYSLOG: Self = Self(34);
    /// Watching performance.
    pub const PERFMON: Self = Self(38);
    /// Loading programs into the kernel.
    pub const BPF: Self = Self(39);

    /// The capability with this number of the kernel's, if it has a name.
    pub fn from_number(number: u8) -> Option<Self> {
        (usize::from(number) < CAPABILITIES.len()).then_some(Self(number))
    }

    /// Its number in the kernel.
    pub fn number(self) -> u8 {
        self.0
    }

    /// Its name without `CAP_`, such as `NET_ADMIN`.
    pub fn name(self) -> &'static str {
        CAPABILITIES.get(usize::from(self.0)).copied().unwrap_or("UNKNOWN")
    }

    /// All there are.
    pub fn all() -> impl Iterator<Item = Self> {
        (0_u8..).take(CAPABILITIES.len()).map(Self)
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A name that no capability has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no capability; use a name of capabilities(7) such as NET_ADMIN")]
pub struct UnknownCapability(String);

impl FromStr for Capability {
    type Err = UnknownCapability;

    /// Reads a name, with or without `CAP_`, in any case.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let name = text.trim().to_ascii_uppercase();
        let name = name.strip_prefix("CAP_").unwrap_or(&name);
        Self::all()
            .find(|capability| capability.name() == name)
            .ok_or_else(|| UnknownCapability(text.chars().take(64).collect()))
    }
}

/// Some capabilities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct CapabilitySet(u64);

impl CapabilitySet {
    /// None.
    pub const EMPTY: Self = Self(0);

    /// These.
    pub const fn of(capabilities: &[Capability]) -> Self {
        let mut bits = 0;
        let mut index = 0;
        while index < capabilities.len() {
            bits |= 1 << capabilities[index].0;
            index += 1;
        }
        Self(bits)
    }

    /// The set with these bits of the kernel's; numbers without a name are left out.
    pub fn from_bits(bits: u64) -> Self {
        Self(bits & Self::full().0)
    }

    /// All there are.
    pub fn full() -> Self {
        Capability::all().collect()
    }

    /// Bit n stands for capability n.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Whether it holds none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether it holds this one.
    pub fn contains(self, capability: Capability) -> bool {
        self.0 & (1 << capability.0) != 0
    }

    /// What either holds.
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What both hold.
    pub fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// What `self` holds and `other` does not.
    pub fn difference(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Its members by number.
    pub fn iter(self) -> impl Iterator<Item = Capability> {
        Capability::all().filter(move |capability| self.contains(*capability))
    }
}

impl FromIterator<Capability> for CapabilitySet {
    fn from_iter<I: IntoIterator<Item = Capability>>(capabilities: I) -> Self {
        Self(capabilities.into_iter().fold(0, |bits, capability| bits | 1 << capability.0))
    }
}

impl fmt::Display for CapabilitySet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return formatter.write_str("none");
        }
        for (index, capability) in self.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(formatter, "{comma}{capability}")?;
        }
        Ok(())
    }
}

/// Names of the limits in the order of Mesos' `RLimitInfo.RLimit.Type`, from 1, with the kernel's numbers.
const RLIMITS: [(&str, u8); 16] = [
    ("AS", 9),
    ("CORE", 4),
    ("CPU", 0),
    ("DATA", 2),
    ("FSIZE", 1),
    ("LOCKS", 10),
    ("MEMLOCK", 8),
    ("MSGQUEUE", 12),
    ("NICE", 13),
    ("NOFILE", 7),
    ("NPROC", 6),
    ("RSS", 5),
    ("RTPRIO", 14),
    ("RTTIME", 15),
    ("SIGPENDING", 11),
    ("STACK", 3),
];

/// Which limit of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RlimitKind(u8);

impl RlimitKind {
    /// Size of core dumps, bytes.
    pub const CORE: Self = Self(2);
    /// Locked memory, bytes.
    pub const MEMLOCK: Self = Self(7);
    /// Open files.
    pub const NOFILE: Self = Self(10);
    /// Processes of the user.
    pub const NPROC: Self = Self(11);

    /// All there are.
    pub fn all() -> impl Iterator<Item = Self> {
        (1_u8..).take(RLIMITS.len()).map(Self)
    }

    /// The limit with this number in Mesos' `RLimitInfo.RLimit.Type`.
    pub fn from_wire(number: i32) -> Option<Self> {
        Self::all().find(|kind| i32::from(kind.0) == number)
    }

    /// The limit with this number in the kernel (on x86 and ARM).
    pub fn from_kernel(number: u8) -> Option<Self> {
        Self::all().find(|kind| kind.kernel() == number)
    }

    /// Its number in Mesos' `RLimitInfo.RLimit.Type`.
    pub fn wire(self) -> i32 {
        i32::from(self.0)
    }

    /// Its number in the kernel (on x86 and ARM).
    pub fn kernel(self) -> u8 {
        self.row().1
    }

    /// Its name without `RLIMIT_`, such as `NOFILE`.
    pub fn name(self) -> &'static str {
        self.row().0
    }

    fn row(self) -> (&'static str, u8) {
        RLIMITS.get(usize::from(self.0).wrapping_sub(1)).copied().unwrap_or(("UNKNOWN", u8::MAX))
    }
}

impl fmt::Display for RlimitKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// One limit that the kernel holds each process to; `None`: unlimited. Units as setrlimit(2) has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rlimit {
    kind: RlimitKind,
    soft: Option<u64>,
    hard: Option<u64>,
}

/// Why a text or a pair of numbers is no limit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRlimit {
    /// No limit has this name.
    #[error("'{0}' is no limit of setrlimit(2); use a name such as NOFILE")]
    Name(String),
    /// Not a number.
    #[error("'{0}' is no amount; use a number or 'unlimited'")]
    Amount(String),
    /// Not of the form `NAME=SOFT[:HARD]`.
    #[error("'{0}' is not of the form NAME=SOFT[:HARD], such as NOFILE=1024:4096")]
    Form(String),
    /// The soft limit is larger.
    #[error("the soft limit of {0} is above its hard one")]
    SoftAboveHard(RlimitKind),
}

impl Rlimit {
    /// A limit; a soft one above the hard one is refused, as the kernel does.
    pub fn new(kind: RlimitKind, soft: Option<u64>, hard: Option<u64>) -> Result<Self, InvalidRlimit> {
        if soft.unwrap_or(u64::MAX) > hard.unwrap_or(u64::MAX) {
            return Err(InvalidRlimit::SoftAboveHard(kind));
        }
        Ok(Self { kind, soft, hard })
    }

    /// Which limit.
    pub fn kind(&self) -> RlimitKind {
        self.kind
    }

    /// What a process starts with, and may raise to the hard limit.
    pub fn soft(&self) -> Option<u64> {
        self.soft
    }

    /// What no process may go beyond.
    pub fn hard(&self) -> Option<u64> {
        self.hard
    }
}

impl FromStr for Rlimit {
    type Err = InvalidRlimit;

    /// Reads `NAME=SOFT[:HARD]`, the name with or without `RLIMIT_`, amounts as numbers or `unlimited`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let cut = |text: &str| text.chars().take(64).collect::<String>();
        let (name, amounts) = text.split_once('=').ok_or_else(|| InvalidRlimit::Form(cut(text)))?;
        let upper = name.trim().to_ascii_uppercase();
        let upper = upper.strip_prefix("RLIMIT_").unwrap_or(&upper);
        let kind = RlimitKind::all().find(|kind| kind.name() == upper);
        let kind = kind.ok_or_else(|| InvalidRlimit::Name(cut(name)))?;
        let amount = |text: &str| match text.trim() {
            "unlimited" => Ok(None),
            number => number.parse().map(Some).map_err(|_| InvalidRlimit::Amount(cut(text))),
        };
        let (soft, hard) = amounts.split_once(':').unwrap_or((amounts, amounts));
        Self::new(kind, amount(soft)?, amount(hard)?)
    }
}

/// What a program may ask of the kernel beyond, or short of, the agent's default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Privileges {
    /// What no process of it can ever hold more than; `None`: the agent's default.
    pub bounding: Option<CapabilitySet>,
    /// What its first process holds, whatever its user; `None`: the agent's default.
    pub effective: Option<CapabilitySet>,
    /// Limits of each process, at most one of a kind.
    pub rlimits: Vec<Rlimit>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capability_is_read_by_either_name() {
        assert_eq!("cap_net_raw".parse(), Ok(Capability::NET_RAW));
        assert_eq!("BPF".parse(), Ok(Capability::BPF));
        assert!("CAP_EVERYTHING".parse::<Capability>().is_err());
        assert_eq!(Capability::from_number(41), None);
    }

    #[test]
    fn a_set_holds_what_has_a_name() {
        let all = CapabilitySet::from_bits(u64::MAX);
        assert_eq!(all.bits(), (1 << 41) - 1);
        let two = CapabilitySet::of(&[Capability::CHOWN, Capability::BPF]);
        assert_eq!(two.to_string(), "CHOWN, BPF");
        assert_eq!(all.difference(two).iter().count(), 39);
    }

    #[test]
    fn a_limit_is_read_as_name_soft_and_hard() {
        let limit: Rlimit = "nofile=1024:4096".parse().unwrap();
        assert_eq!((limit.kind(), limit.soft(), limit.hard()), (RlimitKind::NOFILE, Some(1024), Some(4096)));
        let limit: Rlimit = "RLIMIT_CORE=unlimited".parse().unwrap();
        assert_eq!((limit.soft(), limit.hard()), (None, None));
        assert_eq!("NOFILE=2:1".parse::<Rlimit>(), Err(InvalidRlimit::SoftAboveHard(RlimitKind::NOFILE)));
        assert!("NOFILE".parse::<Rlimit>().is_err());
        assert!("FILES=1".parse::<Rlimit>().is_err());
        assert!("NOFILE=many".parse::<Rlimit>().is_err());
    }

    #[test]
    fn numbers_of_limits_are_those_of_their_sources() {
        assert_eq!((RlimitKind::NOFILE.kernel(), RlimitKind::NOFILE.wire()), (7, 10));
        assert_eq!(RlimitKind::from_wire(17), None);
        for kind in RlimitKind::all() {
            assert_eq!(RlimitKind::from_wire(kind.wire()), Some(kind));
            assert_eq!(RlimitKind::from_kernel(kind.kernel()), Some(kind));
        }
    }
}

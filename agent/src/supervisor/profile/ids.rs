//! Ranges of the host's user ids, one for each container that has users of its own.
//!
//! A range is a lock on one byte of a file that every agent of the host uses. Supervisor and init hold it by the same
//! open file, which the kernel releases when the last of them is gone: no two live containers have a user in common,
//! whichever agents they belong to and however these end, and none is ever lost.
//!
//! The ranges are those that `/etc/subuid` and `/etc/subgid` give to the user `lonja`, if both say the same; otherwise
//! 4,080 from 1,879,048,192 on, above what others use by default.
//!
//! Source: subuid(5); fcntl(2), open file description locks; systemd `UIDS-GIDS`.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use super::super::report::{Failure, FailureReason};
use super::super::sys;

/// Users and groups of one container.
pub(in super::super) const IDS: u32 = 65_536;

/// Where the host's agents keep what they share. It is empty after a restart of the host, as are the containers.
const SHARED: &str = "/run/lonja";

/// Ranges where the operator gave none: the last one ends below what is reserved at 0x7fff_0000.
const USUAL: Ranges = Ranges { first: 0x7000_0000, count: 4_080 };

/// Ids of the host that containers may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ranges {
    first: u32,
    count: u32,
}

/// One container's ids, for as long as its lock is held.
#[derive(Debug)]
pub(in super::super) struct IdRange {
    /// The host's id of user and group 0 inside.
    pub(in super::super) first: u32,
    /// Keeps others from using it.
    pub(in super::super) lock: File,
}

impl IdRange {
    /// Takes a free range. Errors: all are taken, or the file cannot be used.
    pub(in super::super) fn take() -> Result<Self, Failure> {
        let ranges = Ranges::of_host();
        let refuse = |error: &io::Error| {
            let what = format!("cannot take user ids for the container by '{SHARED}/user-ids'");
            Failure::from_error(FailureReason::Namespace, what, error)
        };
        fs::DirBuilder::new().recursive(true).mode(0o755).create(SHARED).map_err(|error| refuse(&error))?;
        Self::take_from(&Path::new(SHARED).join("user-ids"), ranges)
            .map_err(|error| refuse(&error))?
            .ok_or_else(|| {
                let count = ranges.count;
                let message = format!(
                    "all {count} ranges of user ids are in use by containers of this host; give the user 'lonja' \
                     more of them in /etc/subuid and /etc/subgid, or start the agent with --no-userns"
                );
                Failure::new(FailureReason::Namespace, message)
            })
    }

    fn take_from(path: &Path, ranges: Ranges) -> io::Result<Option<Self>> {
        let mut options = fs::OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let lock = options.custom_flags(libc::O_NOFOLLOW).open(path)?;
        // Neighbours begin at different places, so that most find a free one at once.
        let begin = std::process::id() % ranges.count.max(1);
        for step in 0..ranges.count {
            let slot = (begin + step) % ranges.count;
            if sys::lock_byte(lock.as_fd(), slot)? {
                return Ok(Some(Self { first: ranges.first + slot * IDS, lock }));
            }
        }
        Ok(None)
    }
}

/// Whose a user id of the host is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum UserOf {
    /// One container's, which has the range of ids that begins here, each of which it may take on.
    Container(u32),
    /// The host's: this one, which several containers may share.
    Host(u32),
}

/// Tells whose user ids are, by the ranges of this host.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UserIds(Ranges);

impl UserIds {
    /// By the ranges that this host has now.
    pub(crate) fn of_host() -> Self {
        Self(Ranges::of_host())
    }

    /// Whose `uid` is.
    pub(crate) fn user_of(self, uid: u32) -> UserOf {
        let Ranges { first, count } = self.0;
        match uid.checked_sub(first).map(|offset| offset / IDS) {
            Some(slot) if slot < count => UserOf::Container(first + slot * IDS),
            Some(_) | None => UserOf::Host(uid),
        }
    }
}

impl Ranges {
    fn of_host() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        Self::given(&read("/etc/subuid"), &read("/etc/subgid")).unwrap_or(USUAL)
    }

    /// What both files give to `lonja`, if that is enough for one container.
    fn given(users: &str, groups: &str) -> Option<Self> {
        let entry = |text: &str| {
            text.lines().find_map(|line| {
                let (first, count) = line.strip_prefix("lonja:")?.split_once(':')?;
                Some((first.trim().parse::<u32>().ok()?, count.trim().parse::<u32>().ok()?))
            })
        };
        let (first, ids) = entry(users).filter(|range| entry(groups) == Some(*range))?;
        first.checked_add(ids)?;
        let count = ids / IDS;
        (count > 0 && first > 0).then_some(Self { first, count })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_ids_of_one_range_are_one_containers() {
        let ids = UserIds(Ranges { first: 100_000, count: 2 });
        assert_eq!(ids.user_of(100_000), UserOf::Container(100_000));
        assert_eq!(ids.user_of(165_535), UserOf::Container(100_000));
        assert_eq!(ids.user_of(165_536), UserOf::Container(165_536));
        assert_eq!(ids.user_of(99_999), UserOf::Host(99_999));
        assert_eq!(ids.user_of(231_072), UserOf::Host(231_072));
    }

    #[test]
    fn no_two_holders_have_an_id_in_common() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("user-ids");
        let ranges = Ranges { first: IDS, count: 3 };
        let take = || IdRange::take_from(&path, ranges).unwrap();

        let held: Vec<IdRange> = (0..3).filter_map(|_| take()).collect();
        let mut firsts: Vec<u32> = held.iter().map(|range| range.first).collect();
        firsts.sort_unstable();
        assert_eq!(firsts, [IDS, 2 * IDS, 3 * IDS]);
        assert!(take().is_none());

        drop(held);
        assert!(take().is_some());
    }

    #[test]
    fn the_operators_ranges_count_if_both_files_say_the_same() {
        let line = "root:1:2\nlonja:200000:131072\n";
        assert_eq!(Ranges::given(line, line), Some(Ranges { first: 200_000, count: 2 }));
        assert_eq!(Ranges::given(line, ""), None);
        assert_eq!(Ranges::given("lonja:100:65535", "lonja:100:65535"), None);
        assert_eq!(Ranges::given("lonja:4294967295:65536", "lonja:4294967295:65536"), None);
    }

    #[test]
    fn the_usual_ranges_stay_below_reserved_ids() {
        assert_eq!(USUAL.first + USUAL.count * IDS, 0x7ff0_0000);
    }
}

//! The user a task runs as.

use std::ffi::CString;

use nix::unistd::{Gid, Uid, User, getgrouplist};
use serde::{Deserialize, Serialize};

use super::report::{Failure, FailureReason};

/// A user as the kernel needs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TaskUser {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) groups: Vec<u32>,
}

/// Looks the user up by name or number.
///
/// `Ok(None)`: nothing is to be changed. Errors: no such user, or the agent may not become it.
pub(crate) fn resolve(wanted: Option<&str>) -> Result<Option<TaskUser>, Failure> {
    let Some(wanted) = wanted else {
        return Ok(None);
    };
    let refuse = |message: String| Failure::new(FailureReason::User, message);
    let user = find(wanted).map_err(|error| refuse(format!("cannot look up user '{wanted}': {error}")))?;
    let Some(user) = user else {
        return Err(refuse(format!("user '{}' does not exist on this host", wanted.escape_debug())));
    };
    let own = Uid::effective();
    if !own.is_root() {
        if user.uid == own {
            return Ok(None);
        }
        return Err(refuse(format!(
            "cannot become user '{wanted}': the agent does not run as root, but as uid {own}"
        )));
    }
    let name = CString::new(user.name.as_str()).map_err(|_| refuse("user name with NUL".into()))?;
    let groups = getgrouplist(&name, user.gid)
        .map_err(|error| refuse(format!("cannot list the groups of user '{wanted}': {error}")))?;
    Ok(Some(TaskUser {
        uid: user.uid.as_raw(),
        gid: user.gid.as_raw(),
        groups: groups.into_iter().map(Gid::as_raw).collect(),
    }))
}

/// The user of this name or number; a number goes before a name of digits.
pub(crate) fn find(wanted: &str) -> nix::Result<Option<User>> {
    match wanted.parse::<u32>() {
        Ok(uid) => User::from_uid(Uid::from_raw(uid)),
        Err(_) => User::from_name(wanted),
    }
}

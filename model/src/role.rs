//! Roles: who shares the cluster.
//!
//! A role is a path such as `eng/web`. Frameworks subscribe with roles; offers, quota, weights and
//! reservations belong to roles.
//!
//! Invariants
//! - Not empty; no component is empty, `.`, `..` or `*`; none begins with `-`; no white space, no
//!   control character, no `\`. `*` alone is the default role.
//!
//! Source: Mesos v1, role names; at most 255 bytes is ours.

use std::fmt;
use std::sync::Arc;

/// A hierarchical role name. Cloning is cheap.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Role(Arc<str>);

/// Why a text is not a role name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is not a role name: {reason}")]
pub struct InvalidRole {
    /// The text, cut to 64 characters.
    pub name: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl Role {
    /// The default role, `*`, which every framework without a role of its own shares.
    pub fn default_role() -> Self {
        Self(Arc::from("*"))
    }

    /// The role that `name` spells. Errors: [`InvalidRole`].
    pub fn new(name: impl AsRef<str>) -> Result<Self, InvalidRole> {
        let name = name.as_ref();
        match refusal(name) {
            None => Ok(Self(Arc::from(name))),
            Some(reason) => Err(InvalidRole { name: name.chars().take(64).collect(), reason }),
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The role next above (`eng` for `eng/web`); `None`: it is at the top.
    pub fn above(&self) -> Option<Role> {
        self.0.rsplit_once('/').map(|(above, _)| Self(Arc::from(above)))
    }

    /// Is `self` below `ancestor` (`eng/web` is below `eng`)? A role is not below itself.
    pub fn is_below(&self, ancestor: &Role) -> bool {
        self.0.strip_prefix(&*ancestor.0).is_some_and(|rest| rest.starts_with('/'))
    }
}

fn refusal(name: &str) -> Option<&'static str> {
    if name == "*" {
        return None;
    }
    if name.is_empty() {
        return Some("it is empty");
    }
    if name.len() > 255 {
        return Some("it has more than 255 bytes");
    }
    if name.chars().any(|c| c.is_whitespace() || c.is_control() || c == '\\') {
        return Some("it contains white space, a control character or a backslash");
    }
    name.split('/').find_map(|component| match component {
        "" => Some("a component is empty"),
        "." | ".." => Some("a component is `.` or `..`"),
        "*" => Some("a component is `*`, which stands only alone"),
        _ if component.starts_with('-') => Some("a component begins with `-`"),
        _ => None,
    })
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Role({})", self.0)
    }
}

impl std::str::FromStr for Role {
    type Err = InvalidRole;
    fn from_str(text: &str) -> Result<Self, InvalidRole> {
        Self::new(text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::any_role;

    #[test]
    fn a_role_name_is_a_clean_path() {
        for good in ["*", "eng", "eng/web", "a-b/c_d", "ü"] {
            assert!(Role::new(good).is_ok(), "{good}");
        }
        for bad in ["", "/", "a/", "/a", "a//b", ".", "a/..", "-a", "a/-b", "a b", "a\tb", "a/*", "a\\b"] {
            assert!(Role::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_whole_components_count_as_ancestors() {
        let role = |name| Role::new(name).unwrap();
        assert!(role("eng/web").is_below(&role("eng")));
        assert!(!role("engine").is_below(&role("eng")));
        assert!(!role("eng").is_below(&role("eng")));
    }

    #[test]
    fn a_bad_name_says_what_is_wrong() {
        let reason = |name: &str| Role::new(name).unwrap_err().to_string();
        assert_eq!(reason("a//b"), "\"a//b\" is not a role name: a component is empty");
        assert_eq!(reason("a/-b"), "\"a/-b\" is not a role name: a component begins with `-`");
        assert_eq!(
            reason(&"x".repeat(256)).len(),
            64 + "\"\" is not a role name: it has more than 255 bytes".len()
        );
        assert!(Role::new("x".repeat(255)).is_ok());
    }

    proptest! {
        #[test]
        fn a_role_is_below_its_ancestors_and_no_other(role in any_role(), other in any_role()) {
            let components: Vec<_> = role.as_str().split('/').collect();
            for depth in 1..components.len() {
                prop_assert!(role.is_below(&Role::new(components[..depth].join("/")).unwrap()));
            }
            let others: Vec<_> = other.as_str().split('/').collect();
            let starts = components.len() > others.len() && components.starts_with(&others);
            prop_assert_eq!(role.is_below(&other), starts);
            prop_assert_eq!(role.to_string().parse(), Ok(role));
        }

        #[test]
        fn no_text_harms_the_parser(text in r"(?s)([a-z*./-]|.){0,12}") {
            if let Ok(role) = Role::new(&text) {
                prop_assert_eq!(role.as_str(), text);
            }
        }
    }
}

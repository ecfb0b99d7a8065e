//! The names of apps, pods and groups: paths such as `/shop/web`. People may leave out the slash before.

/// The path from the root, without a slash at its end; the root is `/`.
pub(super) fn rooted(id: &str) -> String {
    let parts: Vec<&str> = id.split('/').filter(|part| !part.is_empty()).collect();
    format!("/{}", parts.join("/"))
}

/// Is it the group, or in it?
pub(super) fn is_within(id: &str, group: &str) -> bool {
    let rest = id.strip_prefix(group.trim_end_matches('/'));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The id in a task's or instance's: `shop_web.instance-…` is of `/shop/web`.
pub(super) fn of_instance(instance: &str) -> Option<String> {
    let (id, _) = instance.split_once(".instance-")?;
    Some(format!("/{}", id.replace('_', "/")))
}

/// A name for people that is enough among the instances of one app: `3f2a91c0` of `web.instance-3f2a91c0-….app.2`.
pub(super) fn short(instance: &str) -> &str {
    let Some((_, rest)) = instance.split_once(".instance-") else { return instance };
    rest.split(['-', '.']).next().unwrap_or(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slashes_around_a_name_do_not_matter() {
        for id in ["web", "/web", "//web/", "web/"] {
            assert_eq!(rooted(id), "/web");
        }
        assert_eq!((rooted("/").as_str(), rooted("a//b").as_str()), ("/", "/a/b"));
    }

    #[test]
    fn a_group_holds_itself_and_what_is_below_and_no_namesake() {
        assert!(is_within("/a/b", "/a") && is_within("/a", "/a") && is_within("/a", "/"));
        assert!(!is_within("/ab", "/a") && !is_within("/", "/a"));
    }

    #[test]
    fn an_instance_tells_its_app() {
        let task = "shop_web.instance-3f2a91c0-0000-4000-8000-000000000000._app.2";
        assert_eq!((of_instance(task).as_deref(), short(task)), (Some("/shop/web"), "3f2a91c0"));
        assert_eq!((of_instance("other"), short("other")), (None, "other"));
    }
}

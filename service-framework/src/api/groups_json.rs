//! Groups as replies show them: with the apps, pods and groups in them, as deep as they are asked for.
//!
//! Source: Marathon's `/v2/groups` and its `embed` values.

use std::collections::BTreeMap;

use lonja_services_core::PathId;
use lonja_services_core::definition::Version;
use lonja_services_core::groups::Group;
use serde_json::{Map, Value};

use super::query::Query;
use crate::wire;

/// What is shown in a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Parts {
    pub(crate) apps: bool,
    pub(crate) pods: bool,
    pub(crate) groups: bool,
}

impl Parts {
    /// All, unless anything is asked for: then that.
    pub(crate) fn of(query: &Query) -> Self {
        let all = query.all("embed").all(str::is_empty);
        let has = |name: &str| all || query.all("embed").any(|value| value == name);
        Self { apps: has("group.apps"), pods: has("group.pods"), groups: has("group.groups") }
    }
}

/// What stands in groups, each thing already as it is shown.
pub(crate) struct Tree<'a> {
    pub(crate) groups: &'a BTreeMap<PathId, Group>,
    pub(crate) apps: BTreeMap<PathId, Value>,
    pub(crate) pods: BTreeMap<PathId, Value>,
    pub(crate) parts: Parts,
}

impl Tree<'_> {
    /// A group with what is in it.
    pub(crate) fn json(self, id: &PathId) -> Value {
        let mut inside: BTreeMap<PathId, Inside> = BTreeMap::new();
        let parent = |id: &PathId| id.parent().unwrap_or_else(PathId::root);
        for (id, app) in self.apps {
            inside.entry(parent(&id)).or_default().apps.push(app);
        }
        for (id, pod) in self.pods {
            inside.entry(parent(&id)).or_default().pods.push(pod);
        }
        for id in self.groups.keys().filter(|id| !id.is_root()) {
            inside.entry(parent(id)).or_default().groups.push(id.clone());
        }
        show(id, self.groups, &mut inside, self.parts)
    }
}

#[derive(Default)]
struct Inside {
    apps: Vec<Value>,
    pods: Vec<Value>,
    groups: Vec<PathId>,
}

/// Ids are bounded in length, and so is the depth.
fn show(
    id: &PathId,
    groups: &BTreeMap<PathId, Group>,
    inside: &mut BTreeMap<PathId, Inside>,
    parts: Parts,
) -> Value {
    let shown = match groups.get(id) {
        Some(group) => wire::show_group(group),
        None => wire::show_group(&Group::new(id.clone(), Version::default())),
    };
    let mut fields = match shown {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    let Inside { apps, pods, groups: below } = inside.remove(id).unwrap_or_default();
    if parts.apps {
        fields.insert("apps".to_owned(), Value::Array(apps));
    }
    if parts.pods {
        fields.insert("pods".to_owned(), Value::Array(pods));
    }
    if parts.groups {
        let below = below.iter().map(|id| show(id, groups, inside, parts)).collect();
        fields.insert("groups".to_owned(), Value::Array(below));
    }
    Value::Object(fields)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_in_a_group_stands_where_it_belongs() {
        let id = |text: &str| PathId::absolute(text).unwrap_or_else(|_| PathId::root());
        let groups: BTreeMap<PathId, Group> =
            ["/", "/a", "/a/b"].map(|one| (id(one), Group::new(id(one), Version(0)))).into();
        let apps = ["/x", "/a/b/y"].map(|one| (id(one), json!({ "id": one }))).into();
        let parts = Parts::of(&Query::default());
        let shown = Tree { groups: &groups, apps, pods: BTreeMap::new(), parts }.json(&PathId::root());
        assert_eq!(shown["apps"], json!([{ "id": "/x" }]));
        assert_eq!(shown["groups"][0]["id"], json!("/a"));
        assert_eq!(shown["groups"][0]["groups"][0]["apps"], json!([{ "id": "/a/b/y" }]));
    }

    #[test]
    fn with_any_embed_only_what_is_asked_for_is_shown() {
        let parts = Parts::of(&Query::of(Some("embed=group.apps.tasks")));
        assert_eq!(parts, Parts { apps: false, pods: false, groups: false });
        assert!(Parts::of(&Query::of(Some("embed=group.apps&embed=x"))).apps);
    }
}

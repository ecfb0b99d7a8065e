//! What stands behind the question mark of a request.

use super::route::decoded;

/// The most parameters that are read; what follows is not looked at.
const MAX_PARAMETERS: usize = 1_000;

/// The parameters of a request, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Those of this text. What cannot be decoded is left out.
    pub(crate) fn of(text: Option<&str>) -> Self {
        let pairs = text.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()).take(MAX_PARAMETERS);
        let word = |text: &str| decoded(&text.replace('+', " "));
        Self(
            pairs
                .filter_map(|pair| {
                    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                    Some((word(name)?, word(value)?))
                })
                .collect(),
        )
    }

    /// The first value of this name that is not empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let known = |(known, value): &&(String, String)| known == name && !value.is_empty();
        self.0.iter().find(known).map(|(_, value)| value.as_str())
    }

    /// All values of this name.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Is it `true`, in any case? Absent: `default`; anything else is false.
    pub(crate) fn flag(&self, name: &str, default: bool) -> bool {
        self.all(name).next().map_or(default, |value| value.eq_ignore_ascii_case("true"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn true_is_true_in_any_case_and_all_else_is_false() {
        let query = Query::of(Some("force=True&scale=TRUE&wipe=1&dryRun&x=false"));
        assert!(query.flag("force", false) && query.flag("scale", false));
        assert!(!query.flag("wipe", true) && !query.flag("dryRun", true) && !query.flag("x", true));
        assert!(query.flag("absent", true) && !query.flag("absent", false));
    }

    #[test]
    fn names_repeat_and_words_are_decoded() {
        let query =
            Query::of(Some("embed=apps.tasks&embed=apps.counts&label=a%3D%3Db+c&id=&status%5B%5D=running"));
        assert_eq!(query.all("embed").collect::<Vec<_>>(), ["apps.tasks", "apps.counts"]);
        assert_eq!((query.get("label"), query.get("id")), (Some("a==b c"), None));
        assert_eq!(query.get("status[]"), Some("running"));
        assert_eq!(Query::of(None), Query::of(Some("&&")));
    }
}

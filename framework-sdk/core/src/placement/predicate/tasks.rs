//! Which of one's own tasks are meant.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use lonja_model::labels::Labels;

/// Which of one's own tasks are meant: those that carry all of these labels.
///
/// ```
/// use lonja_sdk_core::placement::predicate::Tasks;
///
/// let web = Tasks::labelled("app", "web").and("tier", "front").and_with("release");
/// assert_eq!(web.to_string(), "release+app=web+tier=front");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tasks(Arc<BTreeSet<LabelTest>>);

/// What one label must be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum LabelTest {
    /// It is there, whatever it says.
    Has(Arc<str>),
    /// It is there and says this.
    Is(Arc<str>, Arc<str>),
}

impl Tasks {
    /// All of one's own tasks.
    pub fn all() -> Self {
        Self::default()
    }

    /// Those with this label.
    pub fn labelled(key: impl Into<Arc<str>>, value: impl Into<Arc<str>>) -> Self {
        Self::all().and(key, value)
    }

    /// Those with a label of this key, whatever it says.
    pub fn with(key: impl Into<Arc<str>>) -> Self {
        Self::all().and_with(key)
    }

    /// Those of them with this label, too.
    #[must_use]
    pub fn and(self, key: impl Into<Arc<str>>, value: impl Into<Arc<str>>) -> Self {
        self.add(LabelTest::Is(key.into(), value.into()))
    }

    /// Those of them with a label of this key, too.
    #[must_use]
    pub fn and_with(self, key: impl Into<Arc<str>>) -> Self {
        self.add(LabelTest::Has(key.into()))
    }

    fn add(mut self, test: LabelTest) -> Self {
        Arc::make_mut(&mut self.0).insert(test);
        self
    }

    /// Is a task with these labels meant? O(labels).
    pub fn match_labels(&self, labels: &Labels) -> bool {
        self.0.iter().all(|test| labels.0.iter().any(|(key, value)| test.is_met_by(key, value.as_deref())))
    }

    /// A test that all meant pass, to find this by; none: all tasks are meant.
    pub(crate) fn first_test(&self) -> Option<&LabelTest> {
        // What a label says tells more than that it is there; it is last in order.
        self.0.last()
    }
}

impl LabelTest {
    fn is_met_by(&self, key: &str, value: Option<&str>) -> bool {
        match self {
            Self::Has(wanted) => **wanted == *key,
            Self::Is(wanted, says) => **wanted == *key && value == Some(&**says),
        }
    }

    /// The tests that a task with these labels passes, [`None`] for that of all tasks.
    pub(crate) fn all_met_by(labels: &Labels) -> BTreeSet<Option<Self>> {
        let mut met = BTreeSet::from([None]);
        for (key, value) in &labels.0 {
            let key: Arc<str> = Arc::from(key.as_str());
            met.extend(value.as_deref().map(|value| Some(Self::Is(key.clone(), Arc::from(value)))));
            met.insert(Some(Self::Has(key)));
        }
        met
    }
}

impl fmt::Display for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("all tasks");
        }
        for (index, test) in self.0.iter().enumerate() {
            f.write_str(if index == 0 { "" } else { "+" })?;
            match test {
                LabelTest::Has(key) => f.write_str(key)?,
                LabelTest::Is(key, value) => write!(f, "{key}={value}")?,
            }
        }
        Ok(())
    }
}

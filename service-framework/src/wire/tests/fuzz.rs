//! What the schemas allow is read, and what is read comes back; what they do not allow is told with its place.

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::Value;

use super::generate::{app, defaults, document, mutated, root, strange};
use crate::wire::{self, Rejected};

/// A refusal says what and where.
fn is_told(rejected: &Rejected) -> bool {
    match rejected {
        Rejected::Types(faults) | Rejected::Values(faults) => {
            !faults.is_empty()
                && faults.len() <= wire::MAX_FAULTS
                && faults.iter().all(|fault| fault.path.starts_with('/') && fault.message.len() > 5)
        }
        Rejected::NotAnObject(words) | Rejected::BadQuery(words) => !words.is_empty(),
        Rejected::NotJson(_) | Rejected::Illegal(_) => false,
    }
}

fn read_app(document: &Value) -> Result<lonja_services_core::definition::App, Rejected> {
    wire::app(document, None, None, &root(), &defaults())
}

/// What was taken is shown so that it is the same again.
fn comes_back(document: &Value) -> Result<(), TestCaseError> {
    match read_app(document) {
        Ok(app) => {
            let shown = wire::show_app(&app);
            let again = read_app(&shown);
            prop_assert_eq!(again.as_ref(), Ok(&app), "{}", shown);
        }
        Err(rejected) => prop_assert!(is_told(&rejected), "{:?}", rejected),
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// An app that the schema allows has no fault of form.
    #[test]
    fn what_the_schema_of_apps_allows_is_read_and_comes_back(document in app()) {
        if let Err(Rejected::Types(faults)) = read_app(&document) {
            prop_assert!(false, "{document}: {faults:?}");
        }
        comes_back(&document)?;
    }

    /// Whatever stands in its place, nothing panics, and what is wrong is told with its path.
    #[test]
    fn what_the_schema_does_not_allow_is_told_with_its_place(
        document in app(), place in any::<Index>(), value in strange()
    ) {
        comes_back(&mutated(document, &place, value))?;
    }

    #[test]
    fn pods_are_read_and_come_back(document in document("Pod"), place in any::<Index>(), value in strange()) {
        for document in [document.clone(), mutated(document, &place, value)] {
            match wire::pod(&document, None, &defaults()) {
                Ok(pod) => {
                    let again = wire::pod(&wire::show_pod(&pod), None, &defaults());
                    prop_assert_eq!(again, Ok(pod));
                }
                Err(rejected) => prop_assert!(is_told(&rejected), "{:?}", rejected),
            }
        }
    }

    #[test]
    fn jobs_are_read_and_come_back(document in document("Job"), place in any::<Index>(), value in strange()) {
        for document in [document.clone(), mutated(document, &place, value)] {
            match wire::job(&document, None, &defaults()) {
                Ok(job) => {
                    let again = wire::job(&wire::show_job(&job), None, &defaults());
                    prop_assert_eq!(again, Ok(job));
                }
                Err(rejected) => prop_assert!(is_told(&rejected), "{:?}", rejected),
            }
        }
    }

    #[test]
    fn updates_of_groups_are_read_or_told(
        document in document("GroupUpdate"), place in any::<Index>(), value in strange()
    ) {
        for document in [document.clone(), mutated(document, &place, value)] {
            if let Err(rejected) = wire::group_update(&document, Some(&root()), &root(), |_| defaults()) {
                prop_assert!(is_told(&rejected), "{:?}", rejected);
            }
        }
    }

    /// An update of a stored app leaves a whole one.
    #[test]
    fn an_update_over_a_stored_app_is_taken_or_told(base in app(), update in document("AppUpdate")) {
        let Ok(base) = read_app(&base) else { return Ok(()) };
        match wire::app(&update, Some(&base.id), Some(&base), &root(), &defaults()) {
            Ok(app) => {
                prop_assert_eq!(&app.id, &base.id);
                prop_assert_eq!(read_app(&wire::show_app(&app)), Ok(app));
            }
            Err(rejected) => prop_assert!(is_told(&rejected), "{:?}", rejected),
        }
    }

    #[test]
    fn bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(value) = wire::json(&bytes) {
            let _ = read_app(&value);
        }
    }
}

/// The generator is worth something only if much of what it makes is taken.
#[test]
fn enough_generated_apps_make_sense() {
    let (strategy, mut runner) = (app(), TestRunner::deterministic());
    let mut taken = 0;
    for _ in 0..400 {
        let document = strategy.new_tree(&mut runner).unwrap().current();
        taken += usize::from(read_app(&document).is_ok());
    }
    assert!(taken >= 20, "{taken} of 400");
}

use super::*;
use crate::made_up::{health, id, readiness, watch};
use lonja_services_core::definition::HealthProtocol;

fn secs(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn check(number: u128, every: u64) -> Watch {
    watch("/a", number, 80, health(HealthProtocol::Http, secs(every)))
}

/// All that can be taken at this moment.
fn due(rounds: &mut Rounds, now: Instant) -> Vec<Number> {
    std::iter::from_fn(|| rounds.take(now).map(|(number, _)| number)).collect()
}

#[tokio::test]
async fn a_health_check_comes_first_within_five_seconds_and_then_at_its_interval() {
    let mut rounds = Rounds::new(10, 1);
    let start = Instant::now();

    rounds.set(start, &id("/a"), &[check(1, 60), check(2, 2)]);

    assert_eq!(due(&mut rounds, start), [0_u64; 0]);
    assert_eq!(due(&mut rounds, start + secs(2)), [1], "the interval is shorter than 5 s");
    assert_eq!(due(&mut rounds, start + secs(5)), [0]);
    rounds.done(start + secs(6), 0, true);
    assert_eq!(due(&mut rounds, start + secs(61)), [0_u64; 0], "57 s after the first look is the earliest");
    assert_eq!(due(&mut rounds, start + secs(65)), [0], "60 s after it is the latest");
}

#[tokio::test]
async fn a_readiness_check_comes_at_once_and_ends_with_its_yes() {
    let mut rounds = Rounds::new(10, 1);
    let start = Instant::now();

    rounds.set(start, &id("/a"), &[watch("/a", 1, 80, readiness(secs(30)))]);

    assert_eq!(due(&mut rounds, start), [0]);
    rounds.done(start, 0, true);
    assert_eq!(due(&mut rounds, start + secs(30)), [0]);
    rounds.done(start + secs(31), 0, false);
    assert_eq!(rounds.next_due(), None);
    // Told again before the services have taken the answer in, it stays over.
    rounds.set(start, &id("/a"), &[watch("/a", 1, 80, readiness(secs(30)))]);
    assert_eq!(rounds.next_due(), None);
}

#[tokio::test]
async fn no_more_checks_than_the_bound_are_under_way_and_the_longest_due_goes_first() {
    let mut rounds = Rounds::new(2, 1);
    let start = Instant::now();
    rounds.set(start, &id("/a"), &[check(1, 60), check(2, 60)]);
    rounds.set(start + secs(10), &id("/b"), &[watch("/b", 1, 80, readiness(secs(1)))]);
    let later = start + secs(20);

    let first = due(&mut rounds, later);

    assert_eq!(first.len(), 2);
    assert!(!first.contains(&2), "the other app's check fell due after these");
    assert_eq!(rounds.next_due(), None, "no time matters while all turns are taken");
    rounds.done(later, first[0], true);
    assert_eq!(due(&mut rounds, later), [2]);
}

#[tokio::test]
async fn a_check_that_stays_keeps_its_time_and_one_that_goes_is_named() {
    let mut rounds = Rounds::new(10, 1);
    let start = Instant::now();
    rounds.set(start, &id("/a"), &[check(1, 60), check(2, 60)]);
    let before = rounds.next_due();

    assert_eq!(rounds.set(start + secs(1), &id("/a"), &[check(1, 60), check(2, 60)]), [0_u64; 0]);
    assert_eq!(rounds.next_due(), before);

    // Another incarnation is another program; the first is no longer wanted.
    let again = Watch { incarnation: 2, ..check(2, 60) };
    let gone = rounds.set(start + secs(1), &id("/a"), &[again]);
    assert_eq!(gone, [0, 1]);
    assert_eq!(rounds.len(), 1);
    assert_eq!(rounds.set_all(start, &BTreeMap::new()), [2]);
    assert_eq!((rounds.len(), rounds.next_due()), (0, None));
}

#[tokio::test]
async fn one_that_is_removed_while_under_way_keeps_its_turn_until_it_has_ended() {
    let mut rounds = Rounds::new(1, 1);
    let start = Instant::now();
    rounds.set(start, &id("/a"), &[watch("/a", 1, 80, readiness(secs(30)))]);
    assert_eq!(due(&mut rounds, start), [0]);

    rounds.set(start, &id("/a"), &[watch("/a", 2, 80, readiness(secs(30)))]);

    assert_eq!(due(&mut rounds, start), [0_u64; 0]);
    rounds.done(start, 0, true);
    assert_eq!(due(&mut rounds, start), [1]);
}

use super::*;
use crate::made_up::{endpoint, instance};

const DRAIN: Duration = Duration::from_secs(60);

fn at(number: u128) -> Endpoint {
    endpoint("/a", number, "127.0.0.1", 31_000, 10_000)
}

fn chosen(lease: &Lease) -> InstanceId {
    lease.backend().instance.clone()
}

#[tokio::test]
async fn the_instance_with_the_fewest_under_way_is_chosen() {
    let pool = Pool::new(DRAIN);
    pool.set(10_000, &[at(1), at(2), at(3)]);
    let leases: Vec<Lease> = (0..6).filter_map(|_| pool.choose(&[])).collect();
    for number in 1..=3 {
        assert_eq!(leases.iter().filter(|lease| chosen(lease) == instance("/a", number)).count(), 2);
    }
    let (freed, _rest) = leases.split_first().unwrap();
    let freed_instance = chosen(freed);
    let mut leases = leases;
    drop(leases.remove(0));
    assert_eq!(chosen(&pool.choose(&[]).unwrap()), freed_instance);
}

#[tokio::test]
async fn what_takes_no_requests_or_has_been_tried_is_not_chosen() {
    let pool = Pool::new(DRAIN);
    pool.set(10_000, &[at(1), Endpoint { accepts: false, ..at(2) }]);
    assert_eq!((pool.accepting(), chosen(&pool.choose(&[]).unwrap())), (1, instance("/a", 1)));
    assert!(pool.choose(&[instance("/a", 1)]).is_none());
    pool.set(10_001, &[at(1)]);
    assert!(pool.choose(&[]).is_none(), "none has this service port");
}

#[tokio::test]
async fn one_that_could_not_be_reached_comes_last_for_a_while() {
    let pool = Pool::new(DRAIN);
    pool.set(10_000, &[at(1), at(2)]);
    let lease = pool.choose(&[]).unwrap();
    let failed = chosen(&lease);
    lease.backend().has_failed();
    drop(lease);
    let held: Vec<Lease> = (0..5).filter_map(|_| pool.choose(&[])).collect();
    assert!(held.iter().all(|lease| chosen(lease) != failed));
    let later = Instant::now() + SHUNNED;
    assert_eq!(chosen(&pool.choose_at(later, &[]).unwrap()), failed, "it has the fewest");
}

#[tokio::test]
async fn what_is_under_way_at_a_drained_instance_is_cut_after_its_time_unless_it_comes_back() {
    let drain = Duration::from_millis(50);
    let pool = Pool::new(drain);
    pool.set(10_000, &[at(1)]);
    let lease = pool.choose(&[]).unwrap();
    let mut cut = tokio::spawn(lease.cut());

    pool.set(10_000, &[Endpoint { accepts: false, ..at(1) }]);
    assert_eq!((pool.accepting(), pool.draining()), (0, 1));
    pool.set(10_000, &[at(1)]);
    assert!(tokio::time::timeout(drain * 3, &mut cut).await.is_err());
    let gone = Instant::now();
    pool.set(10_000, &[]);
    cut.await.unwrap();
    assert!(gone.elapsed() >= drain);
}

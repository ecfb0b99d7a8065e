//! The spares that wait for each instance's next containers.
//!
//! An instance has a pool for what its containers are usually made of, and one for every other mould that was asked
//! for: the next container of that kind finds a spare, a network of its own included.
//!
//! Invariants
//! - A pool is filled when its instance is announced and after each of its launches, never because a
//!   spare died: whatever kills spares does not keep the launcher busy.
//! - The number of spares is bounded, for each instance and altogether.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;

use crate::isolation::{GroupName, InstanceId, Layout};
use crate::supervisor::Mould;

/// How many spares wait for one instance: enough for a small burst. Each costs a supervisor of 0.45 MiB
/// and an init of 0.25 MiB (proportional set size).
const SPARES: usize = 3;

/// How many pools there are; beyond, the one that was quiet longest loses its spares.
const MOST_POOLS: usize = 8;

/// A supervisor without a container, and the only end of its line. Its process ends with that.
pub(super) struct IdleSpare {
    pub(super) pid: i32,
    pub(super) line: OwnedFd,
}

struct Pool {
    instance: InstanceId,
    layout: Layout,
    mould: Mould,
    spares: VecDeque<IdleSpare>,
    /// How many want this pool: an agent may be started again before its forerunner has let go.
    users: usize,
    /// Whether it is to be filled up.
    wanting: bool,
}

/// What a new spare is made of.
pub(super) struct Plan {
    pub(super) instance: InstanceId,
    pub(super) layout: Layout,
    pub(super) mould: Mould,
    pub(super) group: GroupName,
}

/// Every instance's spares, the one used last at the end.
pub(super) struct Pools {
    /// The launcher's name in the names of groups.
    launcher: String,
    made: u64,
    pools: Vec<Pool>,
}

impl Pools {
    pub(super) fn new(launcher: String) -> Self {
        Self { launcher, made: 0, pools: Vec::new() }
    }

    /// Keeps spares for this instance from now on.
    pub(super) fn warm_up(&mut self, instance: InstanceId, layout: Layout, mould: Mould) {
        let users = 1 + self.users(&instance);
        // Made for other control groups, spares are of no use.
        self.pools.retain(|pool| pool.instance != instance || pool.layout == layout);
        self.pools.iter_mut().filter(|pool| pool.instance == instance).for_each(|pool| pool.users = users);
        if self.touch(&instance, &mould).is_none() {
            self.add_pool(Pool { instance, layout, mould, spares: VecDeque::new(), users, wanting: true });
        }
    }

    fn users(&self, instance: &InstanceId) -> usize {
        self.pools.iter().find(|pool| pool.instance == *instance).map_or(0, |pool| pool.users)
    }

    fn add_pool(&mut self, pool: Pool) {
        if self.pools.len() >= MOST_POOLS {
            self.pools.remove(0);
        }
        self.pools.push(pool);
    }

    /// The oldest spare, which is readiest. Another will be made for it.
    pub(super) fn take(&mut self, instance: &InstanceId, mould: &Mould) -> Option<IdleSpare> {
        if let Some(pool) = self.touch(instance, mould) {
            pool.wanting = true;
            return pool.spares.pop_front();
        }
        // The first of its kind; others may follow.
        let known = self.pools.iter().find(|pool| pool.instance == *instance)?;
        let (layout, users) = (known.layout.clone(), known.users);
        let (instance, mould) = (instance.clone(), mould.clone());
        self.add_pool(Pool { instance, layout, mould, spares: VecDeque::new(), users, wanting: true });
        None
    }

    fn touch(&mut self, instance: &InstanceId, mould: &Mould) -> Option<&mut Pool> {
        let fits = |pool: &Pool| pool.instance == *instance && pool.mould == *mould;
        let place = self.pools.iter().position(fits)?;
        let pool = self.pools.remove(place);
        self.pools.push(pool);
        self.pools.last_mut()
    }

    /// A process has ended; perhaps it was a spare.
    pub(super) fn forget(&mut self, pid: i32) {
        for pool in &mut self.pools {
            pool.spares.retain(|spare| spare.pid != pid);
        }
    }

    /// What to make next, if anything.
    pub(super) fn plan(&mut self) -> Option<Plan> {
        for pool in &mut self.pools {
            pool.wanting &= pool.spares.len() < SPARES;
        }
        let pool = self.pools.iter().rev().find(|pool| pool.wanting)?;
        self.made += 1;
        Some(Plan {
            instance: pool.instance.clone(),
            layout: pool.layout.clone(),
            mould: pool.mould.clone(),
            group: GroupName::spare(&self.launcher, self.made).ok()?,
        })
    }

    /// Whether there is anything to make, and whether the next launch would otherwise find nothing.
    pub(super) fn need(&self) -> Need {
        let wanting = || self.pools.iter().filter(|pool| pool.wanting && pool.spares.len() < SPARES);
        match wanting().map(|pool| pool.spares.len()).min() {
            None => Need::Nothing,
            Some(0) => Need::Urgent,
            Some(_) => Need::Some,
        }
    }

    /// A spare was made; `None`: it could not be, and is not tried again before the next launch.
    pub(super) fn add(&mut self, instance: &InstanceId, mould: &Mould, spare: Option<IdleSpare>) {
        let fits = |pool: &&mut Pool| pool.instance == *instance && pool.mould == *mould;
        let Some(pool) = self.pools.iter_mut().find(fits) else {
            return;
        };
        match spare {
            Some(spare) => pool.spares.push_back(spare),
            None => pool.wanting = false,
        }
    }

    /// One of those who announced the instance has gone. With the last, its spares are hung up on.
    pub(super) fn cool_down(&mut self, instance: &InstanceId) -> Vec<i32> {
        self.close(|pool| {
            let leaving = pool.instance == *instance;
            pool.users = pool.users.saturating_sub(usize::from(leaving));
            leaving && pool.users == 0
        })
    }

    /// Hangs up on every spare.
    pub(super) fn close_all(&mut self) -> Vec<i32> {
        self.close(|_| true)
    }

    /// Spares that are hung up on end; these are their processes.
    fn close(&mut self, which: impl FnMut(&mut Pool) -> bool) -> Vec<i32> {
        let closed = self.pools.extract_if(.., which);
        closed.flat_map(|pool| pool.spares).map(|spare| spare.pid).collect()
    }
}

/// How much spares are needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    Nothing,
    Some,
    Urgent,
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use lonja_model::profile::Profile;

    use super::*;
    use crate::supervisor::Isolation;

    fn pools_for(names: &[&str]) -> Pools {
        let mut pools = Pools::new("1-1".into());
        for name in names {
            pools.warm_up(instance(name), Layout::Unlimited { why: String::new() }, mould());
        }
        pools
    }

    fn instance(name: &str) -> InstanceId {
        InstanceId::new(name).unwrap()
    }

    fn mould() -> Mould {
        Mould::new(Profile::Default, Isolation::default())
    }

    fn fill(pools: &mut Pools) -> usize {
        let line = OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
        let mut made = 0;
        while let Some(plan) = pools.plan() {
            made += 1;
            let line = line.as_fd().try_clone_to_owned().unwrap();
            pools.add(&plan.instance, &plan.mould, Some(IdleSpare { pid: made, line }));
        }
        usize::try_from(made).unwrap()
    }

    #[test]
    fn a_pool_is_filled_again_after_a_launch_and_not_after_a_death() {
        let mut pools = pools_for(&["a"]);
        assert_eq!((pools.need(), fill(&mut pools)), (Need::Urgent, SPARES));

        assert_eq!(pools.take(&instance("a"), &mould()).unwrap().pid, 1);
        assert_eq!((pools.need(), fill(&mut pools)), (Need::Some, 1));

        pools.forget(2);
        assert_eq!((pools.need(), fill(&mut pools)), (Need::Nothing, 0));
        assert!(pools.take(&instance("a"), &mould()).is_some());
        assert_eq!(fill(&mut pools), 2);
    }

    #[test]
    fn what_cannot_be_made_is_tried_again_at_the_next_launch() {
        let mut pools = pools_for(&["a"]);
        let plan = pools.plan().unwrap();
        pools.add(&plan.instance, &plan.mould, None);
        assert!(pools.plan().is_none());

        assert!(pools.take(&instance("a"), &mould()).is_none());
        assert!(pools.plan().is_some());
    }

    #[test]
    fn spares_last_until_nobody_wants_them() {
        let mut pools = pools_for(&["a", "b", "a"]);
        fill(&mut pools);

        assert!(pools.cool_down(&instance("a")).is_empty());
        assert_eq!(pools.cool_down(&instance("a")).len(), SPARES);
        assert!(pools.take(&instance("a"), &mould()).is_none());
        assert_eq!(pools.close_all().len(), SPARES);
    }

    #[test]
    fn the_instance_quiet_for_longest_gives_way() {
        let names: Vec<String> = (0..MOST_POOLS).map(|number| format!("a{number}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut pools = pools_for(&names);
        fill(&mut pools);
        assert!(pools.take(&instance("a0"), &mould()).is_some());

        pools.warm_up(instance("new"), Layout::Unlimited { why: String::new() }, mould());

        assert!(pools.take(&instance("a1"), &mould()).is_none());
        assert!(pools.take(&instance("a0"), &mould()).is_some());
    }

    #[test]
    fn another_kind_of_container_has_spares_from_its_second_on() {
        let mut pools = pools_for(&["a"]);
        fill(&mut pools);
        let hardened = Mould::new(Profile::Hardened, Isolation::default());

        assert!(pools.take(&instance("a"), &hardened).is_none());
        assert_eq!(fill(&mut pools), SPARES);
        assert!(pools.take(&instance("a"), &hardened).is_some());

        assert_eq!(pools.cool_down(&instance("a")).len(), 2 * SPARES - 1);
        assert!(pools.take(&instance("a"), &hardened).is_none());
    }
}

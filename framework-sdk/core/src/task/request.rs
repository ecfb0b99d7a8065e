//! Amounts of resources with their units, to be added up: `cpus(0.5) + mem(128.mib())`.
//!
//! What is not an amount, such as less than nothing, is carried along and refused where the request is used, with the
//! name of the resource; so that a request reads without error handling in between.

use std::iter::Sum;
use std::ops::Add;

use lonja_model::resources::{Devices, InvalidScalar, Scalar};

use super::{InvalidTask, Need};
use crate::placement::Gpus;

/// An amount of memory or disk. Made by [`Units`].
#[derive(Clone, Debug, PartialEq)]
pub struct Size(Result<Scalar, InvalidScalar>);

/// Numbers become sizes: `128.mib()`, `1.5.gib()`. Whole numbers cannot be below zero.
pub trait Units: Sized {
    /// So many MiB (2^20 bytes), to the nearest thousandth.
    fn mib(self) -> Size;
    /// So many GiB (1024 MiB).
    fn gib(self) -> Size;
    /// So many TiB (1024 GiB).
    fn tib(self) -> Size;
}

impl Units for u64 {
    fn mib(self) -> Size {
        #[expect(clippy::cast_precision_loss, reason = "only shown in the error")]
        Size(Scalar::from_units(self).ok_or(InvalidScalar::TooLarge(self as f64)))
    }

    fn gib(self) -> Size {
        self.saturating_mul(1 << 10).mib()
    }

    fn tib(self) -> Size {
        self.saturating_mul(1 << 20).mib()
    }
}

impl Units for f64 {
    fn mib(self) -> Size {
        Size(Scalar::from_f64(self))
    }

    fn gib(self) -> Size {
        (self * 1_024.0).mib()
    }

    fn tib(self) -> Size {
        (self * 1_048_576.0).mib()
    }
}

impl Size {
    pub(super) fn of(self, what: &'static str) -> Result<Scalar, InvalidTask> {
        self.0.map_err(|why| InvalidTask::Amount { what, why })
    }
}

/// What is asked for. Amounts of one resource add up; what is not named is left as it was.
///
/// ```
/// use lonja_sdk_core::task::{Request, Units, cpus, disk, gpus, mem, ports};
/// let web = cpus(0.5) + mem(128.mib()) + ports(2);
/// let twice: Request = [web.clone(), web, disk(1.gib()), gpus(0.25)].into_iter().sum();
/// assert_eq!(twice.build()?.quantities().to_string(), "cpus:1;disk:1024;gpus:0.25;mem:256");
/// assert!(cpus(-1).build().is_err());
/// # Ok::<(), lonja_sdk_core::InvalidTask>(())
/// ```
///
/// A whole number of units below zero does not compile:
///
/// ```compile_fail
/// use lonja_sdk_core::task::{Units, mem};
/// let less = mem((-128).mib());
/// ```
///
/// Nor does memory without a unit:
///
/// ```compile_fail
/// let less = lonja_sdk_core::task::mem(128);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Request {
    cpus: Option<Scalar>,
    mem: Option<Scalar>,
    disk: Option<Scalar>,
    ports: Option<usize>,
    gpus: Option<Gpus>,
    fault: Option<InvalidTask>,
}

/// So many CPUs, to the nearest thousandth.
pub fn cpus(count: impl Into<f64>) -> Request {
    let amount = Scalar::from_f64(count.into()).map_err(|why| InvalidTask::Amount { what: "cpus", why });
    Request::of(amount, |amount| Request { cpus: Some(amount), ..Request::default() })
}

/// So much memory.
pub fn mem(size: Size) -> Request {
    Request::of(size.of("mem"), |amount| Request { mem: Some(amount), ..Request::default() })
}

/// So much disk.
pub fn disk(size: Size) -> Request {
    Request::of(size.of("disk"), |amount| Request { disk: Some(amount), ..Request::default() })
}

/// So many ports, whichever there are; the task finds them in `PORT0`, `PORT1` and so on.
pub fn ports(count: usize) -> Request {
    Request { ports: Some(count), ..Request::default() }
}

/// GPUs: a part of one, such as 0.25 to the nearest thousandth, or a number of whole ones.
pub fn gpus(count: impl Into<f64>) -> Request {
    let count = count.into();
    Request::of(devices(count), |gpus| Request { gpus: Some(gpus), ..Request::default() })
}

fn devices(count: f64) -> Result<Gpus, InvalidTask> {
    let amount = Scalar::from_f64(count).map_err(|why| InvalidTask::Amount { what: "gpus", why })?;
    let (thousandths, whole) = (amount.thousandths(), u64::from(Devices::WHOLE));
    match (thousandths / whole, thousandths % whole) {
        (0, 0) => Ok(Gpus::None),
        (0, part) => Ok(Gpus::Share(u16::try_from(part).map_err(|_| InvalidTask::PartOfSeveralGpus(count))?)),
        (count, 0) => Ok(Gpus::Whole(u16::try_from(count).map_err(|_| InvalidTask::TooMuch("gpus"))?)),
        (_, _) => Err(InvalidTask::PartOfSeveralGpus(count)),
    }
}

impl Request {
    fn of<T>(amount: Result<T, InvalidTask>, request: impl FnOnce(T) -> Self) -> Self {
        amount.map_or_else(|fault| Self { fault: Some(fault), ..Self::default() }, request)
    }

    /// What is asked for; nothing of what is not named. Errors: the first amount that is none.
    pub fn build(self) -> Result<Need, InvalidTask> {
        self.over(Need::default())
    }

    /// The same in the place of what `before` has of it.
    pub(super) fn over(self, before: Need) -> Result<Need, InvalidTask> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        Ok(Need {
            cpus: self.cpus.unwrap_or(before.cpus),
            mem: self.mem.unwrap_or(before.mem),
            disk: self.disk.unwrap_or(before.disk),
            ports: self.ports.unwrap_or(before.ports),
            gpus: self.gpus.unwrap_or(before.gpus),
        })
    }
}

impl From<Need> for Request {
    /// All of it, zeroes included.
    fn from(need: Need) -> Self {
        let Need { cpus, mem, disk, ports, gpus } = need;
        let (cpus, mem, disk) = (Some(cpus), Some(mem), Some(disk));
        Self { cpus, mem, disk, ports: Some(ports), gpus: Some(gpus), fault: None }
    }
}

impl From<Gpus> for Request {
    fn from(gpus: Gpus) -> Self {
        Self { gpus: Some(gpus), ..Self::default() }
    }
}

impl Add for Request {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        let mut fault = self.fault.or(other.fault);
        let mut sum = |what, one: Option<Scalar>, other: Option<Scalar>| match (one, other) {
            (Some(one), Some(other)) => one.checked_add(other).or_else(|| {
                fault.get_or_insert(InvalidTask::TooMuch(what));
                None
            }),
            (one, other) => one.or(other),
        };
        let (cpus, mem) = (sum("cpus", self.cpus, other.cpus), sum("mem", self.mem, other.mem));
        let disk = sum("disk", self.disk, other.disk);
        let ports = match (self.ports, other.ports) {
            (Some(one), Some(other)) => Some(one.saturating_add(other)),
            (one, other) => one.or(other),
        };
        let gpus = match (self.gpus, other.gpus) {
            (Some(Gpus::None) | None, gpus) | (gpus, Some(Gpus::None) | None) => gpus,
            (Some(Gpus::Whole(one)), Some(Gpus::Whole(other))) => {
                one.checked_add(other).map(Gpus::Whole).or_else(|| {
                    fault.get_or_insert(InvalidTask::TooMuch("gpus"));
                    None
                })
            }
            (Some(_), Some(_)) => {
                fault.get_or_insert(InvalidTask::GpusTwice);
                None
            }
        };
        Self { cpus, mem, disk, ports, gpus, fault }
    }
}

impl Sum for Request {
    fn sum<I: Iterator<Item = Self>>(requests: I) -> Self {
        requests.fold(Self::default(), Add::add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_of_powers_of_two_and_exact() {
        let mib = |size: Size| size.0.unwrap().to_string();
        assert_eq!([mib(128.mib()), mib(1.gib()), mib(2.tib())], ["128", "1024", "2097152"]);
        assert_eq!([mib(0.5.mib()), mib(1.5.gib())], ["0.5", "1536"]);
        assert!(u64::MAX.tib().0.is_err() && f64::NAN.mib().0.is_err() && (-0.5).gib().0.is_err());
    }

    #[test]
    fn a_wrong_amount_is_refused_at_the_end_by_its_name_and_the_first_counts() {
        let refused = |request: Request| request.build().unwrap_err().to_string();
        let said = refused(cpus(1) + mem((-1.0).mib()) + disk(f64::INFINITY.gib()));
        assert_eq!(said, "mem: -1 is negative; give 0 or more");
        assert!(refused(cpus(2e12) + cpus(2e12)).starts_with("cpus: the amounts together"));
    }

    #[test]
    fn gpus_are_whole_or_a_part_of_one() {
        let held = |count: f64| gpus(count).build().map(|need| need.gpus);
        assert_eq!(held(0.0), Ok(Gpus::None));
        assert_eq!(held(0.25), Ok(Gpus::Share(250)));
        assert_eq!([held(1.0), held(3.0)], [Ok(Gpus::Whole(1)), Ok(Gpus::Whole(3))]);
        assert_eq!(held(1.5), Err(InvalidTask::PartOfSeveralGpus(1.5)));
        assert_eq!((gpus(0.5) + gpus(0.5)).build(), Err(InvalidTask::GpusTwice));
        assert_eq!((gpus(1) + gpus(2) + cpus(1)).build().unwrap().gpus, Gpus::Whole(3));
    }

    #[test]
    fn what_is_not_named_is_left_as_it_was() {
        let before = (cpus(2) + mem(64.mib())).build().unwrap();
        let after = (mem(32.mib()) + ports(1)).over(before).unwrap();
        assert_eq!((after.cpus, after.mem, after.ports), (before.cpus, Scalar::from_units(32).unwrap(), 1));
        assert_eq!(Request::from(before).build(), Ok(before));
    }
}

//! Machines by the value of one subject.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::BTreeMap;

use super::bits::{Bits, Group};
use super::machines::Machine;
use crate::placement::predicate::Subject;

/// Machines by the value of one subject.
pub(super) struct Values<'a> {
    /// Those that have a value.
    present: Bits,
    names: Names<'a>,
}

enum Names<'a> {
    /// Many machines have the same value.
    Shared {
        by_name: BTreeMap<Cow<'a, str>, usize>,
        names: Vec<Cow<'a, str>>,
        holders: Vec<Group>,
        /// By machine.
        of: Vec<Option<usize>>,
    },
    /// Nearly every machine has a value of its own.
    Own {
        /// By machine.
        names: Vec<Option<Cow<'a, str>>>,
        /// The machines in the order of their values, made when one is looked for.
        order: OnceCell<Vec<usize>>,
    },
}

impl<'a> Values<'a> {
    pub(super) fn new(subject: &Subject, machines: &[Machine<'a>]) -> Self {
        let mut present = Bits::none(machines.len());
        let mut value = |index: usize, machine: &Machine<'a>| {
            let value = subject.value(&machine.site());
            present.set(index, value.is_some());
            value
        };
        let each = machines.iter().enumerate();
        let names = match subject {
            Subject::Agent | Subject::Hostname => Names::Own {
                names: each.map(|(index, machine)| value(index, machine)).collect(),
                order: OnceCell::new(),
            },
            Subject::Region | Subject::Zone | Subject::Attribute(_) => {
                let (mut by_name, mut names, mut holders) = (BTreeMap::new(), Vec::new(), Vec::new());
                let mut of = Vec::with_capacity(machines.len());
                for (index, machine) in each {
                    of.push(value(index, machine).map(|name: Cow<'a, str>| {
                        let number = by_name.get(&name).copied().unwrap_or_else(|| {
                            by_name.insert(name.clone(), holders.len());
                            names.push(name);
                            holders.push(Group::none());
                            holders.len() - 1
                        });
                        holders[number].insert(index, machines.len());
                        number
                    }));
                }
                Names::Shared { by_name, names, holders, of }
            }
        };
        Self { present, names }
    }

    /// Those that have a value.
    pub(super) fn present(&self) -> &Bits {
        &self.present
    }

    /// None of them.
    pub(super) fn nobody(&self) -> Bits {
        self.present.emptied()
    }

    pub(super) fn name_of(&self, machine: usize) -> Option<&str> {
        match &self.names {
            Names::Shared { names, of, .. } => of[machine].map(|number| &*names[number]),
            Names::Own { names, .. } => names[machine].as_deref(),
        }
    }

    /// Puts those with this value into `bits`, or takes them out.
    pub(super) fn put(&self, name: &str, bits: &mut Bits, into: bool) {
        match &self.names {
            Names::Shared { by_name, holders, .. } => {
                if let Some(number) = by_name.get(name) {
                    holders[*number].put(bits, into);
                }
            }
            Names::Own { names, order } => {
                let order = order.get_or_init(|| {
                    let mut order: Vec<usize> = self.present.iter().collect();
                    order.sort_unstable_by_key(|machine| names[*machine].as_deref());
                    order
                });
                let from = order.partition_point(|machine| names[*machine].as_deref() < Some(name));
                let same =
                    order[from..].iter().take_while(|machine| names[**machine].as_deref() == Some(name));
                same.for_each(|machine| bits.set(*machine, into));
            }
        }
    }

    /// Puts those into `bits` whose value is such.
    pub(super) fn put_those(&self, is_such: impl Fn(&str) -> bool, bits: &mut Bits) {
        match &self.names {
            Names::Shared { by_name, holders, .. } => {
                let such = by_name.iter().filter(|(name, _)| is_such(name));
                such.for_each(|(_, number)| holders[*number].put(bits, true));
            }
            Names::Own { names, .. } => {
                let such = |name: &Option<Cow<'a, str>>| name.as_deref().is_some_and(&is_such);
                let such = names.iter().enumerate().filter(|(_, name)| such(name));
                such.for_each(|(machine, _)| bits.set(machine, true));
            }
        }
    }
}

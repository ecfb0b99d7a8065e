//! Machines by the value of one subject.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::sync::Arc;

use super::bits::{Bits, Group};
use super::machines::Machine;
use crate::placement::OwnTasks;
use crate::placement::own_tasks::Names;
use crate::placement::predicate::Subject;

/// Machines by the value of one subject.
pub(super) struct Values<'a> {
    /// Those that have a value.
    present: Bits,
    names: ByValue<'a>,
}

enum ByValue<'a> {
    /// Many machines have the same value.
    Shared {
        names: Arc<Names>,
        /// By number; perhaps of values that no machine has now.
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
    pub(super) fn new(subject: &Subject, machines: &[Machine<'a>], own: &mut OwnTasks) -> Self {
        let mut present = Bits::none(machines.len());
        let mut value = |index: usize, machine: &Machine<'a>| {
            let value = subject.value(&machine.site());
            present.set(index, value.is_some());
            value
        };
        let each = machines.iter().enumerate();
        let names = match subject {
            Subject::Agent | Subject::Hostname => ByValue::Own {
                names: each.map(|(index, machine)| value(index, machine)).collect(),
                order: OnceCell::new(),
            },
            Subject::Region | Subject::Zone | Subject::Attribute(_) => {
                let column = own.column(subject, machines.len());
                let mut holders = Vec::new();
                let mut of = Vec::with_capacity(machines.len());
                for (index, machine) in each {
                    let number = column.number(subject, &machine.site(), machine.told);
                    if let Some(number) = number {
                        present.set(index, true);
                        if holders.len() <= number {
                            holders.resize_with(number + 1, Group::none);
                        }
                        holders[number].insert(index, machines.len());
                    }
                    of.push(number);
                }
                let names = column.names();
                holders.resize_with(names.names.len(), Group::none);
                ByValue::Shared { names, holders, of }
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
            ByValue::Shared { names, of, .. } => of[machine].map(|number| &*names.names[number]),
            ByValue::Own { names, .. } => names[machine].as_deref(),
        }
    }

    /// Puts those with this value into `bits`, or takes them out.
    pub(super) fn put(&self, name: &str, bits: &mut Bits, into: bool) {
        match &self.names {
            ByValue::Shared { names, holders, .. } => {
                if let Some(number) = names.by_name.get(name) {
                    holders[*number].put(bits, into);
                }
            }
            ByValue::Own { names, order } => {
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
            ByValue::Shared { names, holders, .. } => {
                let such = names
                    .by_name
                    .iter()
                    .filter(|(name, number)| !holders[**number].is_none() && is_such(name));
                such.for_each(|(_, number)| holders[*number].put(bits, true));
            }
            ByValue::Own { names, .. } => {
                let such = |name: &Option<Cow<'a, str>>| name.as_deref().is_some_and(&is_such);
                let such = names.iter().enumerate().filter(|(_, name)| such(name));
                such.for_each(|(machine, _)| bits.set(machine, true));
            }
        }
    }
}

//! Messages to build others from, and what is said of them.

use lonja_proto::convert::Refusal;
use lonja_proto::mesos::scheduler::call::Type;
use lonja_proto::mesos::{self, scheduler, value};

/// An amount.
pub(crate) fn scalar(name: &str, amount: f64) -> mesos::Resource {
    mesos::Resource {
        name: name.to_owned(),
        r#type: value::Type::Scalar.into(),
        scalar: Some(value::Scalar { value: amount }),
        ..Default::default()
    }
}

/// Numbers.
pub(crate) fn ranges(name: &str, all: &[(u64, u64)]) -> mesos::Resource {
    let range = all.iter().map(|&(begin, end)| value::Range { begin, end }).collect();
    mesos::Resource {
        name: name.to_owned(),
        r#type: value::Type::Ranges.into(),
        ranges: Some(value::Ranges { range }),
        ..Default::default()
    }
}

/// A call with no more than its type and its framework.
pub(crate) fn a_call(kind: Type) -> scheduler::Call {
    scheduler::Call {
        framework_id: Some(mesos::FrameworkId { value: "f".to_owned() }),
        r#type: Some(kind.into()),
        ..Default::default()
    }
}

/// The field that is refused.
pub(crate) fn field_of<T: std::fmt::Debug>(result: Result<T, Refusal>) -> String {
    result.unwrap_err().field
}

/// As little as a framework can say of itself.
pub(crate) fn framework_info() -> mesos::FrameworkInfo {
    mesos::FrameworkInfo { user: "root".to_owned(), name: "n".to_owned(), ..Default::default() }
}

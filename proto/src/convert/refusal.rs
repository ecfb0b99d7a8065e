//! Why a message was refused: which field, what is wrong with it, and what to do.

use std::fmt;
use std::time::Duration;

use lonja_model::ids::InvalidId;
use lonja_model::operation::ConversionError;
use lonja_model::resources::{AddError, InvalidRanges, InvalidResource, InvalidScalar};
use lonja_model::role::InvalidRole;
use lonja_model::scheduler::{self, RefusalCode};

/// A message that is no value of the model. Shown as `path: what is wrong; what to do`.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub struct Refusal {
    /// The path of the field at fault from the message that was read, such as
    /// `accept.operations[0].launch.task_infos[2].task_id`. Empty: the message as a whole.
    pub field: String,
    /// What is wrong with it.
    pub fault: Fault,
}

/// What is wrong with a field.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Fault {
    /// It has to be set.
    #[error("is missing; set it")]
    Missing,
    /// Lonja does not serve it yet, and does not pass over it in silence.
    #[error("{0} is not supported yet; leave it out")]
    Unsupported(&'static str),
    /// An id that is none.
    #[error("{0}; choose another")]
    Id(#[from] InvalidId),
    /// A role that is none.
    #[error("{0}; use a name such as eng/web")]
    Role(#[from] InvalidRole),
    /// An amount that is none.
    #[error("{0}; give an amount from 0 up")]
    Scalar(#[from] InvalidScalar),
    /// Ranges that are none.
    #[error("{0}; put the lower number first")]
    Ranges(#[from] InvalidRanges),
    /// A resource that cannot be.
    #[error("{0}")]
    Resource(#[from] InvalidResource),
    /// Resources that cannot be held together.
    #[error("{0}; name each part once")]
    Sum(#[from] AddError),
    /// An operation that is none.
    #[error("{0}")]
    Conversion(#[from] ConversionError),
    /// A number that is none of the enum's.
    #[error("{number} is no {kind} that this version knows; use one of the API's")]
    UnknownNumber {
        /// Which enum.
        kind: &'static str,
        /// As it came.
        number: i32,
    },
    /// More than [`crate::limits`] lets through.
    #[error("holds {count} entries, at most {limit} are taken; send fewer")]
    TooMany {
        /// As it came.
        count: usize,
        /// The most.
        limit: usize,
    },
    /// Longer than [`crate::limits`] lets through. In bytes.
    #[error("has {bytes} bytes, at most {limit} are taken; send less")]
    TooLong {
        /// As it came.
        bytes: usize,
        /// The most.
        limit: usize,
    },
    /// An update id that has not 16 bytes.
    #[error("has {0} bytes; an update id has 16: repeat the one of the update")]
    UpdateId(usize),
    /// A uuid of an operation that has not 16 bytes.
    #[error("has {0} bytes; the uuid of an operation has 16")]
    OperationUuid(usize),
    /// Seconds that are no length of time.
    #[error("{0} seconds is no length of time; give a number from 0 up")]
    Seconds(f64),
    /// Nanoseconds below zero.
    #[error("{0} nanoseconds is before the beginning; give a number from 0 up")]
    Nanoseconds(i64),
    /// Anything else; the text says what is wrong and what to do.
    #[error("{0}")]
    Invalid(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.field.is_empty() { self.fault.fmt(f) } else { write!(f, "{}: {}", self.field, self.fault) }
    }
}

impl<F: Into<Fault>> From<F> for Refusal {
    fn from(fault: F) -> Self {
        Self { field: String::new(), fault: fault.into() }
    }
}

impl Refusal {
    /// Is the field well formed, but of something that is not served yet?
    pub fn is_unsupported(&self) -> bool {
        matches!(self.fault, Fault::Unsupported(_))
    }

    /// The same refusal as seen from the message around the field.
    fn within(mut self, outer: &str) -> Self {
        if !self.field.is_empty() && !self.field.starts_with('[') {
            self.field.insert(0, '.');
        }
        self.field.insert_str(0, outer);
        self
    }
}

impl From<Refusal> for scheduler::Refusal {
    fn from(refusal: Refusal) -> Self {
        let code =
            if refusal.is_unsupported() { RefusalCode::Unsupported } else { RefusalCode::InvalidArgument };
        let message = refusal.to_string();
        Self { code, message, field: (!refusal.field.is_empty()).then_some(refusal.field) }
    }
}

/// Puts the name of a field before whatever is wrong in it. Costs nothing where nothing is.
pub(crate) trait At<T> {
    /// In field `name`.
    fn at(self, name: &str) -> Result<T, Refusal>;
    /// In entry `index` of the list `name`.
    fn at_index(self, name: &str, index: usize) -> Result<T, Refusal>;
}

impl<T, F: Into<Refusal>> At<T> for Result<T, F> {
    fn at(self, name: &str) -> Result<T, Refusal> {
        self.map_err(|refusal| refusal.into().within(name))
    }

    fn at_index(self, name: &str, index: usize) -> Result<T, Refusal> {
        self.map_err(|refusal| refusal.into().within(&format!("{name}[{index}]")))
    }
}

/// What was not there is missing.
pub(crate) fn required<T>(value: Option<T>) -> Result<T, Refusal> {
    value.ok_or(Refusal { field: String::new(), fault: Fault::Missing })
}

/// Refuses field `name` if `set`: `what` is not served yet.
pub(crate) fn unsupported(set: bool, name: &str, what: &'static str) -> Result<(), Refusal> {
    if set { Err(Fault::Unsupported(what)).at(name) } else { Ok(()) }
}

/// Refuses the list `name` if it is longer than `limit`.
pub(crate) fn at_most(count: usize, limit: usize, name: &str) -> Result<(), Refusal> {
    if count > limit { Err(Fault::TooMany { count, limit }).at(name) } else { Ok(()) }
}

/// The text, unless it is longer than `limit` bytes.
pub(crate) fn text(text: String, limit: usize) -> Result<String, Refusal> {
    let bytes = text.len();
    if bytes > limit { Err(Fault::TooLong { bytes, limit }.into()) } else { Ok(text) }
}

/// An optional short text.
pub(crate) fn optional_text(value: Option<String>, name: &str) -> Result<Option<String>, Refusal> {
    value.map(|value| text(value, crate::limits::TEXT_BYTES).at(name)).transpose()
}

/// The bytes, unless there are too many for opaque data.
pub(crate) fn data(data: Vec<u8>) -> Result<Vec<u8>, Refusal> {
    let (bytes, limit) = (data.len(), crate::limits::DATA_BYTES);
    if bytes > limit { Err(Fault::TooLong { bytes, limit }.into()) } else { Ok(data) }
}

/// The enum's value for a number of the wire.
pub(crate) fn known<E: TryFrom<i32>>(number: i32, kind: &'static str) -> Result<E, Refusal> {
    E::try_from(number).map_err(|_| Fault::UnknownNumber { kind, number }.into())
}

/// The length of time of a number of seconds, to the nearest microsecond and no longer than `longest`.
pub(crate) fn seconds(seconds: f64, longest: Duration) -> Result<Duration, Refusal> {
    if !seconds.is_finite() || seconds < 0.0 {
        return Err(Fault::Seconds(seconds).into());
    }
    if seconds >= longest.as_secs_f64() {
        return Ok(longest);
    }
    let duration = Duration::try_from_secs_f64(seconds).map_err(|_| Fault::Seconds(seconds))?;
    let micros = (duration.as_nanos() + 500) / 1_000;
    Ok(Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX)))
}

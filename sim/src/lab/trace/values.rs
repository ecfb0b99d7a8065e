//! What stands in single fields: amounts, times, names.

use std::collections::BTreeSet;
use std::time::Duration;

use lonja_model::resources::Scalar;
use lonja_model::{Role, TaskId};
use lonja_sdk_core::placement::Gpus;

use super::error::TraceError;
use super::table::Row;
use crate::lab::amounts::{self, MOST_GPUS};

/// The latest time of a trace, in seconds: 31 years.
const LATEST_SECONDS: u64 = 1_000_000_000;

/// A whole number from `least` to `most`.
pub(super) fn whole(row: &Row<'_>, column: &'static str, least: u64, most: u64) -> Result<u64, TraceError> {
    let number = row.get(column).parse().ok().filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| row.wrong(column, &format!("a whole number from {least} to {most}")))
}

/// A whole number of thousandths.
pub(super) fn thousandths(row: &Row<'_>, column: &'static str) -> Result<Scalar, TraceError> {
    let most = Scalar::MAX.thousandths();
    Ok(Scalar::from_thousandths(whole(row, column, 0, most)?).unwrap_or(Scalar::MAX))
}

/// A whole number of units.
pub(super) fn units(row: &Row<'_>, column: &'static str) -> Result<Scalar, TraceError> {
    let most = Scalar::MAX.whole_units();
    Ok(Scalar::from_units(whole(row, column, 0, most)?).unwrap_or(Scalar::MAX))
}

/// A decimal number with up to three decimals.
pub(super) fn amount(row: &Row<'_>, column: &'static str) -> Result<Scalar, TraceError> {
    amounts::scalar(row.get(column)).ok_or_else(|| {
        row.wrong(column, &format!("a number from 0 to {} with up to three decimals", Scalar::MAX))
    })
}

/// The same; nothing if the field is empty.
pub(super) fn amount_if_any(row: &Row<'_>, column: &'static str) -> Result<Scalar, TraceError> {
    if row.get(column).is_empty() { Ok(Scalar::ZERO) } else { amount(row, column) }
}

/// A number of devices.
pub(super) fn devices(row: &Row<'_>, column: &'static str) -> Result<u16, TraceError> {
    let count = whole(row, column, 0, u64::from(MOST_GPUS))?;
    Ok(u16::try_from(count).unwrap_or(MOST_GPUS))
}

/// What a task asks of GPUs: whole ones, or a part of one below 1.
pub(super) fn gpus(row: &Row<'_>, column: &'static str) -> Result<Gpus, TraceError> {
    let expected = format!("a whole number from 0 to {MOST_GPUS}, or a part of one below 1 in thousandths");
    let text = row.get(column);
    if text.is_empty() {
        return Ok(Gpus::None);
    }
    amounts::gpus(text).ok_or_else(|| row.wrong(column, &expected))
}

/// Models of GPU with `|` between them; one that stands twice counts once. Empty: any.
pub(super) fn models(row: &Row<'_>, column: &'static str) -> Result<BTreeSet<String>, TraceError> {
    let text = row.get(column);
    if text.is_empty() {
        return Ok(BTreeSet::new());
    }
    let models: BTreeSet<String> = text.split('|').map(|model| model.trim().to_owned()).collect();
    if models.contains("") {
        return Err(row.wrong(column, "models of GPU with one `|` between two of them"));
    }
    Ok(models)
}

/// A time in seconds with up to nine decimals; `None` if the field is empty.
pub(super) fn seconds(row: &Row<'_>, column: &'static str) -> Result<Option<Duration>, TraceError> {
    let text = row.get(column);
    if text.is_empty() {
        return Ok(None);
    }
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let nanos = format!("{decimals:0<9}").parse().ok().filter(|_| digits(decimals) && decimals.len() <= 9);
    let whole = whole.parse().ok().filter(|seconds| digits(whole) && *seconds < LATEST_SECONDS);
    match (whole, nanos) {
        (Some(whole), Some(nanos)) => Ok(Some(Duration::new(whole, nanos))),
        (Some(_) | None, Some(_) | None) => {
            let expected = format!("seconds from 0 to {LATEST_SECONDS} with up to nine decimals");
            Err(row.wrong(column, &expected))
        }
    }
}

/// A time as [`seconds`] reads it.
pub(super) fn seconds_text(time: Duration) -> String {
    let text = format!("{}.{:09}", time.as_secs(), time.subsec_nanos());
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The name of a machine or a task: not empty, at most 255 bytes, fit for an id.
pub(super) fn name<'t>(row: &Row<'t>, column: &'static str) -> Result<&'t str, TraceError> {
    let name = row.get(column);
    TaskId::new(name).map(|_| name).map_err(|why| row.wrong(column, &format!("another name: {why}")))
}

/// The name of a framework, which is its role's as well.
pub(super) fn role<'t>(row: &Row<'t>, column: &'static str) -> Result<&'t str, TraceError> {
    let name = row.get(column);
    Role::new(name).map(|_| name).map_err(|why| row.wrong(column, &format!("the name of a role: {why}")))
}

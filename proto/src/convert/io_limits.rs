//! How fast a container may use block devices.

use lonja_model::io_limits::{IoLimits, IoThrottle};

use super::refusal::{At, Fault, Refusal, at_most, text};
use crate::limits;
use crate::mesos;
use crate::mesos::container_info::{IoLimits as Wire, io_limits::Throttle};

/// What the kernel takes as a weight.
const WEIGHTS: std::ops::RangeInclusive<u32> = 1..=1000;

/// Errors: too many devices; one that is no path below `/dev`; a rate of nothing; a weight beyond 1 to 1000.
pub(super) fn io_limits_from_wire(wire: Option<Wire>) -> Result<IoLimits, Refusal> {
    let Some(wire) = wire else { return Ok(IoLimits::default()) };
    at_most(wire.throttles.len(), limits::IO_THROTTLES, "throttles")?;
    let throttle = |(index, wire)| throttle_from_wire(wire).at_index("throttles", index);
    let throttles = wire.throttles.into_iter().enumerate().map(throttle).collect::<Result<_, _>>()?;
    let weight = wire.weight.map(|weight| match u16::try_from(weight) {
        Ok(small) if WEIGHTS.contains(&weight) => Ok(small),
        _ => Err(Fault::Invalid(format!("{weight} is no weight; give 1 to 1000, everyone having 100"))),
    });
    Ok(IoLimits { throttles, weight: weight.transpose().at("weight")? })
}

fn throttle_from_wire(wire: Throttle) -> Result<IoThrottle, Refusal> {
    let device = wire.device.map(|device| text(device, limits::TEXT_BYTES)).transpose().at("device")?;
    if let Some(device) = &device {
        let plain = !device.contains('\0') && !device.split('/').any(|part| part == "..");
        if !device.starts_with("/dev/") || !plain {
            let reason = "names no device; give a path below /dev, or none for the sandbox's disk";
            return Err(Fault::Invalid(reason.to_owned())).at("device");
        }
    }
    for (name, rate) in [
        ("read_bps", wire.read_bps),
        ("write_bps", wire.write_bps),
        ("read_iops", wire.read_iops),
        ("write_iops", wire.write_iops),
    ] {
        if rate == Some(0) {
            return Err(Fault::Invalid("is 0; leave it out for no limit".to_owned())).at(name);
        }
    }
    Ok(IoThrottle {
        device,
        read_bps: wire.read_bps,
        write_bps: wire.write_bps,
        read_iops: wire.read_iops,
        write_iops: wire.write_iops,
    })
}

pub(super) fn io_limits_to_wire(limits: &IoLimits) -> Option<mesos::container_info::IoLimits> {
    let throttle = |limit: &IoThrottle| Throttle {
        device: limit.device.clone(),
        read_bps: limit.read_bps,
        write_bps: limit.write_bps,
        read_iops: limit.read_iops,
        write_iops: limit.write_iops,
    };
    (!limits.is_empty()).then(|| Wire {
        throttles: limits.throttles.iter().map(throttle).collect(),
        weight: limits.weight.map(u32::from),
    })
}

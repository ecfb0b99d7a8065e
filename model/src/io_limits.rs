//! How fast a container may use block devices.
//!
//! Mesos has no words for this; on the wire it is an extension of `ContainerInfo`.

/// Rates of devices, and the weight among those who want one at the same time. Nothing: no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IoLimits {
    /// At most these rates, each of its own device.
    pub throttles: Vec<IoThrottle>,
    /// 1 to 1000, everyone having 100.
    pub weight: Option<u16>,
}

impl IoLimits {
    /// Is there no limit?
    pub fn is_empty(&self) -> bool {
        self.throttles.is_empty() && self.weight.is_none()
    }
}

/// The most in a second; above zero. `None`: as fast as the device is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IoThrottle {
    /// The device's node on the agent's host, such as `/dev/sda`; `None`: the disk that holds the sandbox.
    pub device: Option<String>,
    /// Bytes read.
    pub read_bps: Option<u64>,
    /// Bytes written.
    pub write_bps: Option<u64>,
    /// Reads.
    pub read_iops: Option<u64>,
    /// Writes.
    pub write_iops: Option<u64>,
}

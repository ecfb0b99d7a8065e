//! The published figures.
//!
//! GPUs allocated, in percent of 6,212, mean and standard deviation of ten runs.
//!
//! Source: the result files published with Weng et al., USENIX ATC 2023.

/// A published mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Published {
    /// Percent of the GPUs.
    pub mean: f64,
    /// Standard deviation over the runs.
    pub deviation: f64,
}

/// Of one list and policy: asked for, mean, standard deviation.
type Row = (&'static str, &'static str, &'static [(usize, f64, f64)]);

const ROWS: &[Row] = &[
    ("default", "fgd", &[(90, 89.98, 0.05), (100, 95.23, 0.10), (130, 95.39, 0.08)]),
    ("default", "binpack", &[(90, 89.99, 0.04), (100, 92.86, 0.14), (130, 93.08, 0.13)]),
    ("default", "gpu-packing", &[(90, 89.98, 0.05), (100, 91.78, 0.50), (130, 92.00, 0.52)]),
    ("default", "dot", &[(90, 89.98, 0.05), (100, 90.62, 0.18), (130, 90.85, 0.19)]),
    ("default", "gpu-clustering", &[(90, 89.98, 0.05), (100, 91.65, 0.58), (130, 91.88, 0.59)]),
    ("default", "random", &[(90, 85.02, 0.27), (100, 86.30, 0.31), (130, 87.47, 0.30)]),
    ("gpuspec33", "fgd", &[(100, 87.84, 0.17), (130, 94.55, 0.14)]),
    ("gpuspec33", "binpack", &[(100, 80.39, 0.26), (130, 93.09, 0.14)]),
    ("gpuspec33", "gpu-packing", &[(100, 82.22, 0.37), (130, 93.22, 0.59)]),
    ("gpuspec33", "dot", &[(100, 79.82, 0.24), (130, 89.14, 0.36)]),
    ("gpuspec33", "gpu-clustering", &[(100, 81.09, 0.21), (130, 92.12, 0.65)]),
    ("gpuspec33", "random", &[(100, 83.87, 0.25), (130, 86.46, 0.13)]),
];

/// The published figure of `policy` on `list` (`default`, `gpuspec33`) when `asked` percent were asked for; `None`:
/// there is none here.
pub fn published(list: &str, policy: &str, asked: usize) -> Option<Published> {
    let (_, _, figures) = ROWS.iter().find(|row| (row.0, row.1) == (list, policy))?;
    let (_, mean, deviation) = figures.iter().find(|figure| figure.0 == asked)?;
    Some(Published { mean: *mean, deviation: *deviation })
}

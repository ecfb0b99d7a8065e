//! The scheduler on a cluster whose parts fail.

//! Small frameworks on the SDK alone; each example is one file beside this one.

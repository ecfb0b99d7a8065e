//! Whose turn it is, and how long anybody waits for it.

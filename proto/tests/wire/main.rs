//! The door from both sides: what goes out comes back, and what is wrong is refused by name.

mod golden;
mod refusals;
mod round_trip;
mod values;

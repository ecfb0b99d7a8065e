//! Tests of reading and showing that need to look inside; tables of definitions are in `tests/`.

mod codec;
mod fuzz;
mod generate;
mod schema;

//! A `lonja run` in the background, ended by whoever drops it.

use std::ops::{Deref, DerefMut};
use std::process::{Child, Output};

/// A child that no failing test leaves behind. In all else it is the child.
pub struct Running(Option<Child>);

impl Running {
    /// Waits for its end. Errors: as [`Child::wait_with_output`].
    pub fn wait_with_output(mut self) -> std::io::Result<Output> {
        self.0.take().expect("it is there until it is dropped").wait_with_output()
    }
}

impl From<Child> for Running {
    fn from(child: Child) -> Self {
        Self(Some(child))
    }
}

impl Deref for Running {
    type Target = Child;

    fn deref(&self) -> &Child {
        self.0.as_ref().expect("it is there until it is dropped")
    }
}

impl DerefMut for Running {
    fn deref_mut(&mut self) -> &mut Child {
        self.0.as_mut().expect("it is there until it is dropped")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ended = child.kill();
            let _status = child.wait();
        }
    }
}

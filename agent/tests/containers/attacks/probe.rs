//! What an attack says about itself, from inside the container: one line an attempt, `what=outcome`.
#![allow(unsafe_code, reason = "attacks are raw system calls")]

use std::ffi::CString;
use std::fs::OpenOptions;
use std::io;

/// The outcome of an attempt that worked.
pub const DONE: &str = "done";

/// Attempts so far.
#[derive(Default)]
pub struct Probe {
    lines: Vec<String>,
}

impl Probe {
    /// Notes an attempt that either worked or met an error.
    pub fn note(&mut self, what: &str, outcome: io::Result<()>) {
        let outcome = match outcome {
            Ok(()) => DONE.to_owned(),
            Err(error) => match error.raw_os_error() {
                Some(number) => name_of(number),
                None => error.to_string(),
            },
        };
        self.say(what, &outcome);
    }

    /// Notes an attempt with an outcome of its own kind.
    pub fn say(&mut self, what: &str, outcome: &str) {
        self.lines.push(format!("{what}={outcome}"));
    }

    /// Notes what a raw call returned; negative is an error in `errno`.
    pub fn call(&mut self, what: &str, number: i64, arguments: &[u64]) -> i64 {
        let (result, outcome) = raw(number, arguments);
        self.note(what, outcome);
        result
    }

    /// Tries to open files for writing, and changes nothing.
    pub fn open_for_write(&mut self, paths: &[&str]) {
        for path in paths {
            self.note(path, OpenOptions::new().write(true).open(path).map(|_| ()));
        }
    }

    pub fn print(self) {
        self.lines.iter().for_each(|line| println!("{line}"));
    }
}

/// The call as the kernel sees it; missing arguments are zero.
pub fn raw(number: i64, arguments: &[u64]) -> (i64, io::Result<()>) {
    let argument = |index: usize| arguments.get(index).copied().unwrap_or(0);
    let [a, b, c, d, e, f] = [0, 1, 2, 3, 4, 5].map(argument);
    // SAFETY: this process exists for this call alone, and ends soon after it.
    let result = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    if result < 0 { (result, Err(io::Error::last_os_error())) } else { (result, Ok(())) }
}

/// The address of a value, as an argument.
pub fn at<T: ?Sized>(value: &T) -> u64 {
    std::ptr::from_ref(value).cast::<u8>() as u64
}

/// Text with its NUL, to be kept alive over the call.
pub fn text(value: &str) -> CString {
    CString::new(value).unwrap()
}

/// A call by the 32-bit table: the error number, or `None` if it worked.
#[cfg(target_arch = "x86_64")]
pub fn by_old_table(number: u32, first: u32) -> Option<i32> {
    let result: i32;
    // SAFETY: the arguments are integers. The compiler keeps rbx for itself, so it is put back.
    unsafe {
        std::arch::asm!(
            "xchg {first:r}, rbx",
            "int 0x80",
            "xchg {first:r}, rbx",
            first = inout(reg) u64::from(first) => _,
            inlateout("eax") number => result,
            in("ecx") 0_u32,
            in("edx") 0_u32,
            in("esi") 0_u32,
            in("edi") 0_u32,
            out("r8") _,
            out("r9") _,
            out("r10") _,
            out("r11") _,
        );
    }
    (result < 0).then_some(-result)
}

/// Runs `child` in another process; its exit status.
pub fn in_child(child: impl FnOnce() -> i32) -> i32 {
    // SAFETY: this process has one thread.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        let status = child();
        // SAFETY: ends the child at once.
        unsafe { libc::_exit(status) };
    }
    let mut status = 0;
    // SAFETY: `status` outlives the call.
    unsafe { libc::waitpid(pid, &mut status, 0) };
    libc::WEXITSTATUS(status)
}

/// The kernel's name of an error.
pub fn name_of(number: i32) -> String {
    let text = format!("{:?}", nix::errno::Errno::from_raw(number));
    if text.starts_with("Unknown") { format!("errno {number}") } else { text }
}

//! The v2 device filter: a small program that the kernel asks before a device is opened or made.
//!
//! v2 has no control files for devices. The program is made here, instruction by instruction, from the rules, and
//! lives as long as the group that it is attached to.
//!
//! Source: Linux `Documentation/admin-guide/cgroup-v2.rst`, "Device controller"; bpf(2); `include/uapi/linux/bpf.h`.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::{DeviceKind, DeviceRule};

// Operation codes: class, size or source, operation.
const LOAD_WORD: u8 = 0x61;
const COPY: u8 = 0xbf;
const SET: u8 = 0xb7;
const AND: u8 = 0x57;
const SHIFT_RIGHT: u8 = 0x77;
const JUMP_UNLESS: u8 = 0x55;
const JUMP_UNLESS_SAME: u8 = 0x5d;
const EXIT: u8 = 0x95;

// What each register holds.
const VERDICT: u8 = 0;
const SCRATCH: u8 = 1;
const KIND: u8 = 2;
const ACCESS: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;

/// One instruction, as the kernel lays it out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub(super) struct Instruction {
    code: u8,
    /// Destination in the lower four bits, source in the upper.
    registers: u8,
    offset: i16,
    value: i32,
}

const fn instruction(code: u8, to: u8, from: u8, offset: i16, value: i32) -> Instruction {
    Instruction { code, registers: to | (from << 4), offset, value }
}

/// The program that lets through what a rule allows and nothing else.
pub(super) fn program(rules: &[DeviceRule]) -> Vec<Instruction> {
    // The kernel hands over three words: access and kind in one, major, minor. Register 1 points at them.
    let mut program = vec![
        instruction(LOAD_WORD, KIND, SCRATCH, 0, 0),
        instruction(LOAD_WORD, MAJOR, SCRATCH, 4, 0),
        instruction(LOAD_WORD, MINOR, SCRATCH, 8, 0),
        instruction(COPY, ACCESS, KIND, 0, 0),
        instruction(AND, KIND, 0, 0, 0xffff),
        instruction(SHIFT_RIGHT, ACCESS, 0, 0, 16),
    ];
    for rule in rules {
        let kind = match rule.kind {
            DeviceKind::Block => 1,
            DeviceKind::Character => 2,
        };
        let allowed = i32::from(rule.access.make)
            | (i32::from(rule.access.read) << 1)
            | (i32::from(rule.access.write) << 2);
        // A number with its highest bit set cannot be compared as it stands, and is no device's.
        let number = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
        let mut tests = vec![
            instruction(JUMP_UNLESS, KIND, 0, 0, kind),
            instruction(COPY, SCRATCH, ACCESS, 0, 0),
            instruction(AND, SCRATCH, 0, 0, allowed),
            instruction(JUMP_UNLESS_SAME, SCRATCH, ACCESS, 0, 0),
            instruction(JUMP_UNLESS, MAJOR, 0, 0, number(rule.major)),
        ];
        tests.extend(rule.minor.map(|minor| instruction(JUMP_UNLESS, MINOR, 0, 0, number(minor))));
        // What fails goes on behind the two instructions that allow.
        let end = tests.len() + 2;
        for (place, test) in tests.iter_mut().enumerate() {
            if matches!(test.code, JUMP_UNLESS | JUMP_UNLESS_SAME) {
                test.offset = i16::try_from(end - place - 1).unwrap_or(i16::MAX);
            }
        }
        program.extend(tests);
        program.extend([instruction(SET, VERDICT, 0, 0, 1), instruction(EXIT, 0, 0, 0, 0)]);
    }
    program.extend([instruction(SET, VERDICT, 0, 0, 0), instruction(EXIT, 0, 0, 0, 0)]);
    program
}

#[repr(C)]
#[derive(Default)]
struct Load {
    program_type: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
    interface: u32,
    expected_attach_type: u32,
}

#[repr(C)]
#[derive(Default)]
struct Attach {
    target: u32,
    program: u32,
    attach_type: u32,
    flags: u32,
    replaced: u32,
}

const PROG_LOAD: libc::c_int = 5;
const PROG_ATTACH: libc::c_int = 8;
const CGROUP_DEVICE_PROGRAM: u32 = 15;
const CGROUP_DEVICE_ATTACH: u32 = 6;
/// Programs of the groups above go on being asked.
const ALLOW_MULTI: u32 = 2;

/// Whether this process may load device filters, by loading one.
pub(super) fn can_load() -> bool {
    load(&[]).is_ok()
}

fn load(rules: &[DeviceRule]) -> io::Result<OwnedFd> {
    let instructions = program(rules);
    let load = Load {
        program_type: CGROUP_DEVICE_PROGRAM,
        count: u32::try_from(instructions.len()).map_err(io::Error::other)?,
        instructions: instructions.as_ptr() as u64,
        license: c"Apache-2.0".as_ptr() as u64,
        name: *b"lonja_devices\0\0\0",
        ..Load::default()
    };
    // SAFETY: the instructions and the license outlive the call; on success the result is a new descriptor of ours.
    Ok(unsafe { OwnedFd::from_raw_fd(bpf(PROG_LOAD, &load)?) })
}

/// Holds whatever runs in the group to the rules. Errors: the kernel has no such programs, or we may not load one.
pub(super) fn attach(group: BorrowedFd<'_>, rules: &[DeviceRule]) -> io::Result<()> {
    let program = load(rules)?;
    let attach = Attach {
        target: group.as_raw_fd().cast_unsigned(),
        program: program.as_raw_fd().cast_unsigned(),
        attach_type: CGROUP_DEVICE_ATTACH,
        flags: ALLOW_MULTI,
        ..Attach::default()
    };
    // SAFETY: the structure holds two open descriptors and plain numbers.
    unsafe { bpf(PROG_ATTACH, &attach) }.map(|_| ())
}

/// # Safety
/// `attributes` must be what `command` takes, and what it points to must be alive.
unsafe fn bpf<A>(command: libc::c_int, attributes: &A) -> io::Result<libc::c_int> {
    // SAFETY: the kernel reads no more than the given size; the rest is the caller's promise.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, command, std::ptr::from_ref(attributes), std::mem::size_of::<A>())
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    libc::c_int::try_from(result).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isolation::DeviceAccess;

    /// What the program answers, by running it as the kernel would.
    fn allows(program: &[Instruction], kind: u32, access: u32, major: u32, minor: u32) -> bool {
        let context = [(access << 16) | kind, major, minor];
        let mut registers = [0_u64; 11];
        let mut next = 0;
        loop {
            let now = program[next];
            next += 1;
            let to = usize::from(now.registers & 0xf);
            let from = registers[usize::from(now.registers >> 4)];
            let value = i64::from(now.value).cast_unsigned();
            let jump = usize::try_from(now.offset).unwrap();
            match now.code {
                LOAD_WORD => registers[to] = u64::from(context[jump / 4]),
                COPY => registers[to] = from,
                SET => registers[to] = value,
                AND => registers[to] &= value,
                SHIFT_RIGHT => registers[to] >>= value,
                JUMP_UNLESS if registers[to] != value => next += jump,
                JUMP_UNLESS_SAME if registers[to] != from => next += jump,
                JUMP_UNLESS | JUMP_UNLESS_SAME => {}
                EXIT => return registers[0] != 0,
                other => panic!("unknown code {other:#x}"),
            }
        }
    }

    #[test]
    fn only_what_a_rule_names_is_let_through() {
        let (make, read, write) = (1, 2, 4);
        let (block, character) = (1, 2);
        let mut rules = DeviceRule::minimal();
        let access = DeviceAccess { read: true, write: false, make: false };
        rules.push(DeviceRule { kind: DeviceKind::Block, major: 8, minor: Some(0), access, path: None });
        let program = program(&rules);
        let ask = |kind, access, major, minor| allows(&program, kind, access, major, minor);

        assert!(ask(character, read | write, 1, 3) && ask(character, make, 1, 3));
        assert!(ask(character, read | write, 136, 77));
        assert!(ask(block, read, 8, 0));
        for refused in [
            ask(block, write, 8, 0),
            ask(block, read | write, 8, 0),
            ask(block, make, 8, 0),
            ask(block, read, 8, 1),
            ask(block, read, 1, 3),
            ask(character, read, 1, 1),
            ask(character, read, 8, 0),
            ask(character, make, 10, 200),
        ] {
            assert!(!refused);
        }
        assert!(!allows(&super::program(&[]), character, read, 1, 3));
    }
}

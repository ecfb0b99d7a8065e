//! A search tree over system call numbers, as a program of the kernel's packet filter.
//!
//! Source: Linux `Documentation/networking/filter.rst`; `struct seccomp_data` in seccomp(2).

use std::collections::BTreeMap;

use seccompiler::{TargetArch, sock_filter};

use super::table::NEWEST;

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is made.
    Allow,
    /// As if the kernel did not have it.
    NoSuchCall,
    /// The program that follows the tree decides.
    Undecided,
}

const LOAD: u16 = 0x20;
const JUMP: u16 = 0x05;
const JUMP_IF_EQUAL: u16 = 0x15;
const JUMP_IF_AT_LEAST: u16 = 0x35;
const RETURN: u16 = 0x06;

const ALLOW: u32 = 0x7fff_0000;
const NO_SUCH_CALL: u32 = 0x0005_0000 | libc::ENOSYS.cast_unsigned();

/// Where `struct seccomp_data` has the call's number, and the machine whose number it is.
const NUMBER: u32 = 0;
const MACHINE: u32 = 4;

/// `AUDIT_ARCH_*` of the kernel.
const X86_64: u32 = 0xc000_003e;
const AARCH64: u32 = 0xc000_00b7;
const RISCV64: u32 = 0xc000_00f3;

fn instruction(code: u16, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code, jt, jf, k }
}

/// Says of calls by any other machine's table that they do not exist.
pub(super) fn only_this_machine(machine: TargetArch) -> Vec<sock_filter> {
    let machine = match machine {
        TargetArch::x86_64 => X86_64,
        TargetArch::aarch64 => AARCH64,
        TargetArch::riscv64 => RISCV64,
    };
    vec![
        instruction(LOAD, MACHINE, 0, 0),
        instruction(JUMP_IF_EQUAL, machine, 1, 0),
        instruction(RETURN, NO_SUCH_CALL, 0, 0),
    ]
}

/// The tree. Undecided numbers go on behind it; x32 numbers are larger than any other, and so do not exist.
pub(super) fn program(verdicts: &BTreeMap<u32, Verdict>) -> Vec<sock_filter> {
    let ranges = ranges(verdicts);
    let tree = branch(&ranges, 0);
    let mut program = vec![instruction(LOAD, NUMBER, 0, 0)];
    program.extend(tree);
    program
}

/// First numbers of ranges with one verdict each, from 0 on.
fn ranges(verdicts: &BTreeMap<u32, Verdict>) -> Vec<(u32, Verdict)> {
    let mut ranges: Vec<(u32, Verdict)> = Vec::new();
    for number in 0..=NEWEST + 1 {
        let known = verdicts.get(&number).copied().unwrap_or(Verdict::Undecided);
        let verdict = if number > NEWEST { Verdict::NoSuchCall } else { known };
        if ranges.last().is_none_or(|(_, last)| *last != verdict) {
            ranges.push((number, verdict));
        }
    }
    ranges
}

/// Decides among these ranges; `behind` instructions stand between this branch and the tree's end.
fn branch(ranges: &[(u32, Verdict)], behind: usize) -> Vec<sock_filter> {
    let [(_, only)] = ranges else {
        let (lower, upper) = ranges.split_at(ranges.len() / 2);
        let Some((boundary, _)) = upper.first() else { return Vec::new() };
        let upper_code = branch(upper, behind);
        let lower_code = branch(lower, behind + upper_code.len());
        let mut code = match u8::try_from(lower_code.len()) {
            Ok(over) => vec![instruction(JUMP_IF_AT_LEAST, *boundary, over, 0)],
            // Too far for one: over a jump that goes as far as it must.
            Err(_) => vec![
                instruction(JUMP_IF_AT_LEAST, *boundary, 0, 1),
                instruction(JUMP, u32::try_from(lower_code.len()).unwrap_or(u32::MAX), 0, 0),
            ],
        };
        code.extend(lower_code);
        code.extend(upper_code);
        return code;
    };
    vec![match only {
        Verdict::Allow => instruction(RETURN, ALLOW, 0, 0),
        Verdict::NoSuchCall => instruction(RETURN, NO_SUCH_CALL, 0, 0),
        Verdict::Undecided => instruction(JUMP, u32::try_from(behind).unwrap_or(u32::MAX), 0, 0),
    }]
}

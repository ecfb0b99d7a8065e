//! The smallest program there is: it ends with status 0. Its own start costs next to nothing, so that what is measured
//! is what surrounds it.
//!
//! Source: System V ABI, ELF header and program header; exit(2) is system call 60 on x86-64 and 93 on aarch64.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Where the program is loaded.
const BASE: u64 = 0x40_0000;
const HEADERS: u64 = 64 + 56;

#[cfg(target_arch = "x86_64")]
const MACHINE: u16 = 62;
/// `mov eax, 60; xor edi, edi; syscall`.
#[cfg(target_arch = "x86_64")]
const CODE: &[u8] = &[0xb8, 0x3c, 0, 0, 0, 0x31, 0xff, 0x0f, 0x05];

#[cfg(target_arch = "aarch64")]
const MACHINE: u16 = 183;
/// `mov x8, 93; mov x0, 0; svc 0`.
#[cfg(target_arch = "aarch64")]
const CODE: &[u8] = &[0xa8, 0x0b, 0x80, 0xd2, 0, 0, 0x80, 0xd2, 0x01, 0, 0, 0xd4];

/// Writes the program to `path`.
pub(super) fn write(path: &Path) -> io::Result<()> {
    let size = HEADERS + CODE.len() as u64;
    let mut file = Vec::with_capacity(256);
    // ELF, 64 bits, little endian, version 1; padding.
    file.extend([0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    // An executable.
    file.extend(2_u16.to_le_bytes());
    file.extend(MACHINE.to_le_bytes());
    file.extend(1_u32.to_le_bytes());
    // Entry, program headers behind this header, no sections, no flags.
    file.extend((BASE + HEADERS).to_le_bytes());
    file.extend(64_u64.to_le_bytes());
    file.extend(0_u64.to_le_bytes());
    file.extend(0_u32.to_le_bytes());
    for half in [64_u16, 56, 1, 64, 0, 0] {
        file.extend(half.to_le_bytes());
    }
    // One segment, loaded, readable and executable: the whole file.
    file.extend(1_u32.to_le_bytes());
    file.extend(5_u32.to_le_bytes());
    for long in [0, BASE, BASE, size, size, 0x1000] {
        file.extend(u64::to_le_bytes(long));
    }
    file.extend(CODE);
    fs::write(path, file)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_runs_and_ends_with_0() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("noop");
        super::write(&path).unwrap();
        assert!(std::process::Command::new(path).status().unwrap().success());
    }
}

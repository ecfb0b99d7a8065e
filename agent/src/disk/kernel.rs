//! Calls to the kernel about loop devices and quotas that no crate of ours has.
//!
//! Source: Linux `include/uapi/linux/{loop,btrfs,fs,quota}.h`; quotactl(2).
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

const LOOP_CTL_GET_FREE: u32 = 0x4C82;
const LOOP_CONFIGURE: u32 = 0x4C0A;
const BTRFS_SUBVOL_CREATE: u32 = 0x5000_940E;
const BTRFS_INO_LOOKUP: u32 = 0xD000_9412;
const BTRFS_QUOTA_CTL: u32 = 0xC010_9428;
const BTRFS_QGROUP_CREATE: u32 = 0x4010_942A;
const BTRFS_QGROUP_LIMIT: u32 = 0x8030_942B;
const FS_GETXATTR: u32 = 0x801C_581F;
const FS_SETXATTR: u32 = 0x401C_5820;

/// The device lets its file go when nobody uses it any more.
const LO_FLAGS_AUTOCLEAR: u32 = 4;

/// New files and folders below get the folder's project.
const PROJECT_INHERIT: u32 = 0x200;

/// `QCMD(Q_GETQUOTA, PRJQUOTA)` and `QCMD(Q_SETQUOTA, PRJQUOTA)`.
const GET_PROJECT_QUOTA: u32 = (0x0080_0007 << 8) | 2;
const SET_PROJECT_QUOTA: u32 = (0x0080_0008 << 8) | 2;

#[repr(C)]
struct LoopConfig {
    fd: u32,
    block_size: u32,
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    size_limit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
    reserved: [u64; 8],
}

#[repr(C)]
struct SubvolumeName {
    fd: i64,
    name: [u8; 4088],
}

#[repr(C)]
struct InodeLookup {
    tree: u64,
    object: u64,
    name: [u8; 4080],
}

#[repr(C)]
struct Pair {
    first: u64,
    second: u64,
}

#[repr(C)]
struct QgroupLimit {
    group: u64,
    flags: u64,
    max_referenced: u64,
    max_exclusive: u64,
    reserved_referenced: u64,
    reserved_exclusive: u64,
}

#[repr(C)]
#[derive(Default)]
struct FileAttributes {
    flags: u32,
    extent_size: u32,
    extents: u32,
    project: u32,
    cow_extent_size: u32,
    padding: [u8; 8],
}

#[repr(C)]
#[derive(Default)]
struct QuotaBlock {
    hard_blocks: u64,
    soft_blocks: u64,
    used_bytes: u64,
    hard_inodes: u64,
    soft_inodes: u64,
    used_inodes: u64,
    block_grace: u64,
    inode_grace: u64,
    valid: u32,
}

fn control<T>(file: BorrowedFd<'_>, request: u32, argument: &mut T) -> io::Result<i32> {
    // SAFETY: every request above reads and writes at most the structure that it is used with here, whose size is
    // part of the request's number where the kernel encodes it, and `LoopConfig` is that of loop.h.
    let done = unsafe { libc::ioctl(file.as_raw_fd(), request as _, std::ptr::from_mut(argument)) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(done) }
}

/// The number of a loop device that nobody uses, made if need be.
pub(super) fn free_loop_device(loop_control: BorrowedFd<'_>) -> io::Result<u32> {
    control(loop_control, LOOP_CTL_GET_FREE, &mut 0_u64).map(|number| u32::try_from(number).unwrap_or(0))
}

/// Makes a loop device show a file, until nobody uses it. Errors: `EBUSY` when somebody was faster.
pub(super) fn configure_loop(device: BorrowedFd<'_>, file: BorrowedFd<'_>) -> io::Result<()> {
    let mut config = LoopConfig {
        fd: u32::try_from(file.as_raw_fd()).unwrap_or(u32::MAX),
        block_size: 0,
        device: 0,
        inode: 0,
        rdevice: 0,
        offset: 0,
        size_limit: 0,
        number: 0,
        encrypt_type: 0,
        encrypt_key_size: 0,
        flags: LO_FLAGS_AUTOCLEAR,
        file_name: [0; 64],
        crypt_name: [0; 64],
        encrypt_key: [0; 32],
        init: [0; 2],
        reserved: [0; 8],
    };
    control(device, LOOP_CONFIGURE, &mut config).map(|_| ())
}

/// Makes a btrfs subvolume in a folder.
pub(super) fn create_subvolume(parent: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
    let mut argument = SubvolumeName { fd: 0, name: [0; 4088] };
    // The last byte stays 0.
    let Some(place) = argument.name[..4087].get_mut(..name.len()) else {
        return Err(io::ErrorKind::InvalidFilename.into());
    };
    place.copy_from_slice(name);
    control(parent, BTRFS_SUBVOL_CREATE, &mut argument).map(|_| ())
}

/// The number of the subvolume that a folder lies in.
pub(super) fn subvolume_id(folder: BorrowedFd<'_>) -> io::Result<u64> {
    // 256: the number of every subvolume's own root folder.
    let mut argument = InodeLookup { tree: 0, object: 256, name: [0; 4080] };
    control(folder, BTRFS_INO_LOOKUP, &mut argument)?;
    Ok(argument.tree)
}

/// Turns quotas on for a btrfs file system; once on, nothing changes.
pub(super) fn enable_btrfs_quotas(folder: BorrowedFd<'_>) -> io::Result<()> {
    control(folder, BTRFS_QUOTA_CTL, &mut Pair { first: 1, second: 0 }).map(|_| ())
}

/// Holds a subvolume to so many bytes. Errors: `ENOTCONN` while quotas are off.
pub(super) fn limit_subvolume(folder: BorrowedFd<'_>, subvolume: u64, bytes: u64) -> io::Result<()> {
    let mut argument = QgroupLimit {
        group: subvolume,
        // 1: what is referenced has a limit.
        flags: 1,
        max_referenced: bytes,
        max_exclusive: 0,
        reserved_referenced: 0,
        reserved_exclusive: 0,
    };
    control(folder, BTRFS_QGROUP_LIMIT, &mut argument).map(|_| ())
}

/// Forgets the limit of a subvolume that is no more.
pub(super) fn forget_subvolume(folder: BorrowedFd<'_>, subvolume: u64) -> io::Result<()> {
    control(folder, BTRFS_QGROUP_CREATE, &mut Pair { first: 0, second: subvolume }).map(|_| ())
}

/// The project of a folder.
pub(super) fn project_of(folder: BorrowedFd<'_>) -> io::Result<u32> {
    let mut attributes = FileAttributes::default();
    control(folder, FS_GETXATTR, &mut attributes)?;
    Ok(attributes.project)
}

/// Gives a folder, and all that is made below it later, to a project.
pub(super) fn set_project(folder: BorrowedFd<'_>, project: u32) -> io::Result<()> {
    let mut attributes = FileAttributes::default();
    control(folder, FS_GETXATTR, &mut attributes)?;
    attributes.project = project;
    attributes.flags |= PROJECT_INHERIT;
    control(folder, FS_SETXATTR, &mut attributes).map(|_| ())
}

fn quota(file: BorrowedFd<'_>, command: u32, project: u32, block: &mut QuotaBlock) -> io::Result<()> {
    let (file, block) = (file.as_raw_fd(), std::ptr::from_mut(block));
    // SAFETY: both commands read or write one `struct if_dqblk`, which `QuotaBlock` is.
    let done = unsafe { libc::syscall(libc::SYS_quotactl_fd, file, command, project, block) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Whether the file system of this folder counts and limits projects; the error says why not.
pub(super) fn has_project_quotas(folder: BorrowedFd<'_>) -> io::Result<()> {
    quota(folder, GET_PROJECT_QUOTA, 0, &mut QuotaBlock::default())
}

/// Holds a project to so many bytes and files; 0: no limit.
pub(super) fn limit_project(folder: BorrowedFd<'_>, project: u32, bytes: u64, files: u64) -> io::Result<()> {
    let mut block = QuotaBlock {
        // In units of 1,024 bytes.
        hard_blocks: bytes.div_ceil(1024),
        hard_inodes: files,
        // 1: the limits of blocks; 4: those of inodes.
        valid: 1 | 4,
        ..QuotaBlock::default()
    };
    quota(folder, SET_PROJECT_QUOTA, project, &mut block)
}

/// Opens a device or control file.
pub(super) fn open_device(path: &str) -> io::Result<std::os::fd::OwnedFd> {
    use rustix::fs::{Mode, OFlags, open};
    Ok(open(path, OFlags::RDWR | OFlags::CLOEXEC | OFlags::NONBLOCK, Mode::empty())?)
}

/// The structures are as large as the kernel's.
const _: () = {
    assert!(size_of::<LoopConfig>() == 304);
    assert!(size_of::<SubvolumeName>() == 4096 && size_of::<InodeLookup>() == 4096);
    assert!(size_of::<QgroupLimit>() == 48 && size_of::<FileAttributes>() == 28);
    assert!(size_of::<QuotaBlock>() == 72);
};

/// Whether two descriptors are of one device.
pub(super) fn same_device(one: impl AsFd, other: impl AsFd) -> io::Result<bool> {
    Ok(rustix::fs::fstat(one)?.st_dev == rustix::fs::fstat(other)?.st_dev)
}

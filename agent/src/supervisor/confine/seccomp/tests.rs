use super::*;

const X86_64: u32 = 0xc000_003e;
const I386: u32 = 0x4000_0003;

/// Runs the program as the kernel would, and says what it returns.
fn verdict(program: &[seccompiler::sock_filter], machine: u32, number: i64, arguments: [u64; 3]) -> u32 {
    let mut data = Vec::new();
    data.extend(u32::try_from(number).unwrap().to_le_bytes());
    data.extend(machine.to_le_bytes());
    data.extend(0_u64.to_le_bytes());
    arguments.iter().for_each(|argument| data.extend(argument.to_le_bytes()));
    data.resize(64, 0);
    let (mut place, mut value) = (0_usize, 0_u32);
    loop {
        let instruction = &program[place];
        place += 1;
        let test = |holds: bool| usize::from(if holds { instruction.jt } else { instruction.jf });
        let k = instruction.k;
        match instruction.code {
            0x20 => {
                let at = k as usize;
                value = u32::from_le_bytes(data[at..at + 4].try_into().unwrap());
            }
            0x54 => value &= k,
            0x05 => place += k as usize,
            0x15 => place += test(value == k),
            0x25 => place += test(value > k),
            0x35 => place += test(value >= k),
            0x06 => return k,
            other => panic!("unknown instruction {other:#x}"),
        }
    }
}

const ALLOWED: u32 = 0x7fff_0000;
const REFUSED: u32 = 0x0005_0001;
const ABSENT: u32 = 0x0005_0026;

fn standard() -> BpfProgram {
    compile(false, capabilities::DEFAULT).unwrap()
}

fn hardened() -> BpfProgram {
    compile(true, CapabilitySet::EMPTY).unwrap()
}

#[test]
fn exactly_what_the_table_names_is_allowed() {
    for (program, hardened, bounding) in
        [(standard(), false, capabilities::DEFAULT), (hardened(), true, CapabilitySet::EMPTY)]
    {
        let open = allowed(hardened, bounding);
        let by_arguments: Vec<i64> = arguments::rules(hardened, bounding).unwrap().into_keys().collect();
        for number in 0..i64::from(table::NEWEST) + 1 {
            if by_arguments.contains(&number) {
                continue;
            }
            let expected = match number {
                number if open.contains(&number) => ALLOWED,
                libc::SYS_clone3 => ABSENT,
                _ => REFUSED,
            };
            assert_eq!(verdict(&program, X86_64, number, [0; 3]), expected, "{number}");
        }
        assert_eq!(verdict(&program, X86_64, i64::from(table::NEWEST) + 1, [0; 3]), ABSENT);
    }
}

#[test]
fn another_machines_calls_do_not_exist() {
    for number in 0..600 {
        assert_eq!(verdict(&standard(), I386, number, [0; 3]), ABSENT);
        assert_eq!(verdict(&standard(), X86_64, number | 0x4000_0000, [0; 3]), ABSENT);
    }
}

#[test]
fn what_opens_the_kernel_is_refused_to_every_task() {
    let refused = [
        libc::SYS_mount,
        libc::SYS_unshare,
        libc::SYS_setns,
        libc::SYS_bpf,
        libc::SYS_perf_event_open,
        libc::SYS_io_uring_setup,
        libc::SYS_userfaultfd,
        libc::SYS_keyctl,
        libc::SYS_add_key,
        libc::SYS_request_key,
        libc::SYS_open_by_handle_at,
        libc::SYS_init_module,
        libc::SYS_kexec_load,
        libc::SYS_reboot,
        libc::SYS_syslog,
        libc::SYS_settimeofday,
        libc::SYS_sethostname,
        libc::SYS_fanotify_init,
        libc::SYS_lookup_dcookie,
        libc::SYS_iopl,
    ];
    for call in refused {
        assert_eq!(verdict(&standard(), X86_64, call, [0; 3]), REFUSED, "{call}");
    }
}

#[test]
fn hardened_tasks_may_do_less() {
    let (standard, hardened) = (standard(), hardened());
    let less = [
        libc::SYS_ptrace,
        libc::SYS_process_vm_readv,
        libc::SYS_name_to_handle_at,
        libc::SYS_memfd_secret,
        libc::SYS_modify_ldt,
        libc::SYS_kcmp,
        libc::SYS_chroot,
    ];
    for call in less {
        assert_eq!(verdict(&standard, X86_64, call, [0; 3]), ALLOWED, "{call}");
        assert_eq!(verdict(&hardened, X86_64, call, [0; 3]), REFUSED, "{call}");
    }
    let listener = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
    assert_eq!(verdict(&hardened, X86_64, libc::SYS_seccomp, [1, listener, 0]), REFUSED);
    assert_eq!(verdict(&hardened, X86_64, libc::SYS_seccomp, [1, 0, 0]), ALLOWED);
}

#[test]
fn arguments_decide_where_only_some_uses_are_harmless() {
    let program = standard();
    let said = |call: i64, arguments: [u64; 3]| verdict(&program, X86_64, call, arguments);
    let flag = |flag: i32| u64::from(flag.cast_unsigned());
    assert_eq!(said(libc::SYS_clone, [flag(libc::CLONE_VM | libc::CLONE_THREAD), 0, 0]), ALLOWED);
    assert_eq!(said(libc::SYS_clone, [flag(libc::CLONE_NEWUSER | libc::SIGCHLD), 0, 0]), REFUSED);
    assert_eq!(said(libc::SYS_socket, [flag(libc::AF_INET), 1, 0]), ALLOWED);
    for family in [libc::AF_ALG, libc::AF_VSOCK, libc::AF_PACKET, libc::AF_XDP] {
        assert_eq!(said(libc::SYS_socket, [flag(family), 1, 0]), REFUSED, "{family}");
    }
    let netlink = flag(libc::AF_NETLINK);
    assert_eq!(said(libc::SYS_socket, [netlink, 3, flag(libc::NETLINK_ROUTE)]), ALLOWED);
    assert_eq!(said(libc::SYS_socket, [netlink, 3, flag(libc::NETLINK_NETFILTER)]), REFUSED);
    assert_eq!(said(libc::SYS_ioctl, [0, 0x5401, 0]), ALLOWED);
    // Whatever stands in the upper half, which the kernel does not look at.
    assert_eq!(said(libc::SYS_ioctl, [0, 0x5412, 0]), REFUSED);
    assert_eq!(said(libc::SYS_ioctl, [0, 0x1_0000_5412, 0]), REFUSED);
    assert_eq!(said(libc::SYS_personality, [0xffff_ffff, 0, 0]), ALLOWED);
    assert_eq!(said(libc::SYS_personality, [0x4_0000, 0, 0]), REFUSED);
}

#[test]
fn a_capability_opens_what_it_is_for() {
    use lonja_model::privileges::Capability;
    let admin = CapabilitySet::of(&[Capability::SYS_ADMIN]);
    let program = compile(false, admin).unwrap();
    assert_eq!(verdict(&program, X86_64, libc::SYS_mount, [0; 3]), ALLOWED);
    let new_user = u64::from(libc::CLONE_NEWUSER.cast_unsigned());
    assert_eq!(verdict(&program, X86_64, libc::SYS_clone, [new_user, 0, 0]), ALLOWED);
    assert_eq!(verdict(&program, X86_64, libc::SYS_bpf, [0; 3]), REFUSED);
}

#[test]
fn the_program_is_short() {
    assert!(standard().len() < 400, "{}", standard().len());
}

#[test]
fn every_group_stands_in_the_docs() {
    let docs = include_str!("../../../../../docs/isolation.md");
    for (about, _, _) in overview(false, capabilities::DEFAULT) {
        assert!(docs.contains(&format!("| {about} | ")), "docs/isolation.md has no line for '{about}'");
    }
}

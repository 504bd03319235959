//! What a worker process gives up before it runs anybody's code.

use std::collections::BTreeMap;
use std::io;

use rustix::process::{DumpableBehavior, Resource, Rlimit, Signal};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

use crate::limits::Limits;

/// Confines this process for good: standard streams closed, no new descriptors,
/// processes, files or core dumps, bounded memory, no new privileges, and only the system
/// calls that running code needs; any other kills the process.
pub fn confine(limits: &Limits) -> io::Result<()> {
    confine_without(limits, None)
}

/// The same, with one system call less. **For tests** of what workers need.
pub(super) fn confine_without(limits: &Limits, call: Option<libc::c_long>) -> io::Result<()> {
    close_range(0, 2)?;
    limit_resources(limits)?;
    // Also sets PR_SET_NO_NEW_PRIVS.
    let filter = filter(call).map_err(io::Error::other)?;
    seccompiler::apply_filter(&filter).map_err(io::Error::other)
}

/// Closes all descriptors but the standard streams.
pub(super) fn close_inherited() -> io::Result<()> {
    close_range(3, u32::MAX)
}

/// Ends this process when the thread that started it ends, and hides its memory from
/// other processes of the same user.
pub(super) fn die_with_parent() -> io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(())
}

#[allow(unsafe_code)]
fn close_range(first: u32, last: u32) -> io::Result<()> {
    // SAFETY: called while this process has one thread and no value that owns one of these
    // descriptors: what was inherited, before anything is opened, and then the standard
    // streams, which nothing uses any more (panics are silent).
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0u32) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn limit_resources(limits: &Limits) -> io::Result<()> {
    let memory = limits.worker_bytes();
    let limits = [
        // Private writable memory. Not the address space: wasmtime reserves gigabytes of
        // it as guard pages.
        (Resource::Data, memory),
        (Resource::Nofile, 0),
        (Resource::Nproc, 0),
        (Resource::Fsize, 0),
        (Resource::Core, 0),
        (Resource::Memlock, 0),
    ];
    for (resource, limit) in limits {
        let limit = Rlimit { current: Some(limit), maximum: Some(limit) };
        rustix::process::setrlimit(resource, limit)?;
    }
    Ok(())
}

/// The channel, memory, the way back from traps, and the end. A test shows that each is needed
/// and that no other is allowed.
const ALLOWED: &[libc::c_long] = &[
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_exit_group,
];

/// Allowed only without asking for memory that can be executed.
const ALLOWED_WITHOUT_EXECUTION: &[libc::c_long] = &[libc::SYS_mmap, libc::SYS_mprotect];

/// Position of `prot` among the arguments of both calls.
const PROTECTION: u8 = 2;

fn filter(
    without: Option<libc::c_long>,
) -> Result<BpfProgram, Box<dyn std::error::Error + Send + Sync>> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        ALLOWED.iter().map(|call| (*call, Vec::new())).collect();
    for call in ALLOWED_WITHOUT_EXECUTION {
        let not_executable = SeccompCondition::new(
            PROTECTION,
            SeccompCmpArgLen::Dword,
            SeccompCmpOp::MaskedEq(u64::try_from(libc::PROT_EXEC)?),
            0,
        )?;
        rules.insert(*call, vec![SeccompRule::new(vec![not_executable])?]);
    }
    if let Some(call) = without {
        rules.remove(&call);
    }
    let architecture = TargetArch::try_from(std::env::consts::ARCH)?;
    let filter =
        SeccompFilter::new(rules, SeccompAction::KillProcess, SeccompAction::Allow, architecture)?;
    Ok(filter.try_into()?)
}

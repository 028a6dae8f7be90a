//! Ground: what the other end of a socket has not read yet.

use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};

use nix::libc::{self, SK_MEMINFO_WMEM_ALLOC, SK_MEMINFO_WMEM_QUEUED, SO_MEMINFO, SOL_SOCKET};
use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::GetStruct;

/// Memory of a socket, by the kernel's count (include/uapi/linux/sock_diag.h).
#[derive(Clone, Copy)]
struct MemInfo;

type MemInfoValue = [u32; 9];

nix::getsockopt_impl!(
    MemInfo,
    SOL_SOCKET,
    SO_MEMINFO,
    MemInfoValue,
    GetStruct<MemInfoValue>
);

/// How much of what was written the other end has not read yet (for TCP: its kernel has not
/// received), in bytes, with the kernel's overhead. 0 where that is unknown: no socket, a kernel
/// before Linux 4.12.
pub(crate) fn unread(socket: &impl AsFd) -> u32 {
    // qemu's user emulation returns less than the kernel does, and nix panics at that.
    let info = catch_unwind(AssertUnwindSafe(|| getsockopt(socket, MemInfo)));
    let Ok(Ok(info)) = info else {
        return 0;
    };
    let [queued, unacknowledged] = [SK_MEMINFO_WMEM_ALLOC, SK_MEMINFO_WMEM_QUEUED];
    info[queued as usize].saturating_add(info[unacknowledged as usize])
}

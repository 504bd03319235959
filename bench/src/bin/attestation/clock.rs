//! The system's clock, stopped for a peer that reads it.
//!
//! `attestation-doc-validation` takes no time as an argument, and no recorded document is valid
//! today: their certificates live for three hours. Its own tests change the clock under it, and
//! so do we: this program's `clock_gettime` stands before the C library's.

use std::sync::atomic::{AtomicU64, Ordering};

/// Seconds since 1970, or 0 while the clock runs.
static STOPPED_AT: AtomicU64 = AtomicU64::new(0);

/// Runs `body` at a time of our choice.
pub fn at<T>(seconds: u64, body: impl FnOnce() -> T) -> T {
    STOPPED_AT.store(seconds, Ordering::Relaxed);
    let result = body();
    STOPPED_AT.store(0, Ordering::Relaxed);
    result
}

/// As in POSIX; all clocks but that of the day are the kernel's.
#[expect(unsafe_code, reason = "only the C library's own symbol is where std reads the time")]
#[unsafe(no_mangle)]
unsafe extern "C" fn clock_gettime(clock: libc::clockid_t, time: *mut libc::timespec) -> i32 {
    let stopped = STOPPED_AT.load(Ordering::Relaxed);
    if clock == libc::CLOCK_REALTIME && stopped != 0 {
        let stopped = libc::time_t::try_from(stopped).unwrap_or(libc::time_t::MAX);
        // SAFETY: the caller gives a valid pointer, as the C library demands, too.
        unsafe { time.write(libc::timespec { tv_sec: stopped, tv_nsec: 0 }) };
        return 0;
    }
    // SAFETY: these are the arguments that the system call takes.
    let result = unsafe { libc::syscall(libc::SYS_clock_gettime, clock, time) };
    i32::try_from(result).unwrap_or(-1)
}

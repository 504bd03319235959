//! The guest's memory: a pointer that only moves forward.
//!
//! An instance lives for one unit, so nothing is ever freed. Memory starts right
//! behind the program's data and is grown only when a trainer needs more than the
//! page that is there anyway: growing costs a page fault for every unit.

use core::alloc::{GlobalAlloc, Layout};
use core::arch::wasm32::{memory_grow, memory_size};
use core::cell::Cell;
use core::ptr::null_mut;

const PAGE: usize = 65_536;

#[global_allocator]
static ALLOCATOR: Bump = Bump(Cell::new(0));

struct Bump(Cell<usize>);

// SAFETY: a guest has one thread; the world has no threads.
#[allow(unsafe_code)]
unsafe impl Sync for Bump {}

#[allow(unsafe_code)]
unsafe extern "C" {
    /// Set by the linker: the first address behind data and stack.
    static __heap_base: u8;
}

impl Bump {
    fn next(&self) -> usize {
        match self.0.get() {
            0 => &raw const __heap_base as usize,
            next => next,
        }
    }
}

// SAFETY: a block starts at or behind the end of every earlier block, at the
// wanted alignment, and lies inside linear memory.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Bump {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some(start) = self.next().checked_next_multiple_of(layout.align()) else {
            return null_mut();
        };
        let Some(end) = start.checked_add(layout.size()) else {
            return null_mut();
        };
        let available = memory_size(0) * PAGE;
        if end > available {
            let pages = (end - available).div_ceil(PAGE);
            if memory_grow(0, pages) == usize::MAX {
                return null_mut();
            }
        }
        self.0.set(end);
        start as *mut u8
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}

    /// Fresh memory is zero already.
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are passed on.
        unsafe { self.alloc(layout) }
    }
}

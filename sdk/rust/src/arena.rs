//! The allocator of a component: it allocates memory from a static arena and frees only the last block.
//!
//! An instance lives for one delivery, so memory that is never freed costs nothing; growing memory does: it is a system call
//! under a lock in the runtime. A delivery that fits the arena needs none.

#![allow(
    unsafe_code,
    reason = "an allocator is unsafe by its trait; the arithmetic is kept apart in `Bump`, which is safe"
)]

use std::alloc::Layout;

/// Size of the arena, in bytes, before memory has to grow. It is zeroed memory and adds nothing to the component's size.
#[cfg(target_family = "wasm")]
const ARENA_BYTES: usize = 256 * 1024;

/// Minimum growth of memory, in bytes.
const GROWTH_BYTES_MIN: usize = 256 * 1024;

/// The address of the next block, and the end of the available memory. Addresses only; nothing is read or written through
/// them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Bump {
    next: usize,
    end: usize,
}

impl Bump {
    /// The address of a new block. `grow` adds at least that many bytes of memory and returns their range.
    fn take(&mut self, layout: Layout, grow: impl FnOnce(usize) -> Option<(usize, usize)>) -> Option<usize> {
        if let Some((start, next)) = self.place(layout).filter(|(_, next)| *next <= self.end) {
            self.next = next;
            return Some(start);
        }
        let wanted = layout.size().checked_add(layout.align())?.max(GROWTH_BYTES_MIN);
        let (start, end) = grow(wanted)?;
        // Memory that continues the remaining part is joined with it; otherwise the remaining part is given up.
        let next = if start == self.end { self.next } else { start };
        *self = Self { next, end };
        let (start, next) = self.place(layout).filter(|(_, next)| *next <= self.end)?;
        self.next = next;
        Some(start)
    }

    /// Frees a block, if it is the last one.
    fn give_back(&mut self, start: usize, size: usize) {
        if start.checked_add(size) == Some(self.next) {
            self.next = start;
        }
    }

    /// Whether the block can be made `new_size` bytes long in place.
    fn resize(&mut self, start: usize, size: usize, new_size: usize) -> bool {
        let last = start.checked_add(size) == Some(self.next);
        match start.checked_add(new_size) {
            Some(next) if last && next <= self.end => {
                self.next = next;
                true
            }
            _ => new_size <= size,
        }
    }

    /// The range of a new block.
    fn place(&self, layout: Layout) -> Option<(usize, usize)> {
        // Alignments are powers of two.
        let below = layout.align() - 1;
        let start = self.next.checked_add(below)? & !below;
        Some((start, start.checked_add(layout.size())?))
    }
}

#[cfg(target_family = "wasm")]
mod global {
    use std::{
        alloc::{GlobalAlloc, Layout},
        arch::wasm32,
        cell::{Cell, UnsafeCell},
        ptr,
    };

    use super::{ARENA_BYTES, Bump};

    const PAGE_BYTES: usize = 64 * 1024;

    #[global_allocator]
    static ALLOCATOR: Allocator =
        Allocator { arena: UnsafeCell::new([0; ARENA_BYTES]), bump: Cell::new(Bump { next: 0, end: 0 }) };

    #[repr(C, align(16))]
    struct Allocator {
        arena: UnsafeCell<[u8; ARENA_BYTES]>,
        /// All zero before the first allocation.
        bump: Cell<Bump>,
    }

    // SAFETY: wasm32-wasip2 has no threads.
    unsafe impl Sync for Allocator {}

    impl Allocator {
        fn with_bump<T>(&self, work: impl FnOnce(&mut Bump) -> T) -> T {
            let mut bump = self.bump.get();
            if bump.end == 0 {
                let start = self.arena.get() as usize;
                bump = Bump { next: start, end: start + ARENA_BYTES };
            }
            let result = work(&mut bump);
            self.bump.set(bump);
            result
        }
    }

    fn grow(bytes: usize) -> Option<(usize, usize)> {
        let pages = bytes.div_ceil(PAGE_BYTES);
        let before = wasm32::memory_grow::<0>(pages);
        let start = (before != usize::MAX).then_some(before)?.checked_mul(PAGE_BYTES)?;
        Some((start, start.checked_add(pages.checked_mul(PAGE_BYTES)?)?))
    }

    // SAFETY: `Bump` returns each address only once until it is freed, aligned, within memory that is the arena or was just
    // grown; no other code uses memory of either.
    unsafe impl GlobalAlloc for Allocator {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            self.with_bump(|bump| bump.take(layout, grow)).map_or(ptr::null_mut(), |address| address as *mut u8)
        }

        unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
            self.with_bump(|bump| bump.give_back(block as usize, layout.size()));
        }

        unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
            if self.with_bump(|bump| bump.resize(block as usize, layout.size(), new_size)) {
                return block;
            }
            let Ok(new_layout) = Layout::from_size_align(new_size, layout.align()) else { return ptr::null_mut() };
            // SAFETY: `resize` shrinks blocks in place, so the new block is larger than the old one and does not overlap it.
            unsafe {
                let new = self.alloc(new_layout);
                if !new.is_null() {
                    ptr::copy_nonoverlapping(block, new, layout.size());
                }
                new
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(size: usize, align: usize) -> Layout {
        Layout::from_size_align(size, align).expect("a good layout")
    }

    fn no_growth(_: usize) -> Option<(usize, usize)> {
        None
    }

    #[test]
    fn blocks_are_aligned_and_apart() {
        let mut bump = Bump { next: 1001, end: 2000 };
        assert_eq!(bump.take(layout(10, 8), no_growth), Some(1008));
        assert_eq!(bump.take(layout(1, 1), no_growth), Some(1018));
        assert_eq!(bump.take(layout(16, 16), no_growth), Some(1024));
        assert_eq!(bump.take(layout(1000, 1), no_growth), None);
        assert_eq!(bump.next, 1040, "a refused block takes nothing");
    }

    #[test]
    fn only_the_last_block_is_taken_back_or_grows_in_place() {
        let mut bump = Bump { next: 1000, end: 1100 };
        let first = bump.take(layout(10, 1), no_growth).expect("fits");
        let last = bump.take(layout(10, 1), no_growth).expect("fits");
        bump.give_back(first, 10);
        assert_eq!(bump.next, 1020);
        assert!(bump.resize(last, 10, 40) && bump.next == 1050);
        assert!(!bump.resize(first, 10, 11));
        assert!(bump.resize(first, 10, 5), "smaller always fits");
        assert!(!bump.resize(last, 40, 200), "past the end it has to move");
        bump.give_back(last, 40);
        assert_eq!(bump.next, 1010);
    }

    #[test]
    fn growth_that_follows_on_is_joined() {
        let mut bump = Bump { next: 1000, end: 1100 };
        let joined = bump.take(layout(200, 1), |bytes| {
            assert_eq!(bytes, GROWTH_BYTES_MIN);
            Some((1100, 1100 + bytes))
        });
        assert_eq!((joined, bump.end), (Some(1000), 1100 + GROWTH_BYTES_MIN));
        let apart = bump.take(layout(GROWTH_BYTES_MIN, 1), |bytes| Some((9_000_000, 9_000_000 + bytes)));
        assert_eq!(apart, Some(9_000_000));
        assert_eq!(bump.take(layout(usize::MAX / 2, 1), no_growth), None);
    }
}

//! Spare file descriptors: released when none is free for a segment, and reserved again later.
//!
//! Connections, outbound calls and compilers share the process's limit, and any of them may take the last one.

use std::{fmt, fs::File, io};

use parking_lot::Mutex;

use crate::error::is_out_of_descriptors;

/// Number of spare descriptors. A segment takes one, and so does a reader of an older one.
const SPARE_DESCRIPTORS: usize = 8;
const PLACEHOLDER: &str = "/dev/null";

/// See the module documentation.
pub struct Spare {
    open: Box<dyn Fn() -> io::Result<File> + Send + Sync>,
    held: Mutex<Vec<File>>,
}

impl Spare {
    pub fn take() -> Self {
        Self::of(|| File::open(PLACEHOLDER))
    }

    fn of(open: impl Fn() -> io::Result<File> + Send + Sync + 'static) -> Self {
        let spare = Self { open: Box::new(open), held: Mutex::default() };
        spare.refill();
        spare
    }

    /// Opens a file, with one of the spare descriptors if no other is free.
    pub fn open(&self, open: impl Fn() -> io::Result<File>) -> io::Result<File> {
        self.refill();
        loop {
            match open() {
                Err(error) if is_out_of_descriptors(&error) && self.held.lock().pop().is_some() => {}
                opened => return opened,
            }
        }
    }

    /// As many as can be opened.
    fn refill(&self) {
        let mut held = self.held.lock();
        while held.len() < SPARE_DESCRIPTORS {
            let Ok(file) = (self.open)() else { return };
            held.push(file);
        }
    }
}

impl fmt::Debug for Spare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Spare").field(&self.held).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    };

    use rustix::io::Errno;

    use super::*;

    #[test]
    fn a_spare_descriptor_is_released_for_a_file_and_reserved_again() {
        let others_took_all = Arc::new(AtomicBool::new(false));
        let exhausted = Arc::clone(&others_took_all);
        let spare = Spare::of(move || match exhausted.load(Ordering::SeqCst) {
            true => Err(Errno::MFILE.into()),
            false => File::open(PLACEHOLDER),
        });
        assert_eq!(spare.held.lock().len(), SPARE_DESCRIPTORS);
        others_took_all.store(true, Ordering::SeqCst);
        let tries = AtomicUsize::new(0);
        let second_try = || match tries.fetch_add(1, Ordering::SeqCst) {
            0 => Err(Errno::MFILE.into()),
            _ => File::open(PLACEHOLDER),
        };
        spare.open(second_try).expect("the descriptor that was kept back");
        assert_eq!(spare.held.lock().len(), SPARE_DESCRIPTORS - 1);
        let error = spare.open(|| Err(Errno::NFILE.into())).expect_err("the machine has none");
        assert_eq!((error.raw_os_error(), spare.held.lock().len()), (Some(Errno::NFILE.raw_os_error()), 0));
        others_took_all.store(false, Ordering::SeqCst);
        spare.open(|| File::open(PLACEHOLDER)).expect("a file");
        assert_eq!(spare.held.lock().len(), SPARE_DESCRIPTORS);
    }
}

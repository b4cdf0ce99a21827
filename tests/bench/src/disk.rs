//! How fast the disk syncs at present: rates and latencies have no meaning without it.

use std::{fs::File, io::Write, path::Path, time::Duration};

use anyhow::Result;

use crate::{clock, figures};

const WRITE_BYTES: usize = 4_096;
const SYNCS: usize = 200;
/// Time limit of the measurement on a slow disk.
const PATIENCE: Duration = Duration::from_secs(2);

/// One writer that appends 4 KiB and calls fdatasync, repeatedly: the duration of each.
#[derive(Debug, Clone, Default)]
pub struct Calibration {
    took: Vec<Duration>,
}

impl Calibration {
    /// Measures the disk of `dir`.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn of(dir: &Path) -> Result<Self> {
        let mut file = tempfile::tempfile_in(dir)?;
        let begun = clock::now();
        let mut took = Vec::with_capacity(SYNCS);
        while took.len() < SYNCS && begun.elapsed() < PATIENCE {
            took.push(append(&mut file)?);
        }
        Ok(Self { took })
    }

    /// Merges two measurements: a run's disk is measured before and after it.
    #[must_use]
    pub fn and(mut self, later: Self) -> Self {
        self.took.extend(later.took);
        self
    }

    #[must_use]
    pub fn syncs_per_s(&self) -> f64 {
        figures::rate_per_s(self.took.len(), self.took.iter().sum())
    }

    #[must_use]
    pub fn p99_ms(&self) -> f64 {
        let mut sorted = self.took.clone();
        sorted.sort_unstable();
        figures::ms(figures::percentile(&sorted, 0.99))
    }
}

fn append(file: &mut File) -> Result<Duration> {
    let begun = clock::now();
    file.write_all(&[7; WRITE_BYTES])?;
    file.sync_data()?;
    Ok(begun.elapsed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_calibrations_count_as_one() {
        let of = |ms| Calibration { took: vec![Duration::from_millis(ms); 100] };
        let both = of(1).and(of(3));
        assert!((both.syncs_per_s() - 500.0).abs() < 1e-9 && (both.p99_ms() - 3.0).abs() < 1e-9);
    }

    #[test]
    fn a_disk_is_measured() {
        let dir = tempfile::tempdir().expect("a directory");
        let calibration = Calibration::of(dir.path()).expect("a disk that can be written");
        assert!(calibration.syncs_per_s() > 0.0 && calibration.p99_ms() >= 0.0);
    }
}

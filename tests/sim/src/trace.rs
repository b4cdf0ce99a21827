//! A history's fingerprint: the same seed gives the same number.

/// FNV-1a over everything traced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trace(u64);

impl Default for Trace {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Trace {
    pub fn number(&mut self, number: u64) {
        self.0 = (self.0 ^ number).wrapping_mul(0x0100_0000_01b3);
        self.0 ^= self.0 >> 31;
    }

    pub fn bytes(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            self.number(chunk.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)));
        }
    }

    #[must_use]
    pub fn value(self) -> u64 {
        self.0
    }
}

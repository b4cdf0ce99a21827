//! The contents of the simulated disk, and which unsynced changes survive a power cut.

use std::collections::BTreeMap;

const SECTOR_BYTES: u64 = 512;

pub(super) type Inode = u64;

pub(super) enum Change {
    Write { inode: Inode, offset: u64, bytes: Vec<u8> },
    Resize { inode: Inode, size: u64 },
    Link { name: String, inode: Inode },
    Unlink { name: String },
    Rename { from: String, to: String },
}

#[derive(Default, Clone)]
pub(super) struct Image {
    pub(super) names: BTreeMap<String, Inode>,
    pub(super) files: BTreeMap<Inode, Vec<u8>>,
}

impl Change {
    pub(super) fn cost(&self) -> u64 {
        match self {
            Self::Write { bytes, .. } => bytes.len() as u64,
            _ => 1,
        }
    }

    pub(super) fn is_of_names(&self) -> bool {
        matches!(self, Self::Link { .. } | Self::Unlink { .. } | Self::Rename { .. })
    }

    pub(super) fn is_of(&self, file: Inode) -> bool {
        matches!(self, Self::Write { inode, .. } | Self::Resize { inode, .. } if *inode == file)
    }
}

impl Image {
    pub(super) fn bytes(&self) -> u64 {
        self.files.values().map(|file| file.len() as u64).sum()
    }

    pub(super) fn size(&self, inode: Inode) -> u64 {
        self.files.get(&inode).map_or(0, |file| file.len() as u64)
    }

    pub(super) fn apply(&mut self, change: &Change) {
        match change {
            Change::Write { inode, offset, bytes } => {
                let file = self.files.entry(*inode).or_default();
                let start = usize::try_from(*offset).unwrap_or(usize::MAX);
                if file.len() < start + bytes.len() {
                    file.resize(start + bytes.len(), 0);
                }
                if let Some(range) = file.get_mut(start..start + bytes.len()) {
                    range.copy_from_slice(bytes);
                }
            }
            Change::Resize { inode, size } => {
                self.files.entry(*inode).or_default().resize(usize::try_from(*size).unwrap_or(usize::MAX), 0);
            }
            Change::Link { name, inode } => {
                self.names.insert(name.clone(), *inode);
                self.files.entry(*inode).or_default();
            }
            Change::Unlink { name } => {
                if let Some(inode) = self.names.remove(name) {
                    self.files.remove(&inode);
                }
            }
            Change::Rename { from, to } => {
                if let Some(inode) = self.names.remove(from)
                    && let Some(replaced) = self.names.insert(to.clone(), inode)
                {
                    self.files.remove(&replaced);
                }
            }
        }
    }
}

/// Applies changes in order until `budget` bytes are used.
pub(super) fn keep(image: &mut Image, changes: &[Change], mut budget: u64) {
    for change in changes {
        match change {
            Change::Write { inode, offset, bytes } if change.cost() > budget => {
                let bytes = bytes.iter().copied().take(usize::try_from(budget).unwrap_or(usize::MAX)).collect();
                image.apply(&Change::Write { inode: *inode, offset: *offset, bytes });
                return;
            }
            _ if change.cost() > budget => return,
            _ => image.apply(change),
        }
        budget -= change.cost();
    }
}

/// Applies each change at random, and each sector of a write at random.
pub(super) fn throw(image: &mut Image, changes: &[Change], seed: u64) {
    let mut coin = Coin(seed);
    for change in changes {
        let Change::Write { inode, offset, bytes } = change else {
            if coin.throw() {
                image.apply(change);
            }
            continue;
        };
        let (mut at, mut rest) = (*offset, bytes.as_slice());
        while !rest.is_empty() {
            let count = usize::try_from(SECTOR_BYTES - at % SECTOR_BYTES).unwrap_or(1).min(rest.len());
            let (sector, after) = rest.split_at(count);
            if coin.throw() {
                image.apply(&Change::Write { inode: *inode, offset: at, bytes: sector.to_vec() });
            }
            (at, rest) = (at + count as u64, after);
        }
    }
}

/// `SplitMix64`, one bit at a time.
struct Coin(u64);

impl Coin {
    fn throw(&mut self) -> bool {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) & 1 == 1
    }
}

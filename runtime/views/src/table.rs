//! Tables: what the first byte of a key says about how its entry is stored. Which tables there are, the owner of the views
//! declares as data; what is in them is not known here.

/// How many bytes of entries a packed page holds at most, about. Each change of one writes the whole page.
pub const PAGE_BYTES_MAX: usize = 1024;

/// A table: all entries whose keys begin with one byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Table {
    /// The byte, 1 to 127.
    pub name: u8,
    /// Many entries share a page of the store. That takes less memory, and more of everything else, so it is for tables with
    /// millions of small entries. Part of the stored format: it never changes for a name that is in use.
    pub packed: bool,
}

impl Table {
    /// What the keys of the table begin with.
    #[must_use]
    pub const fn prefix(&self) -> &[u8] {
        std::slice::from_ref(&self.name)
    }
}

/// The tables of some views, as sets of their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tables {
    declared: u128,
    packed: u128,
}

impl Tables {
    /// # Panics
    /// Two tables have one name, or a name is out of range. In a constant, that is an error at compile time.
    #[must_use]
    pub const fn new(mut tables: &[Table]) -> Self {
        let (mut declared, mut packed) = (0, 0);
        while let [table, others @ ..] = tables {
            assert!(table.name > 0 && table.name < 128, "a table's name is 1 to 127");
            let bit = 1_u128 << table.name;
            assert!(declared & bit == 0, "two tables have one name");
            declared |= bit;
            if table.packed {
                packed |= bit;
            }
            tables = others;
        }
        Self { declared, packed }
    }

    /// Whether the key is of a table that was declared.
    #[must_use]
    pub fn hold(&self, key: &[u8]) -> bool {
        self.declared & bit_of(key) != 0
    }

    /// Whether the key's entry is in a packed page.
    #[must_use]
    pub fn is_packed(&self, key: &[u8]) -> bool {
        self.packed & bit_of(key) != 0
    }
}

fn bit_of(key: &[u8]) -> u128 {
    key.first().and_then(|name| 1_u128.checked_shl(u32::from(*name))).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_of_the_table_that_it_begins_with() {
        let [one, other] = [Table { name: b'a', packed: false }, Table { name: b'\x7f', packed: true }];
        let tables = Tables::new(&[one, other]);
        assert_eq!([one, other].map(|table| table.prefix().to_vec()), [b"a".to_vec(), b"\x7f".to_vec()]);
        let found = |key: &[u8]| (tables.hold(key), tables.is_packed(key));
        assert_eq!((found(b"a1"), found(b"\x7f")), ((true, false), (true, true)));
        for key in [b"".as_slice(), b"b", b"A", b"\0", b"\xe1", b"\xff"] {
            assert_eq!(found(key), (false, false), "{key:?}");
        }
    }

    #[test]
    fn names_are_unique_and_in_range() {
        for names in [[b'a', b'a'], [0, 1], [1, 128]] {
            let tables = names.map(|name| Table { name, packed: false });
            assert!(std::panic::catch_unwind(|| Tables::new(&tables)).is_err(), "{names:?}");
        }
    }
}

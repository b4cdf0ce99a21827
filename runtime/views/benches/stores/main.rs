//! Measures the store in sled under the workload of `workload.rs`, as plain rows and as packed pages.
//! `cargo bench -p weirgate-views --bench stores [-- plain|packed [DIR [ENTRIES [ENTRIES A COMMIT]]]]`.

mod workload;

use std::error::Error;

use weirgate_views::{SledStore, Table, Tables};
use workload::{CACHE_BYTES, TABLE, measure};

fn main() -> Result<(), Box<dyn Error>> {
    for (name, packed) in [("plain", false), ("packed", true)] {
        let tables = Tables::new(&[Table { name: TABLE, packed }]);
        measure(name, &|dir| Ok(Box::new(SledStore::open(dir, tables, CACHE_BYTES)?)))?;
    }
    Ok(())
}

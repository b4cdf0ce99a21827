//! The demo's payment handler with a bug, for the tests of its repair: `build.rs` says which, and makes the sources.

include!(concat!(env!("OUT_DIR"), "/lib.rs"));

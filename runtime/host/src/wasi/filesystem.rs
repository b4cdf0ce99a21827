//! `wasi:filesystem`: there are no preopened directories, so no file can be reached. The other functions exist because
//! components import them; they need a descriptor, which no guest can get.

use wasmtime::component::{Linker, Resource, ResourceType, Val};

use super::versioned;
use crate::{attempt::Attempt, failure::contract};

struct Descriptor;
struct DirectoryEntryStream;

/// The methods of a descriptor.
const DESCRIPTOR_METHODS: [&str; 27] = [
    "advise",
    "append-via-stream",
    "create-directory-at",
    "get-flags",
    "get-type",
    "is-same-object",
    "link-at",
    "metadata-hash",
    "metadata-hash-at",
    "open-at",
    "read",
    "read-directory",
    "read-via-stream",
    "readlink-at",
    "remove-directory-at",
    "rename-at",
    "set-size",
    "set-times",
    "set-times-at",
    "stat",
    "stat-at",
    "symlink-at",
    "sync",
    "sync-data",
    "unlink-file-at",
    "write",
    "write-via-stream",
];

pub(super) fn add_to_linker(linker: &mut Linker<Attempt>) -> wasmtime::Result<()> {
    let mut types = linker.instance(&versioned("filesystem/types"))?;
    types.resource("descriptor", ResourceType::host::<Descriptor>(), |_, _| Ok(()))?;
    types.resource("directory-entry-stream", ResourceType::host::<DirectoryEntryStream>(), |_, _| Ok(()))?;
    let methods = DESCRIPTOR_METHODS.map(|method| format!("[method]descriptor.{method}"));
    for method in methods.iter().map(String::as_str).chain(["[method]directory-entry-stream.read-directory-entry"]) {
        types.func_new(method, |_, _, _, _| Err(contract("there are no files in a handler").into()))?;
    }
    // The file-system error of a stream: always none, as no stream is one of a file.
    types.func_new("filesystem-error-code", |_, _, _, results| {
        if let Some(result) = results.first_mut() {
            *result = Val::Option(None);
        }
        Ok(())
    })?;

    let mut preopens = linker.instance(&versioned("filesystem/preopens"))?;
    preopens.func_wrap("get-directories", |_, (): ()| Ok((Vec::<(Resource<Descriptor>, String)>::new(),)))
}

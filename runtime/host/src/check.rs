//! Whether bytes are a handler: a component of our world that imports only offered interfaces.
//!
//! Knows no file and runs nothing.

use std::{
    io::{self, Read},
    path::PathBuf,
};

use wasmparser::{Chunk, ComponentTypeRef, Parser, Payload};
use wasmtime::{
    Engine,
    component::{Component, InstancePre, Linker, types::ComponentItem},
};

use crate::{
    ModuleError,
    attempt::Attempt,
    contract::bindings::{
        HandlerIndices, batching::BatchHandlerIndices, compensating::CompensatingHandlerIndices,
        correcting::CorrectingHandlerIndices, migrating::MigrationIndices,
    },
    entry::{Entry, Handling},
    wasi,
};

/// The contract's own interfaces, without their version.
const CONTRACT: [&str; 7] = [
    "weirgate:handler/batch",
    "weirgate:handler/config",
    "weirgate:handler/http",
    "weirgate:handler/log",
    "weirgate:handler/outbox",
    "weirgate:handler/state",
    "weirgate:handler/types",
];
const HANDLE: &str = "handle";
const HANDLE_BATCH: &str = "handle-batch";
const ON_CORRECTABLE: &str = "on-correctable";
const ON_CORRECTED: &str = "on-corrected";
const MIGRATE_STATE: &str = "migrate-state";

/// The layer field of the WebAssembly preamble, which distinguishes components from core modules.
const MAGIC: &[u8] = b"\0asm";
const CORE_LAYER: &[u8] = &[1, 0, 0, 0];

/// What the first bytes show before compilation.
pub(crate) fn preamble(bytes: &[u8]) -> Result<(), ModuleError> {
    match bytes.strip_prefix(MAGIC) {
        None => Err(ModuleError::NotWasm),
        Some(rest) if rest.starts_with(CORE_LAYER) => Err(ModuleError::CoreModule),
        Some(_) => Ok(()),
    }
}

/// Bytes that are read at once.
const READ_BYTES: usize = 64 << 10;

/// Whether all imports of a component are offered, before it is compiled. What cannot be parsed is left to the compiler, which says
/// more.
pub(crate) fn imports(module: impl Read) -> Result<(), ModuleError> {
    let path = PathBuf::default();
    let names = import_names(module).map_err(|source| ModuleError::Storage { doing: "reading", path, source })?;
    names.iter().try_for_each(|name| offered_import(name))
}

/// Only the component's own: what is nested in it is skipped.
fn import_names(mut module: impl Read) -> io::Result<Vec<String>> {
    let (mut parser, mut names) = (Parser::new(0), Vec::new());
    let (mut bytes, mut is_complete) = (Vec::new(), false);
    loop {
        let (consumed, skipped) = match parser.parse(&bytes, is_complete) {
            Err(_) => return Ok(names),
            Ok(Chunk::NeedMoreData(_)) => {
                is_complete = module.by_ref().take(READ_BYTES as u64).read_to_end(&mut bytes)? == 0;
                continue;
            }
            Ok(Chunk::Parsed { consumed, payload }) => match payload {
                Payload::ComponentImportSection(imports) => {
                    // Types belong to the interface that is imported before them.
                    let imports = imports.into_iter().map_while(Result::ok);
                    let imports = imports.filter(|import| !matches!(import.ty, ComponentTypeRef::Type(_)));
                    names.extend(imports.map(|import| import.name.name.to_owned()));
                    (consumed, 0)
                }
                Payload::ModuleSection { unchecked_range, .. } | Payload::ComponentSection { unchecked_range, .. } => {
                    (consumed, unchecked_range.len())
                }
                Payload::End(_) => return Ok(names),
                _ => (consumed, 0),
            },
        };
        let end = consumed.saturating_add(skipped);
        let unread = end.saturating_sub(bytes.len());
        bytes.drain(..end.min(bytes.len()));
        io::copy(&mut module.by_ref().take(unread as u64), &mut io::sink())?;
    }
}

fn offered_import(name: &str) -> Result<(), ModuleError> {
    match is_offered(name) {
        true => Ok(()),
        false => Err(ModuleError::ImportNotOffered { name: name.to_owned(), offered: offered() }),
    }
}

/// The names of a component's imports and exports.
pub(crate) fn names(engine: &Engine, component: &Component) -> (Vec<String>, Vec<String>) {
    let component = component.component_type();
    let imports = component.imports(engine).map(|(name, _)| name.to_owned()).collect();
    (imports, component.exports(engine).map(|(name, _)| name.to_owned()).collect())
}

/// Links the component with the offered interfaces.
pub(crate) fn link(linker: &Linker<Attempt>, component: &Component) -> Result<Entry, ModuleError> {
    let engine = linker.engine();
    for (name, _) in component.component_type().imports(engine) {
        offered_import(name)?;
    }
    let functions = functions(engine, component);
    let world = world(&functions).map_err(ModuleError::OtherWorld)?;
    let has = |name: &str| functions.iter().any(|function| function == name);
    let pre = linker.instantiate_pre(component).map_err(|error| ModuleError::ImportDiffers(one_line(&error)))?;
    let compensating = has(ON_CORRECTED).then(|| CompensatingHandlerIndices::new(&pre).map_err(differs(ON_CORRECTED)));
    let migration = has(MIGRATE_STATE).then(|| MigrationIndices::new(&pre).map_err(differs(MIGRATE_STATE)));
    let (compensating, migration) = (compensating.transpose()?, migration.transpose()?);
    Ok(Entry { handling: handling(world, &pre)?, compensating, migration, pre })
}

/// How a component takes deliveries, by the names of its exports.
#[derive(Debug, Clone, Copy)]
enum World {
    One { corrects: bool },
    Batch,
}

/// # Errors
/// The description of a problem with the exported functions.
fn world(exports: &[String]) -> Result<World, String> {
    let has = |name: &str| exports.iter().any(|export| export == name);
    match (has(HANDLE), has(HANDLE_BATCH), has(ON_CORRECTABLE)) {
        (true, false, corrects) => Ok(World::One { corrects }),
        (false, true, false) => Ok(World::Batch),
        (false, true, true) => Err(format!("it exports `{ON_CORRECTABLE}`, which belongs to `{HANDLE}` alone")),
        (true, true, _) => Err(format!("it exports both `{HANDLE}` and `{HANDLE_BATCH}`; a component has one of them")),
        (false, false, _) => {
            let names = if exports.is_empty() { "no function".to_owned() } else { exports.join(", ") };
            Err(format!("it exports neither `{HANDLE}` nor `{HANDLE_BATCH}`; it exports {names}"))
        }
    }
}

/// The functions that a component exports.
fn functions(engine: &Engine, component: &Component) -> Vec<String> {
    let component = component.component_type();
    let exports = component.exports(engine);
    let functions = exports.filter(|(_, item)| matches!(item.ty, ComponentItem::ComponentFunc(_)));
    functions.map(|(name, _)| name.to_owned()).collect()
}

/// The functions that take deliveries, if their types match the contract.
fn handling(world: World, pre: &InstancePre<Attempt>) -> Result<Handling, ModuleError> {
    Ok(match world {
        World::Batch => Handling::Batch(BatchHandlerIndices::new(pre).map_err(differs(HANDLE_BATCH))?),
        World::One { corrects } => {
            let handler = HandlerIndices::new(pre).map_err(differs(HANDLE))?;
            let correcting = corrects.then(|| CorrectingHandlerIndices::new(pre).map_err(differs(ON_CORRECTABLE)));
            Handling::One { handler, correcting: correcting.transpose()? }
        }
    })
}

fn differs(name: &'static str) -> impl Fn(wasmtime::Error) -> ModuleError {
    move |error| ModuleError::OtherWorld(format!("`{name}` differs: {}", one_line(&error)))
}

/// Versions of one minor release are compatible, so any of them is accepted.
fn is_offered(import: &str) -> bool {
    let Some((interface, version)) = import.split_once('@') else { return false };
    wasi::OFFERED.contains(&interface) && version.starts_with("0.2.")
        || CONTRACT.contains(&interface) && version.starts_with("0.1.")
}

fn offered() -> Vec<String> {
    let contract = CONTRACT.iter().map(|interface| format!("{interface}@0.1"));
    contract.chain(wasi::OFFERED.iter().map(|interface| format!("{interface}@0.2"))).collect()
}

/// An error with its causes in one line.
pub(crate) fn one_line(error: &wasmtime::Error) -> String {
    let causes: Vec<String> = error.chain().map(|cause| cause.to_string().replace('\n', " ")).collect();
    causes.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a byte at a time.
    struct Slow<'a>(&'a [u8]);

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let (Some(to), Some((first, rest))) = (buffer.first_mut(), self.0.split_first()) else { return Ok(0) };
            (*to, self.0) = (*first, rest);
            Ok(1)
        }
    }

    #[test]
    fn the_imports_of_a_component_are_known_before_it_is_compiled() {
        let text = r#"(component
            (import "weirgate:handler/state@0.1.0" (instance))
            (core module (import "env" "x" (func)) (func unreachable))
            (component (import "nested" (instance)))
            (type $request (record (field "url" string)))
            (import "request" (type (eq $request)))
            (import "wasi:http/types@0.2.0" (instance))
        )"#;
        let bytes = wat::parse_str(text).expect("a component");
        let names = ["weirgate:handler/state@0.1.0", "wasi:http/types@0.2.0"];
        assert_eq!(import_names(&*bytes).expect("readable"), names);
        assert_eq!(import_names(Slow(&bytes)).expect("readable"), names);
        assert!(matches!(imports(&*bytes), Err(ModuleError::ImportNotOffered { name, .. }) if name == names[1]));
        // What is damaged is the compiler's to describe.
        for end in 0..bytes.len() {
            let found = bytes.get(..end).map(|part| import_names(part).expect("readable")).unwrap_or_default();
            assert!(names.starts_with(&found.iter().map(String::as_str).collect::<Vec<_>>()), "{found:?}");
        }
    }
}

//! Whether bytes are a handler: a component, of our world, that imports only what is offered.
//!
//! Knows no file and runs nothing.

use wasmtime::{
    Engine,
    component::{Component, InstancePre, Linker, types::ComponentItem},
};

use crate::{ModuleError, attempt::Attempt, contract::bindings::HandlerPre, wasi};

/// The contract's own interfaces, without their version.
const CONTRACT: [&str; 5] = [
    "weirgate:handler/config",
    "weirgate:handler/log",
    "weirgate:handler/outbox",
    "weirgate:handler/state",
    "weirgate:handler/types",
];
const EXPORT: &str = "handle";

/// The layer field of the WebAssembly preamble tells a component from a core module.
const MAGIC: &[u8] = b"\0asm";
const CORE_LAYER: &[u8] = &[1, 0, 0, 0];

/// What the first bytes tell, before anything is compiled.
pub(crate) fn preamble(bytes: &[u8]) -> Result<(), ModuleError> {
    match bytes.strip_prefix(MAGIC) {
        None => Err(ModuleError::NotWasm),
        Some(rest) if rest.starts_with(CORE_LAYER) => Err(ModuleError::CoreModule),
        Some(_) => Ok(()),
    }
}

/// The names of what a component imports and exports.
pub(crate) fn names(engine: &Engine, component: &Component) -> (Vec<String>, Vec<String>) {
    let component = component.component_type();
    let imports = component.imports(engine).map(|(name, _)| name.to_owned()).collect();
    (imports, component.exports(engine).map(|(name, _)| name.to_owned()).collect())
}

/// Link the component with what is offered.
pub(crate) fn link(linker: &Linker<Attempt>, component: &Component) -> Result<HandlerPre<Attempt>, ModuleError> {
    let engine = linker.engine();
    for (name, _) in component.component_type().imports(engine) {
        if !is_offered(name) {
            return Err(ModuleError::ImportNotOffered { name: name.to_owned(), offered: offered() });
        }
    }
    has_export(engine, component)?;
    let pre: InstancePre<Attempt> =
        linker.instantiate_pre(component).map_err(|error| ModuleError::ImportDiffers(one_line(&error)))?;
    HandlerPre::new(pre).map_err(|error| ModuleError::OtherWorld(format!("`{EXPORT}` differs: {}", one_line(&error))))
}

fn has_export(engine: &Engine, component: &Component) -> Result<(), ModuleError> {
    let component = component.component_type();
    let exports = component.exports(engine).collect::<Vec<_>>();
    if exports.iter().any(|(name, item)| *name == EXPORT && matches!(item.ty, ComponentItem::ComponentFunc(_))) {
        return Ok(());
    }
    let names: Vec<&str> = exports.iter().map(|(name, _)| *name).collect();
    let has = if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
    Err(ModuleError::OtherWorld(format!("it does not export the function `{EXPORT}`; it exports {has}")))
}

/// Versions of one minor release are compatible, so any of them will do.
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

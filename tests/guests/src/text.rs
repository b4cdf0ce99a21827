//! Components in the WebAssembly text format: those that are unusual before any event comes.

use std::fmt::Write;

/// The handler world's types, which a component has to import in order to export `handle`.
const TYPES: &str = include_str!("../wat/types.wat");
/// The lifting of the core function `handle`.
const EXPORT: &str = include_str!("../wat/export.wat");

/// A component from its text.
///
/// # Panics
/// The text is wrong.
#[must_use]
#[track_caller]
pub fn component(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap_or_else(|error| panic!("{error}"))
}

/// A component of the handler world that does nothing, with `core` in its core module beside `handle`, the memory
/// and `realloc`, and `imports` before everything else.
#[must_use]
#[track_caller]
pub fn in_handler(imports: &str, core: &str) -> Vec<u8> {
    handler(imports, core, "")
}

/// A component of the handler world that does nothing, also when it migrates state.
#[must_use]
#[track_caller]
pub fn migrating() -> Vec<u8> {
    let core = r#"(func (export "migrate") (param i32 i32 i32 i32 i64 i32 i32 i32 i32) (result i32) (i32.const 1024))"#;
    let export = r#"
        (type $migrate (func (param "delivery" $delivery) (param "state-version" u32) (result (result (error string)))))
        (func (export "migrate-state") (type $migrate)
            (canon lift (core func $i "migrate") (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))"#;
    handler("", core, export)
}

/// A component of the handler world that exports something more.
fn exporting(exports: &str) -> Vec<u8> {
    handler("", "", exports)
}

/// The export of a function that takes nothing and does nothing.
fn export(name: &str) -> String {
    format!(
        r#"(core module $of-{name} (func (export "f"))) (core instance $in-{name} (instantiate $of-{name}))
        (func (export "{name}") (canon lift (core func $in-{name} "f")))"#
    )
}

#[track_caller]
fn handler(imports: &str, core: &str, exports: &str) -> Vec<u8> {
    component(&format!(
        r#"(component {imports} {TYPES}
            (core module $m
                (memory (export "memory") 1)
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 4096))
                (func (export "handle") (param i32) (result i32) (i32.const 1024))
                {core})
            {EXPORT} {exports})"#
    ))
}

/// A core module, where a component is wanted.
#[must_use]
pub fn core_module() -> Vec<u8> {
    component("(module (func (export \"handle\")))")
}

/// Components by their peculiarity.
///
/// # Panics
/// There is none with that name.
#[must_use]
#[track_caller]
pub fn odd(name: &str) -> Vec<u8> {
    match name {
        "another-world" => component("(component)"),
        "handle-differs" => component(
            r#"(component (core module $m (func (export "handle"))) (core instance $i (instantiate $m))
                (func (export "handle") (canon lift (core func $i "handle"))))"#,
        ),
        "batch-differs" => component(&format!("(component {})", export("handle-batch"))),
        "handle-and-batch" => exporting(&export("handle-batch")),
        "hook-differs" => exporting(&export("on-correctable")),
        "on-corrected-differs" => exporting(&export("on-corrected")),
        "on-corrected-alone" => component(&format!("(component {})", export("on-corrected"))),
        "migration-differs" => exporting(&export("migrate-state")),
        "batch-and-hook" => component(&format!("(component {}{})", export("handle-batch"), export("on-correctable"))),
        "import-unknown" => in_handler(r#"(import "wasi:sockets/tcp@0.2.0" (instance (export "start" (func))))"#, ""),
        "import-unversioned" => in_handler(r#"(import "state" (instance (export "get" (func))))"#, ""),
        "import-differs" => {
            in_handler(r#"(import "weirgate:handler/state@0.1.0" (instance (export "get" (func (result u32)))))"#, "")
        }
        "function-unknown" => {
            in_handler(r#"(import "weirgate:handler/state@0.1.0" (instance (export "steal" (func))))"#, "")
        }
        "newer-patch" => in_handler(
            r#"(import "weirgate:handler/state@0.1.7" (instance (export "delete" (func (param "name" string)))))"#,
            "",
        ),
        "traps-at-start" => in_handler("", "(func $start unreachable) (start $start)"),
        "loops-at-start" => in_handler("", "(func $start (loop (br 0))) (start $start)"),
        "memory-at-start" => in_handler("", "(memory $large 5000)"),
        "grows-at-start" => in_handler(
            "",
            "(func $start (if (i32.eq (memory.grow (i32.const 4200)) (i32.const -1)) (then unreachable))) (start $start)",
        ),
        "table-at-start" => in_handler("", "(table 10000000 funcref)"),
        "does-not-validate" => {
            let mut bytes = in_handler("", "");
            bytes.truncate(bytes.len() - 20);
            bytes
        }
        other => panic!("no odd component is called {other}"),
    }
}

/// A component that takes long to compile: `functions` large functions.
#[must_use]
pub fn heavy(functions: usize) -> Vec<u8> {
    let mut core = String::new();
    for n in 0..functions {
        // Many simultaneously live values are hard on register allocation.
        let _ = write!(core, "(func (param i32) (result i32) (local i32 i32 i32 i32)");
        for step in 0..400 {
            let (to, from) = (1 + step % 4, (step * 7 + n) % 4);
            let _ = write!(
                core,
                "(if (i32.gt_s (local.get {from}) (i32.const {step})) (then (local.set {to} (i32.mul (i32.add \
                 (local.get {to}) (i32.load (local.get {from}))) (i32.const {})))))",
                n + step
            );
        }
        core.push_str("(local.get 1))");
    }
    in_handler("", &core)
}

//! `wasi:cli`: no arguments, no environment, no terminal. Printed lines are log lines; `exit` ends the call.

use wasmtime::component::{Linker, Resource, ResourceType};

use super::{
    io::{InputStream, OutputStream, STDERR, STDOUT},
    versioned,
};
use crate::{
    attempt::Attempt,
    failure::{Stop, contract},
};

struct TerminalInput;
struct TerminalOutput;

pub(super) fn add_to_linker(linker: &mut Linker<Attempt>) -> wasmtime::Result<()> {
    environment(linker)?;
    exit(linker)?;
    stdio(linker)?;
    terminals(linker)
}

fn environment(linker: &mut Linker<Attempt>) -> wasmtime::Result<()> {
    let mut environment = linker.instance(&versioned("cli/environment"))?;
    environment.func_wrap("get-environment", |_, (): ()| Ok((Vec::<(String, String)>::new(),)))?;
    environment.func_wrap("get-arguments", |_, (): ()| Ok((Vec::<String>::new(),)))?;
    environment.func_wrap("initial-cwd", |_, (): ()| Ok((None::<String>,)))
}

fn exit(linker: &mut Linker<Attempt>) -> wasmtime::Result<()> {
    let mut exit = linker.instance(&versioned("cli/exit"))?;
    exit.func_wrap("exit", |_, (status,): (Result<(), ()>,)| Err::<(), _>(exited(u8::from(status.is_err())).into()))?;
    exit.func_wrap("exit-with-code", |_, (status,): (u8,)| Err::<(), _>(exited(status).into()))
}

fn exited(status: u8) -> Stop {
    contract(format!("the component exited with status {status}; a handler has to return from `handle`"))
}

fn stdio(linker: &mut Linker<Attempt>) -> wasmtime::Result<()> {
    linker.instance(&versioned("cli/stdin"))?.func_wrap("get-stdin", |mut store, (): ()| {
        store.data_mut().wasi.count_handle()?;
        Ok((Resource::<InputStream>::new_own(0),))
    })?;
    for (name, stream) in [("stdout", STDOUT), ("stderr", STDERR)] {
        let mut instance = linker.instance(&versioned(&format!("cli/{name}")))?;
        instance.func_wrap(&format!("get-{name}"), move |mut store, (): ()| {
            store.data_mut().wasi.count_handle()?;
            Ok((Resource::<OutputStream>::new_own(stream),))
        })?;
    }
    Ok(())
}

fn terminals(linker: &mut Linker<Attempt>) -> wasmtime::Result<()> {
    let mut input = linker.instance(&versioned("cli/terminal-input"))?;
    input.resource("terminal-input", ResourceType::host::<TerminalInput>(), |_, _| Ok(()))?;
    let mut output = linker.instance(&versioned("cli/terminal-output"))?;
    output.resource("terminal-output", ResourceType::host::<TerminalOutput>(), |_, _| Ok(()))?;
    let mut stdin = linker.instance(&versioned("cli/terminal-stdin"))?;
    stdin.func_wrap("get-terminal-stdin", |_, (): ()| Ok((None::<Resource<TerminalInput>>,)))?;
    for name in ["stdout", "stderr"] {
        let mut instance = linker.instance(&versioned(&format!("cli/terminal-{name}")))?;
        let none = |_: wasmtime::StoreContextMut<'_, Attempt>, (): ()| Ok((None::<Resource<TerminalOutput>>,));
        instance.func_wrap(&format!("get-terminal-{name}"), none)?;
    }
    Ok(())
}

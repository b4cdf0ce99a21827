//! `wasi:io`: the input is at its end, the outputs are the log, and everything except timers is always ready.
//!
//! A handle's number contains all its state, so the host keeps nothing for it.

use wasmtime::{
    StoreContextMut,
    component::{ComponentType, Lift, Linker, LinkerInstance, Lower, Resource, ResourceType},
};

use super::versioned;
use crate::{attempt::Attempt, failure::contract, lines::Print};

pub(super) struct InputStream;
pub(super) struct OutputStream;
pub(super) struct Pollable;
pub(super) struct StreamFailure;

/// The numbers of the output streams' handles.
pub(super) const STDOUT: u32 = 1;
pub(super) const STDERR: u32 = 2;

/// Number of bytes that a stream accepts at once: the usual buffer size of programs.
const WRITE_BYTES_MAX: u64 = 64 * 1024;

#[derive(ComponentType, Lift, Lower)]
#[component(variant)]
enum StreamError {
    #[component(name = "last-operation-failed")]
    LastOperationFailed(Resource<StreamFailure>),
    #[component(name = "closed")]
    Closed,
}

type Store<'a> = StoreContextMut<'a, Attempt>;
/// A function's only result, in the linker's form.
type Answer<T> = wasmtime::Result<(Result<T, StreamError>,)>;

pub(super) fn add_to_linker(linker: &mut Linker<Attempt>) -> wasmtime::Result<()> {
    let mut error = linker.instance(&versioned("io/error"))?;
    error.resource("error", ResourceType::host::<StreamFailure>(), |_, _| Ok(()))?;
    error.func_wrap("[method]error.to-debug-string", |_, _: (Resource<StreamFailure>,)| Ok((String::new(),)))?;
    poll(&mut linker.instance(&versioned("io/poll"))?)?;
    let mut streams = linker.instance(&versioned("io/streams"))?;
    input(&mut streams)?;
    output(&mut streams)
}

fn poll(poll: &mut LinkerInstance<'_, Attempt>) -> wasmtime::Result<()> {
    poll.resource("pollable", ResourceType::host::<Pollable>(), |_, _| Ok(()))?;
    poll.func_wrap("[method]pollable.ready", |store: Store<'_>, (pollable,): (Resource<Pollable>,)| {
        let given = &store.data().wasi;
        Ok((given.is_due(given.due_ns(&pollable)),))
    })?;
    poll.func_wrap("[method]pollable.block", |mut store: Store<'_>, (pollable,): (Resource<Pollable>,)| {
        let given = &mut store.data_mut().wasi;
        given.wait_until(given.due_ns(&pollable));
        Ok(())
    })?;
    poll.func_wrap("poll", |mut store: Store<'_>, (pollables,): (Vec<Resource<Pollable>>,)| {
        let given = &mut store.data_mut().wasi;
        let due: Vec<u64> = pollables.iter().map(|pollable| given.due_ns(pollable)).collect();
        let Some(first) = due.iter().min() else {
            return Err(contract("`poll` was called with nothing to wait for").into());
        };
        given.wait_until(*first);
        let ready = (0_u32..).zip(&due).filter(|(_, due_ns)| given.is_due(**due_ns)).map(|(index, _)| index);
        Ok((ready.collect::<Vec<u32>>(),))
    })
}

fn input(streams: &mut LinkerInstance<'_, Attempt>) -> wasmtime::Result<()> {
    streams.resource("input-stream", ResourceType::host::<InputStream>(), |_, _| Ok(()))?;
    for name in ["read", "blocking-read"] {
        let end =
            |_: Store<'_>, _: (Resource<InputStream>, u64)| -> Answer<Vec<u8>> { Ok((Err(StreamError::Closed),)) };
        streams.func_wrap(&format!("[method]input-stream.{name}"), end)?;
    }
    for name in ["skip", "blocking-skip"] {
        let end = |_: Store<'_>, _: (Resource<InputStream>, u64)| -> Answer<u64> { Ok((Err(StreamError::Closed),)) };
        streams.func_wrap(&format!("[method]input-stream.{name}"), end)?;
    }
    streams.func_wrap("[method]input-stream.subscribe", |store, _: (Resource<InputStream>,)| always_ready(store))
}

fn output(streams: &mut LinkerInstance<'_, Attempt>) -> wasmtime::Result<()> {
    streams.resource("output-stream", ResourceType::host::<OutputStream>(), |_, _| Ok(()))?;
    let check = |_: Store<'_>, _: (Resource<OutputStream>,)| -> Answer<u64> { Ok((Ok(WRITE_BYTES_MAX),)) };
    streams.func_wrap("[method]output-stream.check-write", check)?;
    for name in ["write", "blocking-write-and-flush"] {
        streams.func_wrap(&format!("[method]output-stream.{name}"), print)?;
    }
    for name in ["flush", "blocking-flush"] {
        let flush = |_: Store<'_>, _: (Resource<OutputStream>,)| -> Answer<()> { Ok((Ok(()),)) };
        streams.func_wrap(&format!("[method]output-stream.{name}"), flush)?;
    }
    for name in ["write-zeroes", "blocking-write-zeroes-and-flush"] {
        // Zeroes have no meaning in a log.
        let zeroes = |_: Store<'_>, _: (Resource<OutputStream>, u64)| -> Answer<()> { Ok((Ok(()),)) };
        streams.func_wrap(&format!("[method]output-stream.{name}"), zeroes)?;
    }
    for name in ["splice", "blocking-splice"] {
        type Between = (Resource<OutputStream>, Resource<InputStream>, u64);
        let end = |_: Store<'_>, _: Between| -> Answer<u64> { Ok((Err(StreamError::Closed),)) };
        streams.func_wrap(&format!("[method]output-stream.{name}"), end)?;
    }
    streams.func_wrap("[method]output-stream.subscribe", |store, _: (Resource<OutputStream>,)| always_ready(store))
}

#[allow(clippy::unnecessary_wraps, reason = "the linker's signature")]
fn print(mut store: Store<'_>, (stream, contents): (Resource<OutputStream>, Vec<u8>)) -> Answer<()> {
    let to = if stream.rep() == STDOUT { Print::Stdout } else { Print::Stderr };
    store.data_mut().item.log.print(to, &contents);
    Ok((Ok(()),))
}

fn always_ready(mut store: Store<'_>) -> wasmtime::Result<(Resource<Pollable>,)> {
    store.data_mut().wasi.count_handle()?;
    Ok((Resource::new_own(0),))
}

//! `wasi:random`: numbers derived from the delivery's id, the "secure" ones too. Every attempt at a delivery gets the same,
//! so they must not be used for secrets; the contract says so.

use rand_chacha::{
    ChaCha12Rng,
    rand_core::{RngCore, SeedableRng},
};
use sha2::{Digest, Sha256};
use wasmtime::component::Linker;

use super::{Given, versioned};
use crate::{
    attempt::Attempt,
    failure::{Stop, effect_limit},
};

/// Maximum number of bytes that one call of `get-random-bytes` may request.
const BYTES_MAX: u64 = 64 * 1024;

impl Given {
    /// The algorithm is fixed and its numbers are the same on every machine and in every release: a replay needs that.
    fn random(&mut self) -> &mut ChaCha12Rng {
        let delivery = &self.delivery;
        self.random.get_or_insert_with(|| {
            let delivery = delivery.as_ref().map(ToString::to_string).unwrap_or_default();
            let seed = Sha256::new().chain_update(b"weirgate random ").chain_update(delivery);
            ChaCha12Rng::from_seed(seed.finalize().into())
        })
    }

    fn random_bytes(&mut self, len: u64) -> Result<Vec<u8>, Stop> {
        let len = usize::try_from(len).ok().filter(|_| len <= BYTES_MAX);
        let len = len.ok_or_else(|| effect_limit("too many random bytes at once", BYTES_MAX, "fixed"))?;
        let mut bytes = vec![0; len];
        self.random().fill_bytes(&mut bytes);
        Ok(bytes)
    }
}

pub(super) fn add_to_linker(linker: &mut Linker<Attempt>) -> wasmtime::Result<()> {
    for (interface, infix) in [("random/random", ""), ("random/insecure", "insecure-")] {
        let mut instance = linker.instance(&versioned(interface))?;
        instance.func_wrap(&format!("get-{infix}random-bytes"), |mut store, (len,): (u64,)| {
            Ok((store.data_mut().wasi.random_bytes(len)?,))
        })?;
        instance.func_wrap(&format!("get-{infix}random-u64"), |mut store, (): ()| {
            Ok((store.data_mut().wasi.random().next_u64(),))
        })?;
    }
    linker.instance(&versioned("random/insecure-seed"))?.func_wrap("insecure-seed", |mut store, (): ()| {
        let random = store.data_mut().wasi.random();
        Ok(((random.next_u64(), random.next_u64()),))
    })
}

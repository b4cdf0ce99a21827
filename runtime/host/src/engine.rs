//! The engine's configuration: the same for the compiling and the running process, except for where instances are allocated.
//! Knows nothing of modules.

use std::hash::{DefaultHasher, Hash, Hasher};

use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig};

/// The version of wasmtime, which it does not say itself.
pub(crate) const WASMTIME: &str = "48.0.8";
/// How much of an instance's memory stays resident between calls, in bytes: fewer page faults in the next one.
const KEEP_RESIDENT_BYTES: usize = 2 << 20;
/// Maximum size of the VM context of a component with all its core instances, in bytes: Python's needs several hundred KiB.
const INSTANCE_BYTES_MAX: usize = 4 << 20;
/// Maximum number of core instances, memories and tables of one component. Componentized Python has more than eight core
/// instances.
const CORE_INSTANCES_MAX: u32 = 64;
const MEMORIES_MAX: u32 = 4;
const TABLES_MAX: u32 = 32;
const TABLE_ELEMENTS_MAX: usize = 100_000;

/// An artefact runs in any process with the same configuration. Everything that affects machine code is here.
fn config() -> Config {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .cranelift_opt_level(OptLevel::Speed)
        // Two machines, and two runs on one machine, compute the same bits.
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true)
        .wasm_memory64(false)
        .memory_init_cow(true);
    config
}

/// An engine that only compiles, so it reserves no address space.
pub(crate) fn compiling() -> wasmtime::Result<Engine> {
    Engine::new(&config())
}

/// An engine with a pool for `instances_max` instances, each as large as any may be, so that all admitted calls fit at once.
/// The unused part of it is address space only. Where that is limited, there is no pool: calls cost more then.
pub(crate) fn running(instances_max: u32, memory_bytes_max: usize) -> wasmtime::Result<Engine> {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances_max)
        .total_core_instances(instances_max.saturating_mul(CORE_INSTANCES_MAX))
        .total_memories(instances_max.saturating_mul(MEMORIES_MAX))
        .total_tables(instances_max.saturating_mul(TABLES_MAX))
        .max_component_instance_size(INSTANCE_BYTES_MAX)
        .max_core_instance_size(INSTANCE_BYTES_MAX)
        .max_core_instances_per_component(CORE_INSTANCES_MAX)
        .max_memories_per_component(MEMORIES_MAX)
        .max_tables_per_component(TABLES_MAX)
        .table_elements(TABLE_ELEMENTS_MAX)
        .max_memory_size(memory_bytes_max)
        .linear_memory_keep_resident(KEEP_RESIDENT_BYTES)
        .table_keep_resident(KEEP_RESIDENT_BYTES)
        // Kernels older than 6.7 do not have it; wasmtime falls back then.
        .pagemap_scan(Enabled::Auto);
    Engine::new(config().allocation_strategy(InstanceAllocationStrategy::Pooling(pool))).or_else(|error| {
        tracing::warn!(%error, "instances are not pooled, and cost more: the address space is limited (ulimit -v)");
        Engine::new(&config())
    })
}

/// The id of the artefacts that this engine can run: sixteen hexadecimal digits. Another build of the runtime, another
/// setting or another kind of CPU gives another id.
pub(crate) fn compatibility(engine: &Engine) -> String {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compiled_artefact_loads_in_the_running_engine() {
        let compiling = compiling().expect("an engine that compiles");
        let running = running(4, 64 << 20).expect("an engine that runs");
        assert_eq!(compatibility(&compiling), compatibility(&running));
    }
}

//! The bindings that `wit-bindgen` generates from the contract: one module per world, all with the types of the first.
#![allow(unsafe_code, missing_docs, reason = "generated: lifts and lowers values across the component boundary")]
#![allow(clippy::all, clippy::pedantic, clippy::restriction, reason = "generated")]

wit_bindgen::generate!({
    path: "wit",
    world: "handler",
    pub_export_macro: true,
    default_bindings_module: "::weirgate_sdk::__private::bindings",
});

/// The same with `on-correctable`. Its exports are in a component only if the macro requests them.
pub mod correcting {
    wit_bindgen::generate!({
        path: "wit",
        world: "correcting-handler",
        pub_export_macro: true,
        default_bindings_module: "::weirgate_sdk::__private::bindings::correcting",
        with: {
            "weirgate:handler/config@0.1.0": super::weirgate::handler::config,
            "weirgate:handler/http@0.1.0": super::weirgate::handler::http,
            "weirgate:handler/log@0.1.0": super::weirgate::handler::log,
            "weirgate:handler/outbox@0.1.0": super::weirgate::handler::outbox,
            "weirgate:handler/state@0.1.0": super::weirgate::handler::state,
            "weirgate:handler/types@0.1.0": super::weirgate::handler::types,
        },
    });
}

/// `on-corrected`, which a component of any of these worlds may export.
pub mod compensating {
    wit_bindgen::generate!({
        path: "wit",
        world: "compensating-handler",
        pub_export_macro: true,
        default_bindings_module: "::weirgate_sdk::__private::bindings::compensating",
        with: {
            "weirgate:handler/config@0.1.0": super::weirgate::handler::config,
            "weirgate:handler/http@0.1.0": super::weirgate::handler::http,
            "weirgate:handler/log@0.1.0": super::weirgate::handler::log,
            "weirgate:handler/outbox@0.1.0": super::weirgate::handler::outbox,
            "weirgate:handler/state@0.1.0": super::weirgate::handler::state,
            "weirgate:handler/types@0.1.0": super::weirgate::handler::types,
        },
    });
}

/// `migrate-state`, which a component of any kind may export.
pub mod migrating {
    wit_bindgen::generate!({
        path: "wit",
        world: "migration",
        pub_export_macro: true,
        default_bindings_module: "::weirgate_sdk::__private::bindings::migrating",
        with: {
            "weirgate:handler/config@0.1.0": super::weirgate::handler::config,
            "weirgate:handler/http@0.1.0": super::weirgate::handler::http,
            "weirgate:handler/log@0.1.0": super::weirgate::handler::log,
            "weirgate:handler/outbox@0.1.0": super::weirgate::handler::outbox,
            "weirgate:handler/state@0.1.0": super::weirgate::handler::state,
            "weirgate:handler/types@0.1.0": super::weirgate::handler::types,
        },
    });
}

/// A handler of batches.
pub mod batching {
    wit_bindgen::generate!({
        path: "wit",
        world: "batch-handler",
        pub_export_macro: true,
        default_bindings_module: "::weirgate_sdk::__private::bindings::batching",
        with: {
            "weirgate:handler/config@0.1.0": super::weirgate::handler::config,
            "weirgate:handler/http@0.1.0": super::weirgate::handler::http,
            "weirgate:handler/log@0.1.0": super::weirgate::handler::log,
            "weirgate:handler/outbox@0.1.0": super::weirgate::handler::outbox,
            "weirgate:handler/state@0.1.0": super::weirgate::handler::state,
            "weirgate:handler/types@0.1.0": super::weirgate::handler::types,
        },
    });
}

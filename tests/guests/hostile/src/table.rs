// The behaviours of `hostile`, in one place. The guest makes a branch of each, and a host's tests make a check that
// there is a test of each name: who adds one here without a function or a test gets a compile error.

/// Applies a macro to the names of everything the guest `hostile` can be told to do.
#[macro_export]
macro_rules! for_each_hostile {
    ($apply:ident) => {
        $apply! {
            // What a good handler does.
            plain, effects, status_text, emit_defaults, state_operations, state_list, read_config, log_levels, nothing_left_over,
            timers, timer_limits, fetches,
            // What it may do, to no harm.
            ambient, sleeps, sleeps_forever, no_files, no_environment, nan_bits, copes_without_memory, prints,
            // How it says that it failed.
            fails_transient, fails_correctable, fails_permanent, fails_at_length, fails_after_fetches,
            // How it corrects what it called wrong.
            corrects, corrects_to_text, correction_is_no_json, correction_is_huge, correction_traps,
            correction_loops_forever, correction_after_many_lines, correction_fetches,
            // What is against the contract.
            bad_status_json, bad_status_state, control_status_state, bad_state_name, long_state_name, bad_emission,
            deep_emission, empty_subject, empty_key, reserved_emission, reserved_timer, bad_timer_name, bad_timer_data,
            far_timer, bad_step_name, exits,
            // What is too much.
            loops_forever, recurses_deeply, hogs_memory, panics, traps_after_effects, emits_a_million, huge_emission,
            huge_string, forged_length, huge_state_value, effects_add_up, floods_host_calls, floods_log,
            floods_output, many_timers, many_random_bytes, many_timer_writes,
            huge_timer, floods_fetches,
        }
    };
}

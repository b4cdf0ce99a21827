// The behaviours of `hostile`, in one place. The guest generates a branch for each, and the host's tests check that there is
// a test of each name: a new one without a function or a test is a compile error.

/// Applies a macro to the names of all behaviours of the guest `hostile`.
#[macro_export]
macro_rules! for_each_hostile {
    ($apply:ident) => {
        $apply! {
            // Behaviour of a good handler.
            plain, effects, status_text, emit_defaults, state_operations, state_list, read_config, log_levels, nothing_left_over,
            timers, timer_limits, fetches,
            // Allowed and harmless behaviour.
            ambient, sleeps, sleeps_forever, no_files, no_environment, nan_bits, copes_without_memory, prints,
            // Ways to fail.
            fails_transient, fails_correctable, fails_permanent, fails_at_length, fails_after_fetches,
            // Corrections of its own failures.
            corrects, corrects_to_text, correction_is_no_json, correction_is_huge, correction_traps,
            correction_loops_forever, correction_after_many_lines, correction_fetches,
            // Violations of the contract.
            bad_status_json, bad_status_state, control_status_state, bad_state_name, long_state_name, bad_emission,
            deep_emission, empty_subject, empty_key, reserved_emission, reserved_timer, bad_timer_name, bad_timer_data,
            far_timer, bad_step_name, exits,
            // Exceeded limits.
            loops_forever, recurses_deeply, hogs_memory, panics, traps_after_effects, emits_a_million, huge_emission,
            huge_string, forged_length, huge_state_value, effects_add_up, floods_host_calls, floods_log,
            floods_output, many_timers, many_random_bytes, many_timer_writes,
            huge_timer, floods_fetches,
        }
    };
}

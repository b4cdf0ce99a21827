// The behaviours of `hostile-batch`, in one place; as for `hostile`, each needs a function and a test of its name.

/// Applies a macro to the names of all behaviours of the guest `hostile-batch`.
#[macro_export]
macro_rules! for_each_hostile_batch {
    ($apply:ident) => {
        $apply! {
            // Behaviour of a good handler.
            counts, does_not_select, selects_back_and_forth, reads_of_its_key, lists_of_its_key, some_fail, says_what,
            given_of_the_first, each_its_limits, fetches, all_fail_after_fetches,
            // Violations of the contract, and exceeded limits.
            selects_no_item, answers_too_few, answers_too_many, traps_in_the_second, floods_in_the_second, loops_forever,
        }
    };
}

# The two commands: `make demo` and `make test`. Both install what they need and say so; either may be run first, and again.
.PHONY: demo test check mutants bench clean-demo

demo: ; @tools/demo.sh
test: ; @tools/test.sh
# Format, lints, unit tests and documentation: what to run before every commit.
check: ; @tools/check.sh
# Whether the simulator finds each seeded bug; see docs/simulation.md.
mutants: ; @tools/mutants.sh
# The orders workload; see docs/performance.md.
bench: ; @tools/bench.sh
# Forget the demo's orders.
clean-demo: ; rm -rf target/demo

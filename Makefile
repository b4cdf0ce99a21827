# The two commands: `make demo` and `make test`. Both install what they need and say so; either may be run first, and again.
.PHONY: demo test install check mutants bench clean-demo

demo: ; @tools/demo.sh
test: ; @tools/test.sh
# Put `weirgate` into /usr/local/bin; PREFIX and DESTDIR as usual: make install PREFIX=$HOME/.local
# PGO=1 builds it twice, the second time by a profile of the first: less CPU an event, see docs/performance.md.
install: ; @PREFIX="$(PREFIX)" DESTDIR="$(DESTDIR)" PGO="$(PGO)" tools/install.sh
# Format, lints, unit tests and documentation: what to run before every commit.
check: ; @tools/check.sh
# Whether the simulator finds each seeded bug; see docs/simulation.md.
mutants: ; @tools/mutants.sh
# Everything that there is a goal for, as a table in docs/performance.md.
bench: ; @tools/bench.sh
# Forget the demo's orders.
clean-demo: ; rm -rf target/demo

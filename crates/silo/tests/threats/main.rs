//! Published ways out of a container, tried on Silo with a canary on the host: docs/threats.md says which test holds which.
//!
//! Races run some 200 rounds each; `SILO_TEST_ROUNDS=10000 cargo test -p silo --test threats -- races --nocapture` runs more and
//! prints how many windows the racer won. That these tests bite is shown by tests/weaken/run.

#[path = "../common/mod.rs"]
mod common;
#[path = "../oci/fixture.rs"]
#[allow(dead_code, reason = "the tests of the OCI command line use the rest")]
mod fixture;

mod descriptors;
#[path = "../../../silo-runtime/tests/spec/exchange.rs"]
mod exchange;
mod kept;
mod kernel_files;
mod limits;
mod paths;
mod races;
mod rights;
mod scene;

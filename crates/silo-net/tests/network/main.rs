//! Networks on the real kernel, in network namespaces of their own: nothing of the machine's network is touched.
//!
//! Needs root, unshare(1), ip(8), nft(8), ping(8), python3. Each test is a thread that has moved into its own "host".

mod attach;
mod bridge;
mod common;
mod leases;

//! Runs rollouts: measures, decides, and writes down what was decided.
//!
//! What is decided stands in [`rollout`](crate::rollout), how it is kept in [`store`](crate::store); here is what asks the
//! network and the clock.

mod prometheus;

pub use prometheus::Prometheus;

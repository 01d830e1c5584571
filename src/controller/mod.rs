//! Runs rollouts: measures, decides, writes down what was decided, and tells others.
//!
//! What is decided stands in [`rollout`](crate::rollout), how it is kept in [`store`](crate::store); here is what asks the
//! network and the clock. A [`Controller`] remembers nothing that matters: how far a rollout has come stands in the log, and for how
//! long something has been so in Prometheus. So it may be killed at any instant and another takes over, and any number of
//! them may run at once: of several that decide the same, the log takes the first, and the others look again.

mod alertmanager;
mod metrics;
mod notice;
mod prometheus;
mod recording;
mod run;

pub use alertmanager::{AlertSignal, signals};
pub use metrics::Metrics;
pub use notice::{Destination, Event, Notices, Shape, events};
pub use prometheus::Prometheus;
pub use recording::Recording;
pub use run::{Controller, Options};

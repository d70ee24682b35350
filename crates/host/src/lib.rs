//! Runs a machine: loop, timers, health, metrics, drain.

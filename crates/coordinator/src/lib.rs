//! A coordinator's machine: execute over a cached view, prepare, collect votes, deliver the decision.

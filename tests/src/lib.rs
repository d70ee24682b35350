//! What holds the house together: floors, scenarios, conformance, golden bytes.

//! A relay's machine: accept a receipt once, carry it, acknowledge, retry, park.

//! One test for each published attack on trees, signatures, certificates and receipts.

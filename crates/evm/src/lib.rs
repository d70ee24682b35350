//! revm with a witness: execute once and record, replay under the record, split the effects by owner.

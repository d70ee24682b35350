//! The trusted setup of point evaluation (EIP-4844), which revm reads when it is first needed: seconds, once in a process.

use revm::precompile::crypto;
use std::sync::Once;

/// Reads the trusted setup, so that no run has to wait for it. Again it costs nothing.
///
/// A process calls it on a thread of its own when it starts. A run that needs the setup meanwhile waits for the rest of it.
pub fn read_trusted_setup() {
    static READ: Once = Once::new();
    READ.call_once(|| {
        let mut infinity = [0; 48];
        infinity[0] = 0xc0;
        // The point at infinity commits to the polynomial that is zero everywhere.
        let read = crypto().verify_kzg_proof(&[0; 32], &[0; 32], &infinity, &infinity);
        debug_assert!(read.is_ok(), "{read:?}");
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn what_was_read_is_not_read_again() {
        let started = Instant::now();
        read_trusted_setup();
        let first = started.elapsed();
        let started = Instant::now();
        let mut infinity = [0; 48];
        infinity[0] = 0xc0;
        assert!(crypto().verify_kzg_proof(&[0; 32], &[0; 32], &infinity, &infinity).is_ok());
        assert!(started.elapsed() * 4 < first, "{first:?}, then {:?}", started.elapsed());
    }
}

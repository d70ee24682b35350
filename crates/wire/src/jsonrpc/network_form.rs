//! A blob transaction as wallets send it, its blobs, commitments and proofs beside it, and what of it a chain keeps.
//!
//! ```text
//! 0x03 [[transaction], blobs, commitments, proofs]  -> the hashes are those of the commitments -> 0x03 [transaction]
//! ```
//!
//! Absent: what the blobs say. Nobody keeps them, no contract can read them and their proofs are not looked at: a
//! network here has no room for data to sell, and takes such a transaction for what it executes.
//! Source: EIP-4844 and EIP-7594, networking.

use super::error::{Answer, invalid_params};
use super::view::Envelope;
use alloy_consensus::{EthereumTxEnvelope, SignableTransaction, TxEip4844WithSidecar};
use alloy_eips::eip2718::{Decodable2718, EIP4844_TX_TYPE_ID, Encodable2718};
use alloy_eips::eip7594::BlobTransactionSidecarVariant;
use alloy_primitives::Bytes;

/// The least first byte of a list in RLP.
const LIST: u8 = 0xc0;
/// The least first byte of a list of more than 55 bytes; from it on it says how many bytes say how many there are.
const LONG_LIST: u8 = 0xf7;

type Networked = EthereumTxEnvelope<TxEip4844WithSidecar<BlobTransactionSidecarVariant>>;

/// The transaction without what stands beside it; any other as it is.
pub(super) fn without_blobs(bytes: Bytes) -> Answer<Bytes> {
    if !is_networked(&bytes) {
        return Ok(bytes);
    }
    let malformed = |reason: String| invalid_params(format!("malformed transaction: {reason}"));
    let decoded = Networked::decode_2718_exact(&bytes).map_err(|reason| malformed(reason.to_string()))?;
    let EthereumTxEnvelope::Eip4844(signed) = decoded else { return Ok(bytes) };
    let (TxEip4844WithSidecar { tx, sidecar }, signature, _) = signed.into_parts();
    if !sidecar.versioned_hashes().eq(tx.blob_versioned_hashes.iter().copied()) {
        return Err(invalid_params("blob hashes do not match the commitments beside them"));
    }
    Ok(Envelope::Eip4844(tx.into_signed(signature)).encoded_2718().into())
}

/// Whether the list behind the type begins with a list: the transaction, where one alone begins with its chain id.
fn is_networked(bytes: &[u8]) -> bool {
    let [EIP4844_TX_TYPE_ID, head, rest @ ..] = bytes else { return false };
    let length_bytes = usize::from(head.saturating_sub(LONG_LIST));
    *head >= LIST && rest.get(length_bytes).is_some_and(|first| *first >= LIST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_consensus::TxEip4844;
    use alloy_eips::eip4844::{Blob, BlobTransactionSidecar, Bytes48, kzg_to_versioned_hash};
    use alloy_eips::eip7594::BlobTransactionSidecarEip7594;
    use alloy_primitives::{B256, Signature};

    fn transaction(hash: B256) -> TxEip4844 {
        TxEip4844 { chain_id: 7, gas_limit: 21_000, blob_versioned_hashes: vec![hash], ..TxEip4844::default() }
    }

    fn sidecars() -> [BlobTransactionSidecarVariant; 2] {
        let (blobs, commitment) = (vec![Blob::repeat_byte(1)], Bytes48::repeat_byte(2));
        let old = BlobTransactionSidecar::new(blobs.clone(), vec![commitment], vec![Bytes48::repeat_byte(3)]);
        let new = BlobTransactionSidecarEip7594::new(blobs, vec![commitment], vec![Bytes48::repeat_byte(3); 128]);
        [BlobTransactionSidecarVariant::Eip4844(old), BlobTransactionSidecarVariant::Eip7594(new)]
    }

    fn networked(tx: TxEip4844, sidecar: BlobTransactionSidecarVariant) -> Bytes {
        let signed = TxEip4844WithSidecar { tx, sidecar }.into_signed(Signature::test_signature());
        Networked::Eip4844(signed).encoded_2718().into()
    }

    #[test]
    fn a_transaction_with_its_blobs_is_the_one_that_was_signed() {
        let tx = transaction(kzg_to_versioned_hash(&[2; 48]));
        let alone = Envelope::Eip4844(tx.clone().into_signed(Signature::test_signature()));
        let alone: Bytes = alone.encoded_2718().into();
        for sidecar in sidecars() {
            assert_eq!(without_blobs(networked(tx.clone(), sidecar)).unwrap(), alone);
        }
        assert_eq!(without_blobs(alone.clone()).unwrap(), alone);
    }

    #[test]
    fn blobs_of_another_transaction_are_refused() {
        for sidecar in sidecars() {
            let refused = without_blobs(networked(transaction(B256::repeat_byte(1)), sidecar)).unwrap_err();
            assert!(refused.message().contains("do not match the commitments"), "{refused}");
        }
    }

    #[test]
    fn what_is_no_blob_transaction_stays_as_it_is() {
        for bytes in [&[][..], &[3], &[3, 0xf8], &[3, 0xc1, 1], &[2, 0xc2, 0xc0, 1], &[0xc0]] {
            assert_eq!(without_blobs(Bytes::copy_from_slice(bytes)).unwrap(), Bytes::copy_from_slice(bytes));
        }
        assert!(without_blobs(Bytes::from_static(&[3, 0xc1, 0xc0])).is_err());
    }
}

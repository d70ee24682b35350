//! Accounts of a development network, and the ordinary signed transactions they send.
//!
//! The keys are derived from public text: whoever reads this owns them. Never use one elsewhere.

use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, Bytes, TxKind, U256, keccak256};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use eyre::Result;
use host::network::GenesisAccount;

/// How many funded accounts a development network has.
pub const ACCOUNTS_COUNT: u32 = 10;

/// What a wallet sends when nobody says otherwise.
pub const GAS_LIMIT: u64 = 3_000_000;

/// One account: its key, and the nonce it uses next.
#[derive(Debug, Clone)]
pub struct Wallet {
    signer: PrivateKeySigner,
    network: u64,
    nonce: u64,
}

/// A call before it is signed.
#[derive(Debug, Clone)]
pub struct Call {
    /// Whom; none creates a contract.
    pub to: Option<Address>,
    /// Call data, or init code.
    pub input: Bytes,
    /// Wei.
    pub value: U256,
    /// Most gas.
    pub gas_limit: u64,
}

impl Call {
    /// A call of `to` without value.
    pub fn to(to: Address, input: impl Into<Bytes>) -> Self {
        Self { to: Some(to), input: input.into(), value: U256::ZERO, gas_limit: GAS_LIMIT }
    }

    /// A new contract with this init code.
    pub fn create(input: impl Into<Bytes>) -> Self {
        Self { to: None, input: input.into(), value: U256::ZERO, gas_limit: GAS_LIMIT }
    }

    /// The same with `value` wei.
    #[must_use]
    pub fn with_value(self, value: U256) -> Self {
        Self { value, ..self }
    }

    /// The same with another gas limit.
    #[must_use]
    pub fn with_gas_limit(self, gas_limit: u64) -> Self {
        Self { gas_limit, ..self }
    }
}

impl Wallet {
    /// The `number`-th development account on `network`, at nonce 0.
    pub fn development(network: u64, number: u32) -> Result<Self> {
        let secret = keccak256(format!("dovetail development account {number}"));
        Ok(Self { signer: PrivateKeySigner::from_bytes(&secret)?, network, nonce: 0 })
    }

    /// The account's address.
    pub fn address(&self) -> Address {
        self.signer.address()
    }

    /// The secret key, for wallets that a developer wants to import it into.
    pub fn secret_key(&self) -> String {
        format!("{}", self.signer.to_bytes())
    }

    /// The nonce of the next transaction.
    pub fn nonce(&self) -> u64 {
        self.nonce
    }

    /// Goes on from this nonce.
    pub fn set_nonce(&mut self, nonce: u64) {
        self.nonce = nonce;
    }

    /// Where the contract that the next transaction creates will be.
    pub fn next_contract(&self) -> Address {
        self.address().create(self.nonce)
    }

    /// Signs `call` as an EIP-1559 transaction with the next nonce; gives its EIP-2718 bytes.
    pub fn sign(&mut self, call: &Call) -> Result<Bytes> {
        let transaction = TxEip1559 {
            chain_id: self.network,
            nonce: self.nonce,
            gas_limit: call.gas_limit,
            max_fee_per_gas: 10_000_000_000,
            max_priority_fee_per_gas: 1_000_000_000,
            to: call.to.map_or(TxKind::Create, TxKind::Call),
            value: call.value,
            access_list: alloy_eips::eip2930::AccessList::default(),
            input: call.input.clone(),
        };
        let signature = self.signer.sign_hash_sync(&transaction.signature_hash())?;
        self.nonce += 1;
        Ok(TxEnvelope::from(transaction.into_signed(signature)).encoded_2718().into())
    }
}

/// The development accounts with a million ether each.
pub fn genesis_accounts(network: u64) -> Result<Vec<(Address, GenesisAccount)>> {
    let ether = U256::from(10).pow(U256::from(18));
    let funded = GenesisAccount { balance: ether * U256::from(1_000_000), ..GenesisAccount::default() };
    (0..ACCOUNTS_COUNT).map(|number| Ok((Wallet::development(network, number)?.address(), funded.clone()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_consensus::transaction::SignerRecoverable;
    use alloy_eips::eip2718::Decodable2718;

    #[test]
    fn a_signed_call_recovers_its_sender() {
        let mut wallet = Wallet::development(31_337, 0).unwrap();
        let bytes = wallet.sign(&Call::to(Address::ZERO, vec![1, 2, 3])).unwrap();
        let transaction = TxEnvelope::decode_2718(&mut bytes.as_ref()).unwrap();
        assert_eq!(transaction.recover_signer().unwrap(), wallet.address());
        assert_eq!(wallet.nonce(), 1);
    }
}

//! What a run reads from: a synchronous look-up that may not know.

use crate::{AccountState, FeesKey};
use alloy_primitives::{Address, B256, U256};
use revm::bytecode::Bytecode;

/// The answer of a view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup<T> {
    /// The value, which may well be "nothing there".
    Known(T),
    /// This view has no opinion: the run stops and names the key, so that its value can be fetched.
    Unknown,
}

/// A state that can be read, wholly or in part: a shard's own, a coordinator's cache, a witness.
///
/// One run must see one state: between two look-ups of a run nothing may change.
pub trait View {
    /// The account at `address`; `Known(None)` where none exists.
    fn account(&self, address: Address) -> Lookup<Option<AccountState>>;

    /// The value of a storage slot; zero where nothing was written.
    fn slot(&self, address: Address, slot: U256) -> Lookup<U256>;

    /// A fragment of fees; zero where nothing was credited.
    fn fees(&self, key: FeesKey) -> Lookup<U256>;

    /// The code with this keccak256, analysed for its jump targets.
    fn code(&self, hash: B256) -> Lookup<Bytecode>;

    /// keccak256 of the code at `address`, if there is a proof at hand that it is there; `Known(None)` if there is none to be
    /// had. Asked only where the rules of the EVM keep that code from ever changing.
    fn fixed_code(&self, address: Address) -> Lookup<Option<B256>> {
        let _ = address;
        Lookup::Known(None)
    }
}

impl<V: View + ?Sized> View for &V {
    fn account(&self, address: Address) -> Lookup<Option<AccountState>> {
        (**self).account(address)
    }

    fn slot(&self, address: Address, slot: U256) -> Lookup<U256> {
        (**self).slot(address, slot)
    }

    fn fees(&self, key: FeesKey) -> Lookup<U256> {
        (**self).fees(key)
    }

    fn code(&self, hash: B256) -> Lookup<Bytecode> {
        (**self).code(hash)
    }

    fn fixed_code(&self, address: Address) -> Lookup<Option<B256>> {
        (**self).fixed_code(address)
    }
}

/// A view whose proofs of codes are those that `proofs` knows, whatever the view itself has.
#[derive(Debug, Clone, Copy)]
pub struct WithProofs<V, P> {
    /// Where everything else is read.
    pub view: V,
    /// What [`View::fixed_code`] answers.
    pub proofs: P,
}

impl<V: View, P: Fn(Address) -> Lookup<Option<B256>>> View for WithProofs<V, P> {
    fn account(&self, address: Address) -> Lookup<Option<AccountState>> {
        self.view.account(address)
    }

    fn slot(&self, address: Address, slot: U256) -> Lookup<U256> {
        self.view.slot(address, slot)
    }

    fn fees(&self, key: FeesKey) -> Lookup<U256> {
        self.view.fees(key)
    }

    fn code(&self, hash: B256) -> Lookup<Bytecode> {
        self.view.code(hash)
    }

    fn fixed_code(&self, address: Address) -> Lookup<Option<B256>> {
        (self.proofs)(address)
    }
}

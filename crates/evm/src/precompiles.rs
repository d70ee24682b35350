//! Precompiles as a call wants them: moved elsewhere, or gone where it writes code over them.
//!
//! Promise: what is not moved is mainnet's, and so are the addresses that are warm from the beginning.
//! Source: geth, `StateOverride.Apply`; execution-apis, `movePrecompileToAddress`.

use crate::overrides::AccountOverride;
use alloy_primitives::Address;
use alloy_primitives::map::AddressSet;
use revm::context_interface::{Cfg, ContextTr};
use revm::handler::{EthPrecompiles, PrecompileProvider};
use revm::interpreter::{CallInputs, InterpreterResult};
use revm::primitives::hardfork::SpecId;
use std::collections::BTreeMap;

/// Where precompiles are otherwise: by address which one is there instead, none for no longer any.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Moves(BTreeMap<Address, Option<Address>>);

impl Moves {
    /// As `wanted` has it at `address`, under the rules of `spec`. What is there and stays is not named.
    pub(crate) fn note(&mut self, spec: SpecId, address: Address, wanted: &AccountOverride) {
        if !is_precompile(spec, address) {
            return;
        }
        if let Some(to) = wanted.precompile_to {
            self.0.insert(to, Some(address));
        }
        if wanted.precompile_to.is_some() || wanted.code.is_some() {
            self.0.entry(address).or_insert(None);
        }
    }
}

/// Whether there is a precompile at `address` under the rules of `spec`.
pub(crate) fn is_precompile(spec: SpecId, address: Address) -> bool {
    EthPrecompiles::new(spec).contains(&address)
}

/// Mainnet's precompiles, with some at other places.
#[derive(Debug, Clone)]
pub(crate) struct MovedPrecompiles {
    mainnet: EthPrecompiles,
    moves: Moves,
}

impl MovedPrecompiles {
    /// Of `spec`, moved by `moves`.
    pub(crate) fn new(spec: SpecId, moves: Moves) -> Self {
        Self { mainnet: EthPrecompiles::new(spec), moves }
    }
}

impl<C: ContextTr> PrecompileProvider<C> for MovedPrecompiles {
    type Output = InterpreterResult;

    fn set_spec(&mut self, spec: <C::Cfg as Cfg>::Spec) -> bool {
        PrecompileProvider::<C>::set_spec(&mut self.mainnet, spec)
    }

    fn run(&mut self, context: &mut C, inputs: &CallInputs) -> Result<Option<InterpreterResult>, String> {
        match self.moves.0.get(&inputs.bytecode_address) {
            None => self.mainnet.run(context, inputs),
            Some(None) => Ok(None),
            Some(Some(origin)) => {
                let inputs = CallInputs { bytecode_address: *origin, ..inputs.clone() };
                self.mainnet.run(context, &inputs)
            }
        }
    }

    fn warm_addresses(&self) -> &AddressSet {
        self.mainnet.warm_addresses()
    }

    fn contains(&self, address: &Address) -> bool {
        self.moves.0.get(address).map_or_else(|| self.mainnet.contains(address), Option::is_some)
    }
}

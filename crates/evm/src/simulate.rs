//! What a call would do: `eth_call`, and each try of `eth_estimateGas`, over a view. Nothing is signed, paid or changed.

use crate::execute::{finished, refused};
use crate::handler::{SimulationHandler, evm};
use crate::recorder::{Curiosity, Recorder};
use crate::{Data, Environment, ExecuteError, NetworkParams, Outcome, Placement, View};
use alloy_eips::eip2930::AccessList;
use alloy_eips::eip7702::SignedAuthorization;
use alloy_primitives::{Address, TxKind, U256};
use revm::context::{Cfg, ContextSetters, ContextTr, TxEnv};
use revm::context_interface::TransactionType;
use revm::context_interface::either::Either;
use revm::handler::Handler;

/// A call as a wallet describes it. There is no price: it costs nothing to ask.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CallRequest {
    /// CALLER and ORIGIN; may be anyone, also a contract.
    pub from: Address,
    /// The called account; none creates a contract.
    pub to: Option<Address>,
    /// Wei sent along, which the caller must have.
    pub value: U256,
    /// Call data, or init code.
    pub input: Data,
    /// Gas it may use; none for as much as a transaction can have.
    pub gas_limit: Option<u64>,
    /// Accounts and slots that it pays for in advance (EIP-2930).
    pub access_list: AccessList,
    /// Who borrows code from whom while it runs (EIP-7702); one that is not valid is passed over, as in a transaction.
    pub authorizations: Vec<SignedAuthorization>,
}

/// Runs `call` over `view` as the first of its slot or block. BASEFEE and GASPRICE are zero, and no nonce is asked for.
pub fn simulate<V: View + ?Sized>(
    params: &NetworkParams,
    placement: &Placement,
    environment: &Environment,
    call: &CallRequest,
    view: &V,
) -> Result<Outcome, ExecuteError> {
    simulate_over(params, placement, environment, call, &view)
}

fn simulate_over(
    params: &NetworkParams,
    placement: &Placement,
    environment: &Environment,
    call: &CallRequest,
    view: &dyn View,
) -> Result<Outcome, ExecuteError> {
    let block = params.block(environment)?;
    let recorder = Recorder::new(view, params, (environment, &block), placement, Curiosity::Eager);
    let mut block_env = block.block_env();
    block_env.basefee = 0;
    let mut cfg = block.cfg_env(params.network);
    cfg.disable_nonce_check = true;
    let most = block.gas_limit.min(cfg.tx_gas_limit_cap());
    let mut evm = evm(recorder, block_env, cfg);
    let tx = tx_env(params, call, most);
    evm.ctx.set_tx(tx.clone());
    let result = SimulationHandler::default().run(&mut evm);
    let missing = evm.ctx.db_mut().take_missing();
    if !missing.is_empty() {
        return Err(ExecuteError::Missing(missing));
    }
    result.map(finished).map_err(|error| refused(0, &tx, &block, error))
}

/// The call as the cheapest type of transaction that can carry it.
fn tx_env(params: &NetworkParams, call: &CallRequest, most: u64) -> TxEnv {
    let tx_type = match (call.authorizations.is_empty(), call.access_list.is_empty()) {
        (false, _) => TransactionType::Eip7702,
        (true, false) => TransactionType::Eip2930,
        (true, true) => TransactionType::Legacy,
    };
    TxEnv {
        tx_type: tx_type.into(),
        caller: call.from,
        kind: call.to.map_or(TxKind::Create, TxKind::Call),
        value: call.value,
        data: call.input.0.clone(),
        gas_limit: call.gas_limit.map_or(most, |limit| limit.min(most)),
        chain_id: Some(params.network.0),
        access_list: call.access_list.clone(),
        authorization_list: call.authorizations.iter().cloned().map(Either::Left).collect(),
        ..TxEnv::default()
    }
}

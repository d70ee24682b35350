//! Methods of Ethereum's specification that cannot be true here: each is refused as unknown, and says why.

use crate::jsonrpc::chain::Chain;
use crate::jsonrpc::error::error;
use crate::jsonrpc::node::Node;
use jsonrpsee::RpcModule;
use jsonrpsee::core::RegisterMethodError;
use jsonrpsee::types::error::METHOD_NOT_FOUND_CODE;

const NO_KEYS: &str = "a node holds no keys: sign in the client, and send the transaction by eth_sendRawTransaction";
const NO_HEADER: &str = "a block's hash is not that of a header, so no header and no block in bytes would have it";
const NO_ACCESS_LIST: &str = "it is of a fork that no network here has (EIP-7928)";

/// The methods, and why there is none of them.
const REFUSED: [(&str, &str); 8] = [
    ("eth_sendTransaction", NO_KEYS),
    ("eth_sign", NO_KEYS),
    ("eth_signTransaction", NO_KEYS),
    ("debug_getRawHeader", NO_HEADER),
    ("debug_getRawBlock", NO_HEADER),
    ("eth_getBlockAccessList", NO_ACCESS_LIST),
    ("debug_getRawBlockAccessList", NO_ACCESS_LIST),
    (
        // An empty proof is worse than none.
        "eth_getProof",
        "shards commit to their state by sparse Merkle trees, not by Ethereum's trie; ShardService.ProveState proves \
         accounts and slots against certified headers",
    ),
];

/// Adds the refusals of what is not there: some of it is, on a chain with cheats.
pub(super) fn register<C: Chain>(module: &mut RpcModule<Node<C>>) -> Result<(), RegisterMethodError> {
    for (name, why) in REFUSED {
        if module.method(name).is_some() {
            continue;
        }
        module.register_method(name, move |_, _, _| {
            Err::<(), _>(error(METHOD_NOT_FOUND_CODE, format!("the method {name} is not available: {why}")))
        })?;
    }
    Ok(())
}

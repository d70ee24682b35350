//! What test suites ask for, where there are cheats; and that it is no method where there are none.

use super::*;
use crate::jsonrpc::{Command, Done};
use shard::AccountParts;

const ACCOUNT: Address = Address::repeat_byte(0x11);

fn cheating() -> RpcModule<Node<MemoryChain>> {
    watched().0
}

/// The methods, and the chain that they are over.
fn watched() -> (RpcModule<Node<MemoryChain>>, Arc<MemoryChain>) {
    let mut chain = chain();
    chain.params.environments = Environments::Cheats;
    let balance = U256::from(10).pow(U256::from(18));
    chain.state.accounts.insert(chain.sender, AccountState { balance, ..AccountState::EMPTY });
    let chain = Arc::new(chain);
    (module(Node::new(Arc::clone(&chain), Heavy::default())).unwrap(), chain)
}

/// What a call of `method` is answered, and what it asked of the chain.
async fn played(method: &str, params: Value) -> (Value, Vec<Command>) {
    let (module, chain) = watched();
    let response = ask(&module, method, params).await;
    assert!(response["error"].is_null(), "{method}: {response}");
    let commands = chain.commands.lock().unwrap().clone();
    (response["result"].clone(), commands)
}

async fn error_code(method: &str, params: Value) -> (i64, String) {
    let response = ask(&cheating(), method, params).await;
    (response["error"]["code"].as_i64().unwrap(), response["error"]["message"].as_str().unwrap().to_owned())
}

fn mine(count: u64, seconds: u64) -> Command {
    Command::Mine { count, interval: Millis(seconds * 1_000) }
}

fn set(parts: AccountParts) -> Vec<Command> {
    vec![Command::Set { address: ACCOUNT, parts }]
}

#[tokio::test]
async fn without_cheats_none_of_them_is_a_method() {
    let all: Vec<&str> = cheating().method_names().collect();
    let known: Vec<&str> = methods().method_names().collect();
    let added: Vec<&&str> = all.iter().filter(|name| !known.contains(name)).collect();
    assert!(added.len() > 40, "{added:?}");
    for name in added {
        assert_eq!(refusal(name, json!([])).await.0, -32601, "{name}");
    }
    for name in ["evm_mine", "evm_snapshot", "hardhat_setBalance", "anvil_impersonateAccount"] {
        let (code, text) = refusal(name, json!([])).await;
        assert_eq!((code, text.as_str()), (-32601, "Method not found"), "{name}");
    }
}

#[tokio::test]
async fn blocks_are_made_one_or_many_a_second_apart_or_as_told() {
    assert_eq!(played("evm_mine", json!([])).await, (json!("0x0"), vec![mine(1, 1)]));
    let at = vec![Command::NextTime(900), mine(1, 1)];
    for time in [json!(900), json!("0x384"), json!({"timestamp": 900})] {
        assert_eq!(played("evm_mine", json!([time])).await.1, at);
    }
    assert_eq!(played("evm_mine", json!([{"blocks": 4}])).await.1, [mine(4, 1)]);
    for name in ["anvil_mine", "hardhat_mine"] {
        assert_eq!(played(name, json!([])).await, (Value::Null, vec![mine(1, 1)]));
        assert_eq!(played(name, json!(["0x10", "0x3c"])).await.1, [mine(16, 60)]);
        assert_eq!(played(name, json!([3, "0x0"])).await.1, [mine(3, 1)]);
    }
    assert_eq!(error_code("evm_mine", json!(["now"])).await.0, -32602);
}

#[tokio::test]
async fn time_is_increased_by_numbers_and_quantities() {
    for seconds in [json!(60), json!("0x3c")] {
        let (answer, commands) = played("evm_increaseTime", json!([seconds])).await;
        assert_eq!((answer, commands), (json!(7), vec![Command::IncreaseTime(60)]));
    }
    assert_eq!(played("evm_setNextBlockTimestamp", json!([60])).await, (Value::Null, vec![Command::NextTime(60)]));
    assert_eq!(played("evm_setTime", json!([60])).await.1, [Command::NextTime(60)]);
    assert_eq!(error_code("evm_increaseTime", json!([-1])).await.0, -32602);
}

#[tokio::test]
async fn parts_of_accounts_are_set_one_by_one() {
    let balance = AccountParts { balance: Some(U256::from(255)), ..AccountParts::default() };
    let nonce = AccountParts { nonce: Some(9), ..AccountParts::default() };
    let code = AccountParts { code: Some(vec![0x60, 0x00].into()), ..AccountParts::default() };
    let slots = [(U256::from(1), U256::from(2))].into();
    let slots = AccountParts { slots, ..AccountParts::default() };
    let word = format!("0x{:064x}", 2);
    for house in ["anvil", "hardhat"] {
        let name = |part: &str| format!("{house}_set{part}");
        assert_eq!(played(&name("Balance"), json!([ACCOUNT, "0xff"])).await, (Value::Null, set(balance.clone())));
        assert_eq!(played(&name("Nonce"), json!([ACCOUNT, "0x9"])).await.1, set(nonce.clone()));
        assert_eq!(played(&name("Code"), json!([ACCOUNT, "0x6000"])).await.1, set(code.clone()));
        let (answer, commands) = played(&name("StorageAt"), json!([ACCOUNT, "0x1", word])).await;
        assert_eq!((answer, commands), (json!(true), set(slots.clone())));
    }
    // The account has as many wei as the slot that it is now has a number.
    let more = AccountParts { balance: Some(U256::from(2_006)), ..AccountParts::default() };
    assert_eq!(played("anvil_addBalance", json!([ACCOUNT, "0x1"])).await.1, set(more));
    assert_eq!(error_code("anvil_setBalance", json!([ACCOUNT])).await.0, -32602);
}

#[tokio::test]
async fn a_snapshot_has_an_id_and_an_unknown_one_is_not_gone_back_to() {
    assert_eq!(played("evm_snapshot", json!([])).await, (json!("0x7"), vec![Command::Snapshot]));
    assert_eq!(played("evm_revert", json!(["0x7"])).await, (json!(true), vec![Command::Revert(7)]));
    assert_eq!(played("evm_revert", json!(["0x63"])).await.0, json!(false));
    assert_eq!(played("hardhat_reset", json!([])).await, (Value::Null, vec![Command::Reset]));
    let forking = json!([{"forking": {"jsonRpcUrl": "http://127.0.0.1:1"}}]);
    assert_eq!(error_code("anvil_reset", forking).await.0, -32004);
}

#[tokio::test]
async fn a_transaction_is_sent_for_who_is_impersonated_and_for_nobody_else() {
    let module = cheating();
    let stranger = Address::repeat_byte(0x77);
    let request = json!([{"from": stranger, "to": TOKEN, "gas": "0x5208", "nonce": "0x1"}]);
    let refused = ask(&module, "eth_sendTransaction", request.clone()).await;
    assert!(refused["error"]["message"].as_str().unwrap().starts_with("unknown account 0x7777"), "{refused}");
    for (begin, end, who) in [
        ("hardhat_impersonateAccount", "hardhat_stopImpersonatingAccount", json!(stranger)),
        ("anvil_impersonateAccount", "anvil_stopImpersonatingAccount", json!(stranger)),
    ] {
        ask(&module, begin, json!([who])).await;
        let sent = ask(&module, "eth_sendTransaction", request.clone()).await;
        assert!(sent["result"].is_string(), "{sent}");
        ask(&module, end, json!([who])).await;
        assert!(ask(&module, "eth_sendTransaction", request.clone()).await["error"].is_object());
    }
    ask(&module, "anvil_autoImpersonateAccount", json!([true])).await;
    assert!(ask(&module, "eth_sendTransaction", request.clone()).await["result"].is_string());
    ask(&module, "anvil_autoImpersonateAccount", json!([false])).await;
    assert!(ask(&module, "eth_sendTransaction", request).await["error"].is_object());
}

#[tokio::test]
async fn an_account_of_the_devnets_own_sends_without_a_signature_and_is_shown_as_its_sender() {
    let module = cheating();
    let accounts = ask(&module, "eth_accounts", json!([])).await["result"].clone();
    assert_eq!(accounts, json!([chain().sender]));
    let request = json!([{"from": accounts[0], "to": TOKEN, "value": "0x0"}]);
    assert!(ask(&module, "eth_sendTransaction", request).await["result"].is_string(), "what is left out is filled in");
    let transaction = TxEip1559 { chain_id: 1337, to: TOKEN.into(), ..TxEip1559::default() };
    let envelope = EthereumTxEnvelope::<TxEip4844>::from(transaction.into_signed(evm::impersonation(ACCOUNT)));
    let shown = crate::jsonrpc::view::pending(&envelope.encoded_2718(), ACCOUNT).unwrap();
    assert_eq!((&shown["from"], &shown["s"]), (&json!(ACCOUNT), &json!("0x1")));
    assert_eq!(shown["r"], json!(format!("{ACCOUNT:?}").to_lowercase()));
}

#[tokio::test]
async fn what_makes_no_sense_says_why() {
    for name in
        ["evm_setIntervalMining", "hardhat_setCoinbase", "anvil_setChainId", "eth_sign", "hardhat_dropTransaction"]
    {
        let (code, text) = error_code(name, json!(["0x1"])).await;
        assert!(code == -32004 && text.len() > 20, "{name}: {code} {text}");
    }
}

#[tokio::test]
async fn a_chain_with_cheats_says_so_where_tools_look() {
    let (version, _) = played("web3_clientVersion", json!([])).await;
    assert!(version.as_str().unwrap().starts_with("anvil-compatible/dovetail/v"), "{version}");
    let (info, _) = played("anvil_nodeInfo", json!([])).await;
    assert_eq!((&info["currentBlockNumber"], &info["environment"]["chainId"]), (&json!("0x7d0"), &json!(1337)));
    let (metadata, _) = played("hardhat_metadata", json!([])).await;
    assert_eq!((&metadata["chainId"], &metadata["latestBlockNumber"]), (&json!(1337), &json!(2000)));
    assert_eq!(played("evm_setAutomine", json!([false])).await, (Value::Null, vec![Command::Automine(false)]));
    assert_eq!(played("hardhat_getAutomine", json!([])).await.0, json!(false));
    assert_eq!(played("hardhat_setLoggingEnabled", json!([true])).await.0, Value::Null);
}

impl MemoryChain {
    /// Remembers what it was asked; anything comes to seven, and 99 is no snapshot.
    pub(super) fn played(&self, command: Command) -> Done {
        let answer = match &command {
            Command::IncreaseTime(_) | Command::Snapshot => Done::Number(7),
            Command::Revert(99) => Done::No,
            _ => Done::Yes,
        };
        self.commands.lock().unwrap().push(command);
        answer
    }
}

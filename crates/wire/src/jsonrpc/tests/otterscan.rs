//! What Otterscan asks, over the small chain.

use super::*;

/// The hashes of a page, and whether it is the first and the last.
async fn page(method: &str, number: u64, size: u64) -> (Vec<B256>, bool, bool) {
    let page = answer(method, json!([signed(0).1, number, size])).await;
    let hashes =
        page["txs"].as_array().unwrap().iter().map(|told| serde_json::from_value(told["hash"].clone()).unwrap());
    let receipts = page["receipts"].as_array().unwrap();
    assert!(receipts.iter().all(|receipt| receipt["timestamp"].is_string()));
    (hashes.collect(), page["firstPage"] == true, page["lastPage"] == true)
}

fn hash(nonce: u64) -> B256 {
    keccak256(&*signed(nonce).0)
}

#[tokio::test]
async fn an_addresss_transactions_are_told_by_pages_of_whole_blocks() {
    let before = "ots_searchTransactionsBefore";
    // The delivery at the end of block 1010 is of the same account.
    let system = B256::repeat_byte(0x5e);
    let oldest = vec![system, hash(1), hash(0)];
    assert_eq!(page(before, 0, 1).await, (vec![hash(2)], true, false));
    assert_eq!(page(before, 1500, 1).await, (oldest.clone(), false, true));
    assert_eq!(page(before, 0, 25).await, ([vec![hash(2)], oldest.clone()].concat(), true, true));
    assert_eq!(page(before, 1010, 5).await, (vec![], false, true));
    assert_eq!(page(before, 9_999, 1).await, (vec![hash(2)], true, false));
    let after = "ots_searchTransactionsAfter";
    assert_eq!(page(after, 0, 1).await, (oldest, false, true));
    assert_eq!(page(after, 1010, 1).await, (vec![hash(2)], true, false));
    assert_eq!(page(after, 1500, 1).await, (vec![], true, false));
    assert_eq!(page(after, 5_000, 1).await, (vec![], true, false));
}

#[tokio::test]
async fn a_page_is_bounded_and_a_stranger_has_none() {
    assert_eq!(refusal("ots_searchTransactionsBefore", json!([TOKEN, 0, 101])).await.0, -32_602);
    assert_eq!(refusal("ots_searchTransactionsAfter", json!([TOKEN, 0, 0])).await.0, -32_602);
    let stranger = answer("ots_searchTransactionsBefore", json!([Address::repeat_byte(0x99), "0x0", "0x5"])).await;
    assert_eq!(stranger, json!({ "txs": [], "receipts": [], "firstPage": true, "lastPage": true }));
    // Who wrote a log and who was called took part as well as who sent.
    let of_token = answer("ots_searchTransactionsBefore", json!([TOKEN, 0, 100])).await;
    assert_eq!(of_token["txs"].as_array().unwrap().len(), 4);
}

#[tokio::test]
async fn a_block_is_told_in_brief_with_what_it_paid() {
    let details = answer("ots_getBlockDetails", json!([1010])).await;
    assert_eq!(details["block"]["transactionCount"], "0x3");
    assert!(details["block"]["transactions"].is_null() && details["block"]["logsBloom"].is_null());
    assert_eq!(details["totalFees"], json!(U256::from(2 * 40_000 * 10)));
    assert_eq!(details["issuance"]["issuance"], "0x0");
    assert_eq!(answer("ots_getBlockDetails", json!(["0x3f2"])).await, details);
    assert_eq!(answer("ots_getBlockDetailsByHash", json!([params().block_hash(1010)])).await, details);
    assert_eq!(answer("ots_getBlockDetails", json!([9_999])).await, Value::Null);
}

#[tokio::test]
async fn a_page_of_a_blocks_transactions_counts_from_its_end() {
    let hashes = |page: &Value| {
        let transactions = page["fullblock"]["transactions"].as_array().unwrap();
        transactions.iter().map(|told| serde_json::from_value(told["hash"].clone()).unwrap()).collect::<Vec<B256>>()
    };
    let newest = answer("ots_getBlockTransactions", json!([1010, 0, 2])).await;
    assert_eq!(hashes(&newest), [hash(1), B256::repeat_byte(0x5e)]);
    assert_eq!(newest["fullblock"]["transactionCount"], "0x3");
    assert!(newest["receipts"].as_array().unwrap().iter().all(|receipt| receipt["logs"].is_null()));
    assert_eq!(hashes(&answer("ots_getBlockTransactions", json!([1010, 1, 2])).await), [hash(0)]);
    assert_eq!(hashes(&answer("ots_getBlockTransactions", json!([1010, u64::MAX, 2])).await), [] as [B256; 0]);
    assert_eq!(refusal("ots_getBlockTransactions", json!([9_999, 0, 2])).await, (-32_000, "unknown block".to_owned()));
}

#[tokio::test]
async fn a_transaction_is_found_by_its_sender_and_nonce() {
    let method = "ots_getTransactionBySenderAndNonce";
    assert_eq!(answer(method, json!([signed(0).1, 2])).await, json!(hash(2)));
    assert_eq!(answer(method, json!([signed(0).1, 3])).await, Value::Null);
    assert_eq!(answer(method, json!([TOKEN, 2])).await, Value::Null);
}

#[tokio::test]
async fn what_is_unknown_is_null_and_what_did_not_fail_gave_nothing_back() {
    assert_eq!(answer("ots_getApiLevel", json!([])).await, 8);
    assert_eq!(answer("ots_hasCode", json!([TOKEN, "latest"])).await, true);
    assert_eq!(answer("ots_hasCode", json!([Address::ZERO, "latest"])).await, false);
    assert_eq!(answer("ots_getTransactionError", json!([hash(0)])).await, "0x");
    // It had its code before anything that is kept.
    assert_eq!(answer("ots_getContractCreator", json!([TOKEN])).await, Value::Null);
    assert_eq!(answer("ots_getContractCreator", json!([Address::ZERO])).await, Value::Null);
    for method in ["ots_getTransactionError", "ots_traceTransaction", "ots_getInternalOperations"] {
        assert_eq!(answer(method, json!([B256::ZERO])).await, Value::Null, "{method}");
    }
}

//! Batches whose items stand or fall one by one.
//!
//!   items --convert--> good ones, in order --call--> answers, in order --+
//!                 '--> rejections, each at its place -------------------+--> results, in the order of the items

use crate::rejection::{Reason, Rejection};
use std::future::Future;

/// Converts every item, calls with those that converted, and puts answers and rejections back in the items' order.
///
/// # Errors
/// What the call as a whole is refused for. Items that do not convert are answered one by one.
pub(crate) async fn each<I, T, A, F>(
    items: impl IntoIterator<Item = I>,
    convert: impl Fn(I) -> Result<T, Rejection>,
    call: impl FnOnce(Vec<T>) -> F,
) -> Result<Vec<Result<A, Rejection>>, Rejection>
where
    F: Future<Output = Result<Vec<Result<A, Rejection>>, Rejection>> + Send,
{
    let mut good = Vec::new();
    let mut places: Vec<Option<Rejection>> = Vec::new();
    for item in items {
        match convert(item) {
            Ok(item) => {
                good.push(item);
                places.push(None);
            }
            Err(rejection) => places.push(Some(rejection)),
        }
    }
    let asked = good.len();
    let answers = if good.is_empty() { Vec::new() } else { call(good).await? };
    same_count(asked, answers.len()).map_err(|_| Rejection::new(Reason::Internal, "a batch lost an answer"))?;
    let mut answers = answers.into_iter();
    let lost = || Err(Rejection::new(Reason::Internal, "a batch lost an answer"));
    Ok(places.into_iter().map(|place| place.map_or_else(|| answers.next().unwrap_or_else(lost), Err)).collect())
}

/// Checks that a peer gave one answer for each item.
pub(crate) fn same_count(asked: usize, answered: usize) -> Result<(), Rejection> {
    if asked == answered {
        return Ok(());
    }
    let message = format!("{answered} answers to {asked} items");
    Err(Rejection::new(Reason::PeerFault, message).with("asked", asked).with("answered", answered))
}

/// Splits items into runs of at most `count_max` items and about `bytes_target` bytes, in order; no run is empty.
pub(crate) fn runs<T>(
    items: Vec<T>,
    count_max: usize,
    bytes_target: usize,
    bytes_of: impl Fn(&T) -> usize,
) -> Vec<Vec<T>> {
    let mut runs: Vec<Vec<T>> = Vec::new();
    let mut bytes = 0;
    for item in items {
        let size = bytes_of(&item);
        let fits = runs.last().is_some_and(|run| run.len() < count_max && bytes + size <= bytes_target);
        if fits {
            bytes += size;
            if let Some(run) = runs.last_mut() {
                run.push(item);
            }
        } else {
            bytes = size;
            runs.push(vec![item]);
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_bad_item_is_refused_at_its_place_and_the_rest_go_on() {
        let convert = |item: u32| if item == 2 { Err(Rejection::new(Reason::Malformed, "two")) } else { Ok(item) };
        let call = |items: Vec<u32>| async move { Ok(items.into_iter().map(|item| Ok(item * 10)).collect()) };
        let results = each([1, 2, 3], convert, call).await.unwrap();
        assert_eq!(results[0], Ok(10));
        assert!(results[1].is_err());
        assert_eq!(results[2], Ok(30));
    }

    #[tokio::test]
    async fn an_answer_too_few_is_noticed() {
        let call = |_: Vec<u32>| async { Ok(vec![Ok(1_u32)]) };
        assert_eq!(each([1, 2], Ok, call).await.unwrap_err().reason, Reason::Internal);
    }

    #[test]
    fn runs_keep_order_count_and_bytes() {
        let runs = runs(vec![4, 4, 4, 9, 1], 2, 8, |size| *size);
        assert_eq!(runs, [vec![4, 4], vec![4], vec![9], vec![1]]);
    }
}

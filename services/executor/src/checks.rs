//! The shard's checks of a batch's items, on as many cores as there are.

use rayon::prelude::*;
use shard::Checks;
use std::sync::Arc;
use wire::traces::during;
use wire::{Reason, Rejection};

/// As many items are checked by the thread that has them: waking others costs more than it saves.
const ITEMS_ALONE_COUNT_MAX: usize = 16;

/// Checks every item, on all cores if there are many, off the threads that serve.
pub(crate) async fn each<T, F>(
    checks: &Arc<Checks>,
    items: Vec<T>,
    check: impl Fn(&Checks, T) -> Result<F, Rejection> + Send + Sync + 'static,
) -> Result<Vec<Result<F, Rejection>>, Rejection>
where
    T: Send + 'static,
    F: Send + 'static,
{
    let checks = Arc::clone(checks);
    let work = move || {
        let check = |item| check(&checks, item);
        if items.len() <= ITEMS_ALONE_COUNT_MAX {
            return items.into_iter().map(check).collect();
        }
        items.into_par_iter().with_min_len(ITEMS_ALONE_COUNT_MAX / 2).map(check).collect()
    };
    let checked = during("check", tokio::task::spawn_blocking(work)).await;
    checked.map_err(|error| Rejection::new(Reason::Internal, error.to_string()))
}

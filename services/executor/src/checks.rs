//! The shard's checks of a batch's items, on as many cores as there are.

use rayon::prelude::*;
use shard::Checks;
use std::sync::Arc;
use wire::{Reason, Rejection};

/// Checks every item, on all cores, off the threads that serve.
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
    let work = move || items.into_par_iter().map(|item| check(&checks, item)).collect();
    tokio::task::spawn_blocking(work).await.map_err(|error| Rejection::new(Reason::Internal, error.to_string()))
}

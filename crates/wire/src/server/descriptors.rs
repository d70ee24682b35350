//! How many files and sockets the process may open, and what of it a listener gets.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io;

/// A listener takes at most this part of all descriptors: there are up to three, and the store's files and the connections to
/// other nodes have to be opened beside them.
const SHARES_COUNT: u64 = 4;

/// Raises the process's soft limit of open files to its hard one, and says what it is now; none is no limit.
///
/// # Errors
/// When the system refuses.
pub fn raise() -> io::Result<Option<u64>> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum {
        setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    }
    Ok(maximum)
}

/// At most `wanted`, and no more than a listener's share of what the process may open.
pub(super) fn share(wanted: usize) -> usize {
    share_of(getrlimit(Resource::Nofile).current, wanted)
}

fn share_of(limit: Option<u64>, wanted: usize) -> usize {
    let share = limit.map_or(usize::MAX, |limit| usize::try_from(limit / SHARES_COUNT).unwrap_or(usize::MAX));
    wanted.min(share).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_leaves_descriptors_to_the_others() {
        assert_eq!(share_of(None, 1_024), 1_024);
        assert_eq!(share_of(Some(65_536), 1_024), 1_024);
        assert_eq!(share_of(Some(256), 1_024), 64);
        assert_eq!(share_of(Some(0), 1_024), 1);
    }

    #[test]
    fn the_soft_limit_is_raised_to_the_hard_one() {
        let limit = raise().unwrap();
        assert_eq!(getrlimit(Resource::Nofile).current, limit);
    }
}

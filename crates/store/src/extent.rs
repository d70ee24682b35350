//! What a store that nobody has open takes of the disk, by space.

use crate::store::{fault, open_present, take_ownership};
use crate::{Settings, StoreError};
use std::collections::BTreeMap;
use std::path::Path;

/// What one space takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Extent {
    /// Bytes of its tables.
    pub bytes: u64,
    /// About how many rows are in them.
    pub rows: u64,
}

/// What each space of the store at `path` takes once all of it is in tables and compacted, by its name; spaces with nothing in them
/// are left out. The log, the guard and the reserve are not counted: they are of a bounded size.
///
/// It writes to the store as its owner does, and reads and writes all of it once.
/// # Errors
/// [`StoreError::Held`] while a process has it open; a fault or damage as an opening finds them.
pub fn settled_extents(path: &Path) -> Result<BTreeMap<String, Extent>, StoreError> {
    let _owner = take_ownership(path)?;
    let (db, names) = open_present(path, Settings::default())?;
    let failed = |error: &rocksdb::Error| StoreError::from(fault(path, "compacting", error));
    let mut extents = BTreeMap::new();
    for name in names {
        let Some(family) = db.cf_handle(&name) else { continue };
        db.flush_cf(family).map_err(|error| failed(&error))?;
        db.compact_range_cf(family, None::<&[u8]>, None::<&[u8]>);
        let number = |property: &str| db.property_int_value_cf(family, property).map_err(|error| failed(&error));
        let bytes = number("rocksdb.live-sst-files-size")?.unwrap_or_default();
        let rows = number("rocksdb.estimate-num-keys")?.unwrap_or_default();
        if bytes > 0 {
            extents.insert(name, Extent { bytes, rows });
        }
    }
    Ok(extents)
}

//! The page and its description, as they were built into the program.
//!
//! They are built from `explorer/page` by `scripts/explorer` and kept in the repository, so that building the program needs no
//! Node; a test of the page holds them against a fresh build.

use super::answer::{Problem, Reply};
use primitives::Domain;
use wire::jsonrpc::Look;

struct Asset {
    name: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
}

const PAGE: Asset =
    Asset { name: "index.html", kind: "text/html; charset=utf-8", bytes: include_bytes!("../../assets/index.html") };

const DESCRIPTION: Asset =
    Asset { name: "openapi.json", kind: "application/json", bytes: include_bytes!("openapi.json") };

const ASSETS: &[Asset] = &[
    Asset {
        name: "explorer.js",
        kind: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../../assets/explorer.js"),
    },
    Asset { name: "explorer.css", kind: "text/css; charset=utf-8", bytes: include_bytes!("../../assets/explorer.css") },
    Asset { name: "icon.svg", kind: "image/svg+xml", bytes: include_bytes!("../../assets/icon.svg") },
];

/// The page itself: it finds out from its own address what to show.
pub(super) fn page(look: &Look) -> Reply {
    PAGE.reply(look)
}

/// The description of the questions.
pub(super) fn description(look: &Look) -> Reply {
    DESCRIPTION.reply(look).with("access-control-allow-origin", "*".to_owned())
}

/// What the page loads.
pub(super) fn asset(name: &str, look: &Look) -> Reply {
    match ASSETS.iter().find(|asset| asset.name == name) {
        Some(asset) => asset.reply(look),
        None => Problem::nowhere(&look.path).into(),
    }
}

impl Asset {
    /// Its bytes, unless the asker has them.
    fn reply(&self, look: &Look) -> Reply {
        let tag = format!("\"{}\"", Domain::new("dovetail v1 explorer asset").hash(self.bytes));
        if look.has.as_deref() == Some(&tag) {
            return Reply::unchanged(&tag);
        }
        Reply::bytes(self.kind, self.bytes).with("etag", tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_loads_nothing_that_is_not_embedded() {
        let text = std::str::from_utf8(PAGE.bytes).unwrap();
        let loaded = text.split("\"/explorer/assets/").skip(1).map(|rest| rest.split('"').next().unwrap());
        let loaded: Vec<&str> = loaded.collect();
        assert!(!loaded.is_empty());
        assert!(loaded.iter().all(|name| ASSETS.iter().any(|asset| asset.name == *name)), "{loaded:?}");
        assert!(!text.contains("http://") && !text.contains("https://") && !text.contains("<style"));
    }

    #[test]
    fn the_description_names_every_path_once() {
        let described: serde_json::Value = serde_json::from_slice(DESCRIPTION.bytes).unwrap();
        let paths = described["paths"].as_object().unwrap();
        assert_eq!(paths.len(), 15, "{:?}", paths.keys());
        assert!(paths.keys().all(|path| path.starts_with("/explorer/api/")));
    }
}

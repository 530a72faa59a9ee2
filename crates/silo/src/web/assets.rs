//! The page itself: files of this folder, in the program. They hold no data and need no token.

/// One of them.
#[derive(Debug)]
pub struct Asset {
    path: &'static str,
    pub kind: &'static str,
    pub text: &'static str,
}

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

macro_rules! asset {
    ($path:literal, $kind:expr, $file:literal) => {
        Asset {
            path: $path,
            kind: $kind,
            text: include_str!(concat!("assets/", $file)),
        }
    };
}

static ALL: [Asset; 13] = [
    asset!("/", HTML, "index.html"),
    asset!("/style.css", "text/css; charset=utf-8", "style.css"),
    asset!("/icon.svg", "image/svg+xml", "icon.svg"),
    asset!("/app.js", SCRIPT, "app.js"),
    asset!("/dom.js", SCRIPT, "dom.js"),
    asset!("/link.js", SCRIPT, "link.js"),
    asset!("/host.js", SCRIPT, "host.js"),
    asset!("/table.js", SCRIPT, "table.js"),
    asset!("/detail.js", SCRIPT, "detail.js"),
    asset!("/limits.js", SCRIPT, "limits.js"),
    asset!("/chart.js", SCRIPT, "chart.js"),
    asset!("/past.js", SCRIPT, "past.js"),
    asset!("/help.js", SCRIPT, "help.js"),
];

pub fn find(path: &str) -> Option<&'static Asset> {
    ALL.iter().find(|asset| asset.path == path)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Text of containers is shown as text: nothing in the scripts can make it anything else.
    #[test]
    fn scripts_make_no_markup_and_ask_nobody_else() {
        for asset in &ALL {
            for word in [
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
                "new Function",
                "DOMParser",
                "createContextualFragment",
                "srcdoc",
                "javascript:",
                "https://",
                "document.cookie",
            ] {
                assert!(!asset.text.contains(word), "{}: {word}", asset.path);
            }
        }
    }

    /// The page may use no styles and scripts but those of files: the policy of its answers forbids them.
    #[test]
    fn the_page_has_nothing_inline() {
        let page = find("/").unwrap().text;
        for word in [" style=", "<style", " onclick", " onload", "<script>"] {
            assert!(!page.contains(word), "{word}");
        }
        for asset in ALL.iter().filter(|asset| asset.path.ends_with(".js")) {
            let is_used = ALL
                .iter()
                .any(|other| other.text.contains(&asset.path[1..]));
            assert!(is_used, "{} is used by none", asset.path);
        }
    }
}

//! The keys of the `document` section, each written once as those in `keys`.

use super::schema::{Key, NEEDED, Section};

/// The `document` section.
pub(crate) static DOCUMENT_SECTION: Section = Section {
    name: "document",
    keys: &[&DOCUMENT_ROOT, &DEFAULTPAGE],
    inherited: &[],
    foreign: &[
        ("allow", "every file beneath docroot is served"),
        ("deny", "every file beneath docroot is served"),
        ("denylast", "every file beneath docroot is served"),
        (
            "options",
            "ranges are always served, directories are never listed, nothing is written",
        ),
        ("transfer_type", ""),
        ("maxsize", ""),
        ("dochome", ""),
        ("dirhome", ""),
    ],
};

pub(crate) static DOCUMENT_ROOT: Key =
    Key::optional("docroot", "Directory of the files.").absent(NEEDED, "/srv/www/htdocs");
pub(crate) static DEFAULTPAGE: Key =
    Key::text("defaultpage", "index.html", "File served for a directory.");

//! The npm package that is compared with the crate.

use crate::answer::Failure;
use serde_json::Value;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A folder with the package in it.
#[derive(Clone, Debug)]
pub(super) struct Package {
    /// Absolute.
    pub(super) folder: PathBuf,
    /// `exports` of its package.json.
    exports: Value,
}

impl Package {
    /// Takes the package in `folder`, or where none is named, the first of the usual ones.
    pub(super) fn find(folder: Option<&Path>) -> Result<Package, Failure> {
        const USUAL: [&str; 2] = ["pkg", "node_modules/flagstone"];
        let folder =
            folder.or_else(|| USUAL.map(Path::new).into_iter().find(|path| path.join("package.json").is_file()));
        let Some(folder) = folder else {
            let message = "no npm package to compare with in ./pkg or ./node_modules/flagstone; build it with `make pkg` \
                           or name its folder with --package";
            return Err(Failure::File(message.to_owned()));
        };
        let manifest = folder.join("package.json");
        let text = fs::read(&manifest).map_err(|error| Failure::io("read it", &manifest, error))?;
        let refuse =
            |what: &str| Failure::File(format!("{}: {what}; is this the flagstone package?", manifest.display()));
        let mut json: Value = serde_json::from_slice(&text).map_err(|error| refuse(&error.to_string()))?;
        if json["name"] != "flagstone" {
            return Err(refuse("`name` is not \"flagstone\""));
        }
        let folder = folder.canonicalize().map_err(|error| Failure::io("find it", folder, error))?;
        Ok(Package { folder, exports: json["exports"]["."].take() })
    }

    /// The file that `import "flagstone"` means under this condition, relative to the folder, with `/`.
    pub(super) fn entry(&self, condition: &str) -> Option<&str> {
        let mut target = &self.exports;
        while let Value::Object(targets) = target {
            target = targets.iter().find(|(name, _)| [condition, "import", "default"].contains(&name.as_str()))?.1;
        }
        target.as_str()?.strip_prefix("./")
    }

    /// The package's scripts and modules, relative to the folder, sorted; what it depends on is not among them.
    pub(super) fn files(&self) -> io::Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        let mut folders = vec![PathBuf::new()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(self.folder.join(&folder))? {
                let entry = entry?;
                let path = folder.join(entry.file_name());
                if entry.file_type()?.is_dir() {
                    if entry.file_name() != "node_modules" {
                        folders.push(path);
                    }
                } else if path.extension().is_some_and(|extension| extension == "js" || extension == "wasm") {
                    files.push(path);
                }
            }
        }
        files.sort();
        Ok(files)
    }
}

#[cfg(test)]
mod tests {
    use super::Package;
    use serde_json::json;

    #[test]
    fn entries_are_found_as_node_does() {
        let exports = json!({"types": "./a.d.ts", "workerd": "./workerd.js", "node": {"types": "./n.d.ts", "import": "./node.js"}, "default": "./browser.js"});
        let package = Package { folder: "pkg".into(), exports };
        assert_eq!(
            ["workerd", "node", "browser"].map(|name| package.entry(name)),
            [Some("workerd.js"), Some("node.js"), Some("browser.js")]
        );
    }
}

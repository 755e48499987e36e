//! The files of a WSDL: starts at the service, follows `include` and `import`, never leaves the directory.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, bail};

use super::xml::{Element, parse_file};
use super::{WSDL, XSD};

/// A `<definitions>` or `<schema>` and the file it came from.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) file: PathBuf,
    pub(super) element: Element,
}

impl Source {
    pub(super) fn namespace(&self) -> &str {
        self.element.attribute("targetNamespace").unwrap_or("")
    }
}

/// All that a WSDL reaches, each file once, an included file before the one that includes it.
#[derive(Debug, Default)]
pub(super) struct Files {
    pub(super) definitions: Vec<Source>,
    pub(super) schemas: Vec<Source>,
    /// Imported schemas that are not there. Some servers import `reflect-types.xsd` and do not serve it.
    pub(super) missing: BTreeSet<PathBuf>,
    seen: BTreeSet<PathBuf>,
}

impl Files {
    /// Loads `vimService.wsdl`, or `vim.wsdl` where there is no service file, and what they reach.
    pub(super) fn load(dir: &Path) -> anyhow::Result<Files> {
        let start = ["vimService.wsdl", "vim.wsdl"].into_iter().find(|name| dir.join(name).is_file());
        let Some(start) = start else {
            bail!("{} holds neither vimService.wsdl nor vim.wsdl", dir.display());
        };
        let mut files = Files::default();
        files.follow(dir, PathBuf::from(start))?;
        Ok(files)
    }

    fn follow(&mut self, dir: &Path, file: PathBuf) -> anyhow::Result<()> {
        if !self.seen.insert(file.clone()) {
            return Ok(());
        }
        let root = parse_file(&dir.join(&file))?;
        if root.is(XSD, "schema") {
            self.schema(dir, file, root)
        } else if root.is(WSDL, "definitions") {
            self.definitions(dir, file, root)
        } else {
            bail!("{} is neither a WSDL nor a schema: its root is {}", file.display(), root.label())
        }
    }

    fn definitions(&mut self, dir: &Path, file: PathBuf, mut element: Element) -> anyhow::Result<()> {
        for import in element.all("import") {
            self.reach(dir, &file, import, import.required("location")?)?;
        }
        for types in element.children.iter_mut().filter(|child| child.is(WSDL, "types")) {
            for schema in std::mem::take(&mut types.children) {
                if schema.is(XSD, "schema") {
                    self.schema(dir, file.clone(), schema)?;
                }
            }
        }
        self.definitions.push(Source { file, element });
        Ok(())
    }

    fn schema(&mut self, dir: &Path, file: PathBuf, element: Element) -> anyhow::Result<()> {
        for include in element.all("include") {
            self.reach(dir, &file, include, include.required("schemaLocation")?)?;
        }
        for import in element.all("import") {
            // An import may name a namespace alone: its schema stands elsewhere in the same WSDL.
            let Some(location) = import.attribute("schemaLocation") else {
                continue;
            };
            match inside(&file, location) {
                Ok(path) if !dir.join(&path).exists() => _ = self.missing.insert(path),
                _ => self.reach(dir, &file, import, location)?,
            }
        }
        self.schemas.push(Source { file, element });
        Ok(())
    }

    fn reach(&mut self, dir: &Path, from: &Path, link: &Element, location: &str) -> anyhow::Result<()> {
        let why = || format!("{} of \"{location}\" in {}", link.label(), from.display());
        let file = inside(from, location).with_context(why)?;
        self.follow(dir, file).with_context(why)
    }
}

/// The path below the directory that a location names, seen from the file that holds it.
fn inside(from: &Path, location: &str) -> anyhow::Result<PathBuf> {
    if location.contains("://") {
        bail!("only files beside the WSDL are read, nothing is fetched");
    }
    let mut path = from.parent().unwrap_or(Path::new("")).to_path_buf();
    for part in Path::new(location).components() {
        match part {
            Component::Normal(name) => path.push(name),
            Component::CurDir => {}
            Component::ParentDir if path.pop() => {}
            _ => bail!("the location leaves the directory of the WSDL"),
        }
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_stays_below_the_directory() {
        let from = Path::new("schemas/types.xsd");
        assert_eq!(inside(from, "./core.xsd").unwrap(), Path::new("schemas/core.xsd"));
        assert_eq!(inside(from, "../core.xsd").unwrap(), Path::new("core.xsd"));
        assert!(inside(from, "../../core.xsd").is_err());
        assert!(inside(from, "/etc/hosts").is_err());
        assert!(inside(from, "http://localhost/core.xsd").is_err());
    }
}

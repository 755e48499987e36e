//! `vimServiceVersions.xml`: which versions of the API the server speaks.

use vsphere_model::VERSIONS;

/// The document of a server whose newest version is `newest`. It speaks all before it, too.
pub(super) fn document(newest: &str) -> String {
    let until = VERSIONS.iter().position(|version| *version == newest).unwrap_or(VERSIONS.len());
    let prior: String =
        VERSIONS[..until].iter().rev().map(|version| format!("   <version>{version}</version>\n")).collect();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\" ?>\n<namespaces version=\"1.0\">\n <namespace>\n  \
         <name>urn:vim25</name>\n  <version>{newest}</version>\n  <priorVersions>\n{prior}  </priorVersions>\n \
         </namespace>\n</namespaces>\n"
    )
}

#[cfg(test)]
mod tests {
    use vsphere_soap::http::ServiceVersions;

    use super::*;

    #[test]
    fn a_client_finds_the_newest_version_and_older_ones() {
        let versions = ServiceVersions::parse(document("8.0.3.0").as_bytes()).unwrap();
        assert_eq!(versions.newest(), "8.0.3.0");
        assert!(versions.speaks("6.7") && !versions.speaks("9.0.0.0"));
    }
}

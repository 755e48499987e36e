//! Pages that list datacenters, datastores and folders, for people who look at `/folder` with a browser.

use std::fmt::Write as _;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::objects::datacenter::Datacenter;
use crate::objects::datastore::{Datastore, path};
use crate::world::{Moref, World};

/// The datacenters that the session sees.
pub(super) fn datacenters(world: &World, session: &str) -> String {
    let all = world.all::<Datacenter>().into_iter().filter(|(reference, _)| world.may_view(reference, Some(session)));
    let rows = all.map(|(reference, _)| {
        let path = path_of(world, reference);
        (path.clone(), format!("/folder?dcPath={}", encode(&path)))
    });
    page("Index of datacenters", rows)
}

/// The datastores of a datacenter that the session sees.
pub(super) fn datastores(world: &World, datacenter: &Moref, path: &str, session: &str) -> String {
    let all = world.get::<Datacenter>(datacenter).map(|found| found.datastores.clone()).unwrap_or_default();
    let names = all.iter().filter(|datastore| world.may_view(datastore, Some(session)));
    let rows = names.filter_map(|datastore| Some(world.entity(datastore).ok()?.name.clone()));
    let rows = rows.map(|name| {
        let link = format!("/folder?dcPath={}&dsName={}", encode(path), encode(&name));
        (name, link)
    });
    page(&format!("Index of datastores in datacenter {path}"), rows)
}

/// What is in a folder, with the way up.
pub(super) fn folder(datastore: &Datastore, folder: &str, datacenter: &str, name: &str) -> String {
    let link = |below: &str| {
        let steps: Vec<String> = below.split('/').map(encode).collect();
        format!("/folder/{}?dcPath={}&dsName={}", steps.join("/"), encode(datacenter), encode(name))
    };
    let title = format!("Index of {folder} on datastore {name} in datacenter {datacenter}");
    let mut out = head(&title);
    out.push_str("<tr><th>Name</th><th>Last modified</th><th>Size</th></tr>\n");
    let up = match folder {
        "" => format!("/folder?dcPath={}", encode(datacenter)),
        _ => link(path::split(folder).0),
    };
    let _ = writeln!(out, "<tr><td><a href=\"{}\">Parent Directory</a></td><td></td><td>-</td></tr>", escape(&up));
    for (child, file) in datastore.files().children(folder) {
        let (slash, size) = if file.is_folder() { ("/", "-".to_owned()) } else { ("", file.size.to_string()) };
        let time = file.modification().format("%d-%b-%Y %H:%M");
        let to = link(&path::join(folder, child));
        let (to, child) = (escape(&to), escape(child));
        let _ = writeln!(out, "<tr><td><a href=\"{to}\">{child}{slash}</a></td><td>{time}</td><td>{size}</td></tr>");
    }
    out + TAIL
}

/// The inventory path of a datacenter.
pub(super) fn path_of(world: &World, datacenter: &Moref) -> String {
    let mut above = world.ancestors(datacenter);
    // The root folder is not part of it.
    above.pop();
    let names = above.iter().rev().filter_map(|at| world.entity(at).ok()).map(|entity| entity.name.as_str());
    names.collect::<Vec<_>>().join("/")
}

fn page(title: &str, rows: impl Iterator<Item = (String, String)>) -> String {
    let mut out = head(title);
    for (name, link) in rows {
        let _ = writeln!(out, "<tr><td><a href=\"{}\">{}</a></td></tr>", escape(&link), escape(&name));
    }
    out + TAIL
}

const TAIL: &str = "</table></body>\n</html>\n";

fn head(title: &str) -> String {
    let title = escape(title);
    format!("<!DOCTYPE html>\n<html>\n<head><title>{title}</title></head>\n<body><h1>{title}</h1>\n<table>\n")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Everything but the characters that mean themselves in every part of a URL.
const RESERVED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

fn encode(text: &str) -> String {
    utf8_percent_encode(text, &RESERVED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_no_markup() {
        let rows = [("<b>\"&".to_owned(), format!("/folder?dcPath={}", encode("a&b/c")))];
        let page = page("T", rows.into_iter());
        assert!(page.contains("<a href=\"/folder?dcPath=a%26b%2Fc\">&lt;b&gt;&quot;&amp;</a>"), "{page}");
    }
}

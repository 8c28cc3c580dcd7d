//! The walks of `docs/ARCHITECTURE.md` name functions that exist, and are as short as they promise.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::assert_none;

/// Most stations of an event from the bytes of its message to its ack, and most files that they stand in.
const STATIONS: usize = 25;
const FILES: usize = 15;

#[test]
fn every_station_of_a_walk_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/ARCHITECTURE.md")).expect("docs/ARCHITECTURE.md");
    let faults = stations(&page).into_iter().filter_map(|(file, function)| {
        let text = fs::read_to_string(root.join("src").join(file)).unwrap_or_default();
        let name = function.rsplit("::").next().unwrap_or(function);
        let exists = [format!("fn {name}("), format!("fn {name}<")].iter().any(|head| text.contains(head));
        (!exists).then(|| format!("docs/ARCHITECTURE.md names {file}::{function}"))
    });
    assert_none(faults);
}

#[test]
fn the_way_of_an_event_is_short() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/ARCHITECTURE.md")).expect("docs/ARCHITECTURE.md");
    let way = page.split("\n## ").find(|section| section.starts_with("The way of one event")).expect("the section");
    let stations = stations(way);
    let files: BTreeSet<&str> = stations.iter().map(|(file, _)| *file).collect();
    assert!((10..=STATIONS).contains(&stations.len()), "{} stations", stations.len());
    assert!(files.len() <= FILES, "{} files: {files:?}", files.len());
}

/// Stations in the text, each `folder/file.rs::function` in backticks.
fn stations(text: &str) -> Vec<(&str, &str)> {
    text.split('`')
        .skip(1)
        .step_by(2)
        .filter_map(|code| code.split_once(".rs::"))
        .map(|(file, function)| (&text[offset(text, file)..offset(text, file) + file.len() + 3], function))
        .collect()
}

/// Where a part of a text begins in it.
fn offset(text: &str, part: &str) -> usize {
    part.as_ptr().addr() - text.as_ptr().addr()
}

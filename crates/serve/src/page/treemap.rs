//! Treemaps: files as areas, each a link, folders together. All lengths are parts of the whole, so that text keeps
//! its size on any screen.

use std::collections::BTreeMap;
use std::fmt::Write;

use genstore::tree::show_path;

use super::layout::{address, size};
use crate::answers::escape;

/// The number of files that have an area of their own.
const MOST: usize = 240;
/// The number of levels of folders whose files stay together.
const LEVELS: usize = 2;
/// The shape that areas are laid out for.
const SHAPE: Area = Area { x: 0.0, y: 0.0, width: 960.0, height: 420.0 };
/// The smallest area that has a text, in its width and height.
const READABLE: (f64, f64) = (46.0, 20.0);

/// A file of a treemap.
pub(super) struct Tile {
    pub(super) path: Vec<u8>,
    /// The size of its area, in bytes.
    pub(super) bytes: u64,
    /// The class of its colour.
    pub(super) class: &'static str,
    /// The text of its size.
    pub(super) text: String,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Area {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
}

/// Creates a treemap. `legend`: the classes, with their names.
pub(super) fn treemap(label: &str, mut tiles: Vec<Tile>, legend: &[(&str, &str)]) -> String {
    tiles.retain(|tile| tile.bytes > 0);
    if tiles.is_empty() {
        return String::new();
    }
    tiles.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.path.cmp(&b.path)));
    let rest = tiles.split_off(tiles.len().min(MOST));
    let mut left = String::new();
    if !rest.is_empty() {
        let bytes = rest.iter().map(|tile| tile.bytes).sum();
        left = format!(" · {} smaller ones, {} together, are not shown", rest.len(), size(bytes));
    }
    let mut body = String::new();
    place(&tiles.iter().collect::<Vec<_>>(), 0, 0, SHAPE, &mut body);
    let has = |class: &str| tiles.iter().any(|tile| tile.class == class);
    let legend: String = legend
        .iter()
        .filter(|(class, _)| has(class))
        .map(|(class, name)| format!("<span class=\"key {class}\">{name}</span>"))
        .collect();
    format!(
        "<figure class=\"treemap\"><svg role=\"group\" aria-label=\"{}\">{body}</svg>\
         <figcaption>{legend}<span class=\"dim\">{}{left}</span></figcaption></figure>",
        escape(label),
        escape(label)
    )
}

/// Places tiles in an area. Their paths share the first `shared` bytes.
fn place(tiles: &[&Tile], shared: usize, level: usize, shape: Area, out: &mut String) {
    let mut folders: BTreeMap<&[u8], Vec<&Tile>> = BTreeMap::new();
    for tile in tiles {
        let rest = tile.path.get(shared..).unwrap_or_default();
        let end = rest.iter().position(|byte| *byte == b'/').filter(|_| level < LEVELS);
        folders.entry(end.map_or(rest, |at| &rest[..=at])).or_default().push(tile);
    }
    let sum = |tiles: &[&Tile]| tiles.iter().map(|tile| tile.bytes).sum::<u64>();
    let mut groups: Vec<(u64, &[u8], Vec<&Tile>)> =
        folders.into_iter().map(|(name, tiles)| (sum(&tiles), name, tiles)).collect();
    groups.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(b.1)));
    let weights: Vec<f64> = groups.iter().map(|(bytes, _, _)| *bytes as f64).collect();
    for ((_, name, tiles), area) in groups.iter().zip(areas(&weights, shape)) {
        let part = |length: f64, whole: f64| length / whole * 100.0;
        let lengths = format!(
            "x=\"{:.2}%\" y=\"{:.2}%\" width=\"{:.2}%\" height=\"{:.2}%\"",
            part(area.x, shape.width),
            part(area.y, shape.height),
            part(area.width, shape.width),
            part(area.height, shape.height)
        );
        if let [tile] = tiles.as_slice() {
            leaf(tile, &lengths, area, out);
            continue;
        }
        write!(out, "<svg {lengths}>").ok();
        place(tiles, shared + name.len(), level + 1, Area { x: 0.0, y: 0.0, ..area }, out);
        out.push_str("</svg>");
    }
}

fn leaf(tile: &Tile, place: &str, area: Area, out: &mut String) {
    let name = tile.path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let (path, text) = (escape(&show_path(&tile.path)), escape(&tile.text));
    let mut words = String::new();
    if area.width >= READABLE.0 && area.height >= READABLE.1 {
        write!(words, "<text aria-hidden=\"true\" x=\"6\" y=\"16\">{}</text>", escape(&show_path(name)))
            .ok();
    }
    if area.width >= READABLE.0 && area.height >= 2.0 * READABLE.1 {
        write!(words, "<text aria-hidden=\"true\" x=\"6\" y=\"32\">{text}</text>").ok();
    }
    write!(
        out,
        "<a href=\"/@genstore/path/{}\"><svg {place}><title>{path}: {text}</title>\
         <rect class=\"{}\" width=\"100%\" height=\"100%\"/>{words}</svg></a>",
        address(&tile.path),
        tile.class
    )
    .ok();
}

/// Divides an area into parts of these weights, the largest first, as near to squares as possible: "Squarified
/// Treemaps" by Bruls, Huizing and van Wijk, 2000.
fn areas(weights: &[f64], whole: Area) -> Vec<Area> {
    let scale = whole.width * whole.height / weights.iter().sum::<f64>();
    let sizes: Vec<f64> = weights.iter().map(|weight| weight * scale).collect();
    let (mut rest, mut rows) = (whole, sizes.as_slice());
    let mut all = Vec::with_capacity(weights.len());
    while let Some(first) = rows.first() {
        let short = rest.width.min(rest.height);
        let worst = |least: f64, sum: f64| {
            (short * short * first / (sum * sum)).max(sum * sum / (short * short * least))
        };
        let (mut count, mut sum) = (1, *first);
        while let Some(next) =
            rows.get(count).filter(|next| worst(**next, sum + **next) <= worst(rows[count - 1], sum))
        {
            sum += next;
            count += 1;
        }
        let (row, others) = rows.split_at(count);
        rows = others;
        let thickness = sum / short;
        let is_wide = rest.width >= rest.height;
        let mut at = 0.0;
        for part in row {
            let length = part / thickness;
            all.push(match is_wide {
                true => Area { x: rest.x, y: rest.y + at, width: thickness, height: length },
                false => Area { x: rest.x + at, y: rest.y, width: length, height: thickness },
            });
            at += length;
        }
        match is_wide {
            true => (rest.x, rest.width) = (rest.x + thickness, rest.width - thickness),
            false => (rest.y, rest.height) = (rest.y + thickness, rest.height - thickness),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_have_their_weights() {
        let whole = Area { x: 0.0, y: 0.0, width: 600.0, height: 400.0 };
        // The example of the paper.
        let all = areas(&[6.0, 6.0, 4.0, 3.0, 2.0, 2.0, 1.0], whole);
        let near = |a: f64, b: f64| (a - b).abs() < 0.01;
        let sum: f64 = all.iter().map(|area| area.width * area.height).sum();
        assert!(near(sum, 240_000.0), "{all:?}");
        assert!(near(all[0].width, 300.0) && near(all[0].height, 200.0), "{all:?}");
        assert!(near(all[1].y, 200.0) && near(all[2].x, 300.0), "{all:?}");
        for (nth, a) in all.iter().enumerate() {
            assert!(
                a.x > -0.01 && a.y > -0.01 && a.x + a.width < 600.01 && a.y + a.height < 400.01,
                "{a:?}"
            );
            for b in &all[nth + 1..] {
                let apart = a.x + a.width <= b.x + 0.01
                    || b.x + b.width <= a.x + 0.01
                    || a.y + a.height <= b.y + 0.01
                    || b.y + b.height <= a.y + 0.01;
                assert!(apart, "{a:?} {b:?}");
            }
        }
    }

    #[test]
    fn files_of_a_folder_stay_together() {
        let tile =
            |path: &str, bytes| Tile { path: path.into(), bytes, class: "other", text: "x".to_owned() };
        let map = treemap(
            "Sizes",
            vec![tile("a/1", 2), tile("b", 3), tile("a/<2>", 1), tile("c", 0)],
            &[("other", "Other")],
        );
        assert_eq!(map.matches("<a href").count(), 3);
        assert!(map.contains("href=\"/@genstore/path/a/%3C2%3E\""), "{map}");
        assert!(map.contains("<title>a/&lt;2&gt;: x</title>"), "{map}");
        assert!(map.contains("<span class=\"key other\">Other</span>"), "{map}");
        assert_eq!(treemap("Sizes", vec![], &[]), "");
        let many = (0..300).map(|number| tile(&format!("{number}"), 1 + number)).collect();
        let map = treemap("Sizes", many, &[]);
        assert_eq!(map.matches("<a href").count(), MOST);
        assert!(map.contains("60 smaller ones"), "{map}");
    }
}

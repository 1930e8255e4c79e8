//! Measures the pure part: manifests as bytes, trees from entries, differences.
//!
//! cargo bench -p genstore --bench model

use std::hint::black_box;
use std::time::{Duration, UNIX_EPOCH};

use criterion::{BenchmarkId, Criterion, Throughput};
use genstore::diff::diff;
use genstore::generation::Manifest;
use genstore::tree::{Digest, Entry, FileNode, Mtime, Node, Tree, TreeBuilder};

/// Makes a tree of files, 50 in a folder. Every hundredth has other bytes in each `edition`.
fn tree(entries: usize, edition: usize) -> Tree {
    let mut builder = TreeBuilder::default();
    for number in 0..entries {
        let path = format!("packages/{:05}/lib/file-{:02}.js", number / 50, number % 50);
        let content = if number % 100 == 0 { format!("{number} {edition}") } else { number.to_string() };
        let file = FileNode {
            digest: Digest::of(content.as_bytes()),
            size: 1 + number as u64,
            executable: number % 20 == 0,
            mtime: Mtime { secs: 1_700_000_000, nanos: 0 },
        };
        let entry = Entry { path: path.as_bytes(), node: Node::File(file) };
        builder.push(entry).expect("the paths are in order");
    }
    builder.finish()
}

fn copy(tree: &Tree) -> Tree {
    let mut builder = TreeBuilder::default();
    for entry in tree.iter() {
        builder.push(entry).expect("the paths are in order");
    }
    builder.finish()
}

fn model(criterion: &mut Criterion) {
    for entries in [10_000, 100_000] {
        let (old, new) = (tree(entries, 1), tree(entries, 2));
        let created = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let manifest = Manifest::new(old.clone(), created, String::new(), Default::default());
        let bytes = manifest.encode();
        let mut group = criterion.benchmark_group("model");
        group.throughput(Throughput::Elements(entries as u64)).sample_size(20);
        group.bench_function(BenchmarkId::new("build and hash a tree", entries), |bencher| {
            bencher.iter(|| copy(black_box(&old)));
        });
        group.bench_function(BenchmarkId::new("encode a manifest", entries), |bencher| {
            bencher.iter(|| black_box(&manifest).encode());
        });
        group.bench_function(BenchmarkId::new("decode a manifest", entries), |bencher| {
            bencher.iter(|| Manifest::decode(black_box(&bytes)).expect("as it was written"));
        });
        group.bench_function(BenchmarkId::new("diff, 1 % changed", entries), |bencher| {
            bencher.iter(|| diff(black_box(&old), black_box(&new)).changes.len());
        });
        group.finish();
    }
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    model(&mut criterion);
    criterion.final_summary();
}

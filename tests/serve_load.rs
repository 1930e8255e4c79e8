//! `serve` under load: publishers, rollbacks and gc beside readers. No response is refused, wrong or mixed.
//!
//! `GENSTORE_REQUESTS` is the number of requests; `scripts/soak` makes a million.

use std::sync::atomic::AtomicUsize;
use std::thread;

use crate::http::Client;
use crate::prelude::*;
use crate::serve::Server;

const READERS: usize = 6;
const FILES: usize = 20;

/// Writes a tree whose files all have the same word.
fn write(site: &Site, folder: &str, word: &str) {
    for number in 0..FILES {
        let text = format!("{word} {}\n", "filler ".repeat(number * 40));
        fs::create_dir_all(site.path(folder)).unwrap();
        fs::write(site.path(folder).join(format!("{number}.txt")), text).unwrap();
    }
    fs::write(site.path(folder).join("index.html"), format!("<p>{word}</p>")).unwrap();
}

/// Requests files until the count is used up. Returns what was wrong.
fn read(port: u16, left: &AtomicUsize, seed: usize) -> Vec<String> {
    let (mut wrong, mut client, mut at) = (vec![], Client::new(port), seed);
    // The word of each generation, by its number: all its responses must have the same.
    let mut words: BTreeMap<String, String> = BTreeMap::new();
    while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
        at = at.wrapping_mul(31).wrapping_add(7);
        let path = format!("/{}.txt", at % FILES);
        client.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes());
        let reply = match client.reply(false) {
            Ok(reply) => reply,
            Err(error) => {
                wrong.push(format!("{path}: {error}"));
                client = Client::new(port);
                continue;
            }
        };
        let text = reply.text();
        let word = text.split(' ').next().unwrap_or_default().to_owned();
        let generation = reply.header("genstore-generation").to_owned();
        let known = words.entry(generation.clone()).or_insert_with(|| word.clone());
        let whole = format!("{word} {}\n", "filler ".repeat(at % FILES * 40));
        if reply.status != 200 || text != whole || *known != word {
            wrong.push(format!("{path}: {} of generation {generation}: {word}", reply.status));
        }
    }
    wrong
}

#[test]
fn no_response_is_refused_or_mixed() {
    let count =
        std::env::var("GENSTORE_REQUESTS").ok().and_then(|text| text.parse().ok()).unwrap_or(20_000);
    let site = Site::new();
    write(&site, "dist-0", "first");
    site.run("publish dist-0").ok();
    let server = Server::start(&site, "");
    let (left, is_over) = (AtomicUsize::new(count), AtomicBool::new(false));
    let (wrong, published) = thread::scope(|scope| {
        let (site, is_over) = (&site, &is_over);
        let publisher = |number: usize| {
            move || {
                let mut published = 0;
                while !is_over.load(Ordering::Relaxed) {
                    write(site, &format!("dist-{number}"), &format!("word-{number}-{published}"));
                    published += usize::from(
                        site.command(&format!("publish dist-{number} --quiet")).try_run().is_some(),
                    );
                }
                published
            }
        };
        let publishers: Vec<_> = (1..=3).map(|number| scope.spawn(publisher(number))).collect();
        let others = scope.spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                // Each may find nothing to do.
                site.run("rollback --keep-good --quiet");
                site.run("gc --keep-last 2 --grace 0s --quiet");
                site.run("switch @- --quiet");
            }
        });
        let readers: Vec<_> = (0..READERS)
            .map(|seed| {
                scope.spawn({
                    let left = &left;
                    move || read(server.port, left, seed)
                })
            })
            .collect();
        let wrong: Vec<String> = readers.into_iter().flat_map(|reader| reader.join().unwrap()).collect();
        is_over.store(true, Ordering::Relaxed);
        others.join().unwrap();
        (wrong, publishers.into_iter().map(|publisher| publisher.join().unwrap()).sum::<usize>())
    });
    println!("{count} requests beside {published} publications, rollbacks and gc: {} wrong", wrong.len());
    assert!(wrong.is_empty(), "{} wrong: {:?}", wrong.len(), &wrong[..wrong.len().min(10)]);
    assert!(published > 3, "{published} publications");
}

//! A holder whose delta frames name what the base does not have, or make other bytes: the frame is refused by
//! its code and asked for again without a base.

use std::sync::{Arc, Mutex};

use restock_content::library::Library;
use restock_content::transfer::{AcceptedStatement, ItemKind, Outgoing, Request, Sender};
use restock_transfer::{PullError, PullProgress, pull};
use serde_json::{Value, json};

use crate::hostile::{hostile_world, item};
use crate::peer::Listener;
use crate::world::{files, in_runtime, options, read_back};

/// Codes of the connections that failed.
#[derive(Default)]
struct Codes(Mutex<Vec<String>>);

impl PullProgress for Codes {
    fn connection_failed(&self, cause: &PullError) {
        self.0.lock().unwrap().push(cause.code());
    }
}

fn varint(mut number: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
    out
}

/// First object, objects, bytes left out, bytes: four numbers as they stand in a frame.
fn run(first: u64, count: u64, skip: u64, length: u64) -> Vec<u8> {
    [first, count, skip, length].into_iter().flat_map(varint).collect()
}

/// Serves versions for ever, honestly to whoever names no base. To others each chunk comes as a delta frame
/// with `prefix` and a zstd frame of other bytes.
async fn serve(listener: &Listener, library: &Library, statement: &AcceptedStatement, prefix: &[u8]) {
    loop {
        let mut peer = listener.accept().await;
        let Some(hello) = peer.message().await else { continue };
        let names_base = hello["base"] != Value::Null;
        peer.say(json!({"type": "pull_ready"})).await;
        let mut sender = Sender::new(library, statement.root);
        'requests: while let Some((_, body)) = peer.frame().await {
            for range in &Request::decode(&body).unwrap().ranges {
                for outgoing in sender.resolve(range) {
                    let Outgoing { item: of, digest, length } = outgoing.unwrap();
                    let frame = library.read_stored(&digest).unwrap();
                    let is_sent = if names_base && of.kind == ItemKind::Chunk {
                        let mut delta = vec![of.kind as u8];
                        delta.extend(of.ordinal.to_le_bytes());
                        delta.extend(length.to_le_bytes());
                        delta.extend(prefix);
                        let other = vec![0x5a; length as usize];
                        let mut packed = Vec::new();
                        restock_content::pack::compress(&other, &mut packed);
                        delta.extend(packed);
                        peer.send(4, &delta).await
                    } else {
                        let (encoding, raw_length) = (frame.encoding, frame.raw_length);
                        let header =
                            restock_content::transfer::FrameHeader { item: of, encoding, raw_length };
                        peer.send(3, &item(&header, &frame.bytes)).await
                    };
                    if !is_sent {
                        break 'requests;
                    }
                }
            }
        }
    }
}

#[test]
fn a_delta_frame_with_a_bad_range_or_base_is_refused_and_the_object_asked_for_whole() {
    in_runtime(async {
        let before = files(30, 9_000);
        let mut after = before.clone();
        after.values_mut().for_each(|bytes| bytes.push(9));
        let cases = [
            ("no such object", run(1 << 40, 1, 0, 10), "DELTA_RANGE"),
            ("more bytes than there are", run(0, 1, 0, 4 << 20), "DELTA_RANGE"),
            ("left out beyond the end", run(0, 1, 4 << 20, 1), "DELTA_RANGE"),
            ("none at all", run(0, 0, 0, 10), "DELTA_RANGE"),
            ("too many", run(0, 65, 0, 10), "DELTA_RANGE"),
            ("no bytes", run(0, 1, 0, 0), "DELTA_RANGE"),
            ("beyond 64 bits", run(u64::MAX, 2, 0, 10), "DELTA_RANGE"),
            ("negative", [&[0xff; 10][..], &run(1, 0, 10, 0)].concat(), "DELTA_RANGE"),
            ("other bytes", run(0, 1, 0, 1), "DELTA_BASE"),
        ];
        for (what, prefix, code) in cases {
            let (world, listener, point) = hostile_world().await;
            let codes = Arc::new(Codes::default());
            let progress: Arc<dyn PullProgress> = Arc::clone(&codes) as Arc<dyn PullProgress>;
            for (version, tree) in [(1, &before), (2, &after)] {
                let statement = world.publish(version, tree);
                let (identity, library) = (&point.identity, &point.library);
                let options = options();
                let pulled = pull(identity, library, &statement, &options, &progress, &point.run);
                tokio::select! {
                    () = serve(&listener, &world.library, &statement, &prefix) => unreachable!(),
                    pulled = pulled => drop(pulled.unwrap_or_else(|error| panic!("{what}: {error}"))),
                }
                point.library.store_statement(&statement).unwrap();
                point.library.activate(&statement.version).unwrap();
                assert_eq!(&read_back(&point.library, statement.root), tree, "{what}");
                // Once for each connection at most: from then on objects are asked for whole.
                let failed = std::mem::take(&mut *codes.0.lock().unwrap());
                let is_told = failed.iter().any(|failed| failed == code);
                assert_eq!(is_told, version == 2, "{what}: {failed:?}");
                assert!(failed.len() <= options.connections, "{what}: {failed:?}");
            }
        }
    });
}

//! Clients that speak something else than TLS on the TLS port.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use restock_names::{Clock, SystemClock};

use crate::adminservice::door::Door;

/// A ClientHello of an old version with these cipher suites.
fn old_hello(version: [u8; 2], suites: &[[u8; 2]]) -> Vec<u8> {
    let mut body = version.to_vec();
    body.extend([7; 32]);
    body.push(0);
    body.extend(((suites.len() * 2) as u16).to_be_bytes());
    suites.iter().for_each(|suite| body.extend(suite));
    body.extend([1, 0]);
    let mut handshake = vec![1, 0];
    handshake.extend((body.len() as u16).to_be_bytes());
    handshake.extend(body);
    let mut record = vec![0x16, 3, 1];
    record.extend((handshake.len() as u16).to_be_bytes());
    record.extend(handshake);
    record
}

#[test]
fn old_tls_null_ciphers_and_plain_http_end_in_the_handshake_with_one_line() {
    let door = Door::new(&[]);
    let log = door.world.site_data().join("logs/restock.jsonl");
    let (rsa_aes, rsa_null, null_null) = ([0, 0x2f], [0, 0x3b], [0, 0]);
    let rows = [
        ("TLS 1.0", old_hello([3, 1], &[rsa_aes])),
        ("NULL ciphers", old_hello([3, 3], &[rsa_null, null_null])),
        ("plain HTTP", b"GET /AdminService/wmi/SMS_Site HTTP/1.1\r\nHost: site\r\n\r\n".to_vec()),
    ];
    for (what, bytes) in rows {
        let mut stream = TcpStream::connect(door.https).unwrap();
        let local = stream.local_addr().unwrap().to_string();
        stream.write_all(&bytes).unwrap();
        let mut answer = Vec::new();
        // A reset is an end too.
        let _end = stream.read_to_end(&mut answer);
        assert!(answer.first() == Some(&0x15) && answer.len() == 7, "{what}: {answer:?}");
        let said = || {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            text.lines().filter(|line| line.contains(&local) && line.contains("TLS_HANDSHAKE")).count()
        };
        let begun = SystemClock.monotonic();
        while said() == 0 {
            assert!(SystemClock.monotonic() - begun < Duration::from_secs(30), "{what}: no line");
        }
        assert_eq!(said(), 1, "{what}");
    }
    assert_eq!(door.request("GET", "/AdminService/wmi/SMS_Site", &[], "").status, 200);
}

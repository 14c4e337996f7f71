//! Every decoder of the link, fed a corpus of real bytes, each cut and changed in many places.

use restock_content::pack::Encoding;
use restock_content::transfer::{FrameHeader, Item, ItemKind, Range, Request};
use restock_transfer::{EnrolmentToken, Identity, SiteUrl, fuzz_frames, fuzz_messages};

const MESSAGES: &[&str] = &[
    r#"{"type":"hello","protocol":1,"library_id":"00","serve_urls":["http://x"],"held":[{"package":"XYZ00001","epoch":1,"version":3}],"software":"x"}"#,
    r#"{"type":"welcome","protocol":1,"site":"XYZ","key_list":"00ff"}"#,
    r#"{"type":"job","job_id":7,"kind":"install","content":{"package":"XYZ00001","epoch":1,"version":3},"statement":"01ab","is_public":true,"name":"Office"}"#,
    r#"{"type":"report","sequence":2,"job_id":7,"content":{"package":"XYZ00001","epoch":1,"version":3},"state":"failed","at":5,"totals":{"frames":3}}"#,
    r#"{"type":"progress","job_id":7,"content":{"package":"XYZ00001","epoch":1,"version":3},"bytes_done":1,"bytes_total":2,"wire_bytes":3}"#,
    r#"{"type":"ack","sequence":2}"#,
    r#"{"type":"ping"}"#,
    r#"{"type":"refused","code":"NOT_AUTHORISED","text":"no","is_transient":false}"#,
    r#"{"type":"pull_hello","protocol":1,"content":{"package":"XYZ00001","epoch":1,"version":3}}"#,
    r#"{"type":"enrol","protocol":1,"secret":"00","name":"DP01","request":"3000"}"#,
    r#"{"type":"enrolled","site":"XYZ","certificate":"00","authority":"00","root_key":"00","key_list":"00"}"#,
    r#"{"type":"renew","request":"00"}"#,
    r#"{"type":"enrol","protocol":1,"secret":"00","name":"ABC","request":"3000","site":{"root_key":"00","key_list":"00","authority":"0000000000000000000000000000000000000000000000000000000000000000","url":"restock://x:1"}}"#,
    r#"{"type":"key_list","key_list":"00"}"#,
    r#"{"type":"authorities","authorities":"00"}"#,
    r#"{"type":"head","head":"00"}"#,
    r#"{"type":"welcome","protocol":1,"site":"XYZ","key_list":"00ff","authorities":"52","head":"5253"}"#,
    r#"{"type":"site_welcome","protocol":1,"site":"XYZ","incarnation":"b2","received":{"incarnation":"","sequence":0},"key_list":"00","authorities":"52","head":"5253"}"#,
    r#"{"type":"enrolled","site":"XYZ","certificate":"00","authority":"00","root_key":"00","key_list":"00","authorities":"52"}"#,
    r#"{"type":"site_hello","protocol":1,"site":"ABC","incarnation":"a1","received":{"incarnation":"b2","sequence":7},"key_list":"00","software":"x"}"#,
    r#"{"type":"site_welcome","protocol":1,"site":"XYZ","incarnation":"b2","received":{"incarnation":"","sequence":0},"key_list":"00"}"#,
    r#"{"type":"changes","first":1,"last":3,"objects":[{"kind":"package","key":"XYZ00001","n":1.5},null]}"#,
    r#"{"type":"changes_ack","last":3}"#,
    r#"{"type":"pull_wanted","ticket":1,"content":{"package":"XYZ00001","epoch":1,"version":3}}"#,
    r#"{"type":"serve_hello","protocol":1,"ticket":1,"content":{"package":"XYZ00001","epoch":1,"version":3}}"#,
    r#"{"type":"draft","content":{"package":"XYZ00001","epoch":1,"version":3}}"#,
    r#"{"type":"draft_hello","protocol":1,"content":{"package":"XYZ00001","epoch":1,"version":3},"from":7}"#,
    r#"{"type":"draft_ended","is_kept":true}"#,
    r#"{"type":"later","unknown":[{}]}"#,
];

fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
    [&(1 + body.len() as u32).to_le_bytes()[..], &[kind], body].concat()
}

fn feed(bytes: &[u8]) {
    fuzz_frames(bytes);
    fuzz_messages(bytes);
    restock_content::transfer::fuzz_one(bytes);
    restock_content::transfer::fuzz_feed(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        if let Ok(token) = text.parse::<EnrolmentToken>() {
            assert_eq!(token.to_string().parse::<EnrolmentToken>().unwrap(), token);
        }
        if let Ok(identity) = text.parse::<Identity>() {
            assert_eq!(identity.to_string(), text);
        }
        if let Ok(url) = text.parse::<SiteUrl>() {
            assert_eq!(url.to_string().parse::<SiteUrl>().unwrap(), url);
        }
    }
    // A certificate of a peer that TLS has let through is read too.
    let _names_nobody = Identity::of_certificate(&rustls::pki_types::CertificateDer::from(bytes));
}

#[test]
fn no_bytes_break_a_decoder() {
    let request = Request {
        ranges: vec![
            Range { kind: ItemKind::Page, first: 0, count: 300 },
            Range { kind: ItemKind::Chunk, first: 1 << 40, count: 1 },
        ],
    };
    let item = Item { kind: ItemKind::Chunk, ordinal: 77 };
    let header = FrameHeader { item, encoding: Encoding::Zstd, raw_length: 9 };
    let item = [&header.encode()[..], b"stored bytes"].concat();
    let world = tempfile::tempdir().unwrap();
    let site = "XYZ".parse().unwrap();
    let trust = restock_transfer::SiteTrust::create(world.path(), site, &restock_names::SystemClock).unwrap();
    let kind = restock_transfer::TokenKind::DistributionPoint;
    let token = trust.new_token(kind, &"DP01".parse().unwrap()).unwrap().to_string();
    let pem = rustls::pki_types::pem::PemObject::from_pem_file(world.path().join("link.pem"));
    let certificate: rustls::pki_types::CertificateDer<'_> = pem.unwrap();
    let mut corpus: Vec<Vec<u8>> = MESSAGES.iter().map(|text| text.as_bytes().to_vec()).collect();
    corpus.extend(MESSAGES.iter().map(|text| frame(1, text.as_bytes())));
    corpus.extend([request.encode(), frame(2, &request.encode()), item.clone(), frame(3, &item)]);
    corpus.extend([token.into_bytes(), b"restock://XYZ/dp/DP01".to_vec(), certificate.to_vec()]);
    for seed in corpus {
        feed(&seed);
        for at in 0..seed.len() {
            feed(&seed[..at]);
            for change in [1, 0x20, 0x80, 0xff] {
                let mut changed = seed.clone();
                changed[at] ^= change;
                feed(&changed);
            }
            let mut longer = seed.clone();
            longer.insert(at, b'"');
            feed(&longer);
        }
    }
}

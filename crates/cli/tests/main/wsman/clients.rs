//! Published WS-Management clients, unchanged, over TLS with the CA checked and over loopback.

use crate::adminservice::clients::Demo;
use crate::adminservice::door::Door;

#[test]
fn published_clients_do_all_their_steps() {
    let demo = Demo::start();
    let (ca, tls, plain) = (demo.text("ca_file"), demo.port("wsman"), demo.port("wsman_http"));
    let encrypted = ["--scheme", "https", "--port", tls, "--ca", ca];
    let loopback = ["--scheme", "http", "--port", plain];
    for arguments in [&encrypted[..], &loopback] {
        demo.check("wsman_pypsrp.py", "15", arguments);
        demo.check("wsman_winrm.py", "8", arguments);
    }
    // This client verifies no certificate.
    demo.check("wsman_dracclient.py", "13", &loopback);
    demo.check("wsman_dracclient.py", "13", &["--scheme", "https", "--port", tls, "--insecure"]);
    let (text, passed) = demo.client("wsman_winrm.py", &["--scheme", "https", "--port", tls]);
    assert!(!passed && text.contains("CERTIFICATE_VERIFY_FAILED") && text.contains("0 passed"), "{text}");
}

#[test]
fn the_first_hour_with_a_package_goes_as_the_sdk_shows_it() {
    Door::new(&[]).first_hour("wsman_first_hour.py", "13");
}

//! Signing and sealing once somebody has signed in.
//!
//! Source: \[MS-NLMP\] 3.4.3, 3.4.4.2 and 3.4.5; \[MS-SPNG\] 3.3.5.1 for the codes over the list of
//! mechanisms.

use std::fmt;

use rc4::{Rc4, StreamCipher as _};

use super::Flags;
use super::keys::{hmac_md5, md5, rc4};

const CLIENT_SIGNING: &[u8] = b"session key to client-to-server signing key magic constant\0";
const SERVER_SIGNING: &[u8] = b"session key to server-to-client signing key magic constant\0";
const CLIENT_SEALING: &[u8] = b"session key to client-to-server sealing key magic constant\0";
const SERVER_SEALING: &[u8] = b"session key to server-to-client sealing key magic constant\0";

/// The keys of a connection on which somebody has signed in, as the server holds them.
///
/// Each direction counts its messages: they are opened in the order in which they were closed.
pub struct Session {
    client: Direction,
    server: Direction,
    can_seal: bool,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("can_seal", &self.can_seal).finish_non_exhaustive()
    }
}

impl Session {
    /// The session of a key that both ends have. Extended session security is taken as agreed on.
    pub(super) fn new(key: &[u8; 16], flags: Flags) -> Self {
        let direction = |signing, sealing| Direction::new(md5(&[key, signing]), md5(&[key, sealing]), flags);
        let wanted = Flags::SIGN.with(Flags::SEAL).with(Flags::KEY_128);
        Self {
            client: direction(CLIENT_SIGNING, CLIENT_SEALING),
            server: direction(SERVER_SIGNING, SERVER_SEALING),
            can_seal: flags.has(wanted),
        }
    }

    /// True when signing, sealing and 128-bit keys were agreed on.
    pub fn can_seal(&self) -> bool {
        self.can_seal
    }

    /// Opens a message of the client. `None`: it was changed, repeated or left out before; nothing
    /// that follows can be opened then.
    pub fn open(&mut self, signature: &[u8; 16], sealed: &[u8]) -> Option<Vec<u8>> {
        let mut message = sealed.to_vec();
        self.client.cipher.apply_keystream(&mut message);
        let expected = self.client.signature(&message);
        is_same(&expected, signature).then_some(message)
    }

    /// Seals a message for the client: the signature, and the message.
    pub fn close(&mut self, message: &[u8]) -> ([u8; 16], Vec<u8>) {
        let mut sealed = message.to_vec();
        self.server.cipher.apply_keystream(&mut sealed);
        (self.server.signature(message), sealed)
    }

    /// True when `code` is the client's over the list of mechanisms.
    ///
    /// Ciphers begin anew after it, while messages go on being counted.
    pub fn is_code_of_client(&mut self, mechanisms: &[u8], code: &[u8]) -> bool {
        let expected = self.client.signature(mechanisms);
        self.client.begin_cipher();
        <&[u8; 16]>::try_from(code).is_ok_and(|code| is_same(&expected, code))
    }

    /// The server's code over the list of mechanisms.
    pub fn code_of_server(&mut self, mechanisms: &[u8]) -> [u8; 16] {
        let code = self.server.signature(mechanisms);
        self.server.begin_cipher();
        code
    }
}

#[cfg(test)]
impl Session {
    /// What a client's code over the list of mechanisms is.
    pub(crate) fn code_of_client_for_tests(&mut self, mechanisms: &[u8]) -> [u8; 16] {
        self.client.signature(mechanisms)
    }
}

struct Direction {
    signing_key: [u8; 16],
    sealing_key: [u8; 16],
    cipher: Rc4,
    sequence: u32,
    /// The client chose the session key: then signatures are encrypted too.
    is_key_exchanged: bool,
}

impl Direction {
    fn new(signing_key: [u8; 16], sealing_key: [u8; 16], flags: Flags) -> Self {
        let cipher = rc4(&sealing_key);
        let is_key_exchanged = flags.has(Flags::KEY_EXCHANGE);
        Self { signing_key, sealing_key, cipher, sequence: 0, is_key_exchanged }
    }

    fn begin_cipher(&mut self) {
        self.cipher = rc4(&self.sealing_key);
    }

    /// The signature of the next message.
    fn signature(&mut self, message: &[u8]) -> [u8; 16] {
        let sequence = self.sequence.to_le_bytes();
        self.sequence = self.sequence.wrapping_add(1);
        let code = hmac_md5(&self.signing_key, &[&sequence, message]);
        let mut checksum = [0; 8];
        checksum.copy_from_slice(code.first_chunk::<8>().expect("a code has sixteen bytes"));
        if self.is_key_exchanged {
            self.cipher.apply_keystream(&mut checksum);
        }
        let mut signature = [0; 16];
        let (version, rest) = signature.split_at_mut(4);
        let (middle, end) = rest.split_at_mut(8);
        version.copy_from_slice(&1_u32.to_le_bytes());
        middle.copy_from_slice(&checksum);
        end.copy_from_slice(&sequence);
        signature
    }
}

/// Compares every byte, whichever differs.
fn is_same(a: &[u8; 16], b: &[u8; 16]) -> bool {
    a.iter().zip(b).fold(0, |differing, (a, b)| differing | (a ^ b)) == 0
}

//! A parser for the PROXY protocol, versions 1 and 2, by which a proxy sends a client's address.
//!
//! The address precedes the client's own bytes, as a line of text or a binary block.
//!
//! The parser does no I/O. It requests exactly the header's bytes, since the bytes after the header
//! belong to the client.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The first bytes of version 2.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// The maximum length of a version 1 line, including its end.
const MAX_LINE: usize = 107;

/// The minimum length of a version 1 line: `PROXY UNKNOWN` and the line's end.
const MIN_LINE: usize = 15;

/// The size of the fixed part of version 2.
const FIXED: usize = 16;

/// The maximum size of the block after the fixed part of version 2, which contains addresses and
/// the proxy's extensions (TLVs).
const MAX_BLOCK: usize = 4096;

/// The part of a header received so far.
#[derive(Debug, Default)]
pub(crate) struct ProxyHeader(Vec<u8>);

/// The error for bytes that are not a PROXY protocol header.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct InvalidProxyHeader;

/// The client's address. `None` if the connection is the proxy's own, or if its address family has
/// no IP addresses.
pub(crate) type ProxiedAddress = Option<SocketAddr>;

impl ProxyHeader {
    /// Returns the number of bytes that can be read without reading beyond the header. Never 0.
    pub(crate) fn bytes_needed(&self) -> usize {
        let have = self.0.len();
        match self.0.first() {
            // Read one byte at a time: the line may now end at any byte, and the bytes after it
            // belong to the client.
            Some(b'P') if have >= MIN_LINE => 1,
            Some(b'P') | None => MIN_LINE - have,
            // Use at least 1, since a read into an empty buffer would look like the end of the stream.
            Some(_) => (FIXED + self.block_size().unwrap_or(0)).saturating_sub(have).max(1),
        }
    }

    /// Appends at most [`bytes_needed`](Self::bytes_needed) bytes. Returns `Ok(None)` while the header is
    /// incomplete.
    pub(crate) fn push(
        &mut self,
        bytes: &[u8],
    ) -> Result<Option<ProxiedAddress>, InvalidProxyHeader> {
        self.0.extend_from_slice(bytes);
        let have = &self.0[..];
        // The first byte determines the version: version 2 begins with a carriage return.
        if have.first() == Some(&b'P') {
            return match have.strip_suffix(b"\r\n") {
                Some(line) => parse_line(line).map(Some),
                None if have.len() >= MAX_LINE => Err(InvalidProxyHeader),
                None if is_prefix(have, b"PROXY ") => Ok(None),
                None => Err(InvalidProxyHeader),
            };
        }
        if !is_prefix(have, &SIGNATURE) {
            return Err(InvalidProxyHeader);
        }
        match self.block_size() {
            Some(size) if size > MAX_BLOCK => Err(InvalidProxyHeader),
            Some(size) if have.len() >= FIXED + size => parse_block(have).map(Some),
            _ => Ok(None),
        }
    }

    /// Returns the size of the variable block in version 2, once known.
    fn block_size(&self) -> Option<usize> {
        let size = self.0.get(14..FIXED)?;
        Some(usize::from(u16::from_be_bytes(size.try_into().ok()?)))
    }
}

/// Returns true if either slice is a prefix of the other.
fn is_prefix(have: &[u8], expected: &[u8]) -> bool {
    have.iter().zip(expected).all(|(have, expected)| have == expected)
}

fn parse_line(line: &[u8]) -> Result<ProxiedAddress, InvalidProxyHeader> {
    let line = std::str::from_utf8(line).map_err(|_| InvalidProxyHeader)?;
    let mut words = line.split(' ');
    let (Some("PROXY"), Some(family)) = (words.next(), words.next()) else {
        return Err(InvalidProxyHeader);
    };
    let words: Vec<&str> = words.collect();
    match (family, &words[..]) {
        // The specification requires receivers to ignore the rest of a line with `UNKNOWN`.
        ("UNKNOWN", _) => Ok(None),
        ("TCP4" | "TCP6", [source, _, port, _]) => {
            let ip: IpAddr = source.parse().map_err(|_| InvalidProxyHeader)?;
            let port = port.parse().map_err(|_| InvalidProxyHeader)?;
            match ip.is_ipv4() == (family == "TCP4") {
                true => Ok(Some(SocketAddr::new(ip, port))),
                false => Err(InvalidProxyHeader),
            }
        }
        _ => Err(InvalidProxyHeader),
    }
}

fn parse_block(bytes: &[u8]) -> Result<ProxiedAddress, InvalidProxyHeader> {
    let (fixed, block) = bytes.split_at(FIXED);
    // The upper half of the byte is the version, which must be 2, and the lower half is the
    // command.
    match fixed[12] {
        // The command LOCAL means that the proxy connects on its own behalf, for example for a
        // health check.
        0x20 => return Ok(None),
        0x21 => {}
        _ => return Err(InvalidProxyHeader),
    }
    // The block consists of source address, destination address, source port and destination port.
    // The upper half of the byte is the address family. The lower half is the transport protocol,
    // which is ignored.
    let (ip, port) = match fixed[13] >> 4 {
        1 if block.len() < 12 => return Err(InvalidProxyHeader),
        2 if block.len() < 36 => return Err(InvalidProxyHeader),
        1 => {
            let ip: [u8; 4] = array(block, 0)?;
            (IpAddr::V4(Ipv4Addr::from(ip)), array(block, 8)?)
        }
        2 => {
            let ip: [u8; 16] = array(block, 0)?;
            (IpAddr::V6(Ipv6Addr::from(ip)), array(block, 32)?)
        }
        // The client has a Unix socket, or an unknown address family.
        _ => return Ok(None),
    };
    Ok(Some(SocketAddr::new(ip, u16::from_be_bytes(port))))
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], InvalidProxyHeader> {
    let part = bytes.get(at..at + N).ok_or(InvalidProxyHeader)?;
    part.try_into().map_err(|_| InvalidProxyHeader)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parses a header read from a socket in pieces of at most `most` bytes. Returns the outcome
    /// and the number of bytes after the header, or `None` if the header is incomplete.
    fn read(
        bytes: &[u8],
        most: usize,
    ) -> Option<(Result<ProxiedAddress, InvalidProxyHeader>, usize)> {
        let (mut header, mut at) = (ProxyHeader::default(), 0);
        loop {
            let needed = header.bytes_needed();
            assert!(needed > 0 && needed <= FIXED + usize::from(u16::MAX), "{needed}");
            let size = needed.min(most).min(bytes.len() - at);
            if size == 0 {
                return None;
            }
            let result = header.push(&bytes[at..at + size]);
            at += size;
            match result {
                Ok(None) => {}
                Ok(Some(source)) => return Some((Ok(source), bytes.len() - at)),
                Err(error) => return Some((Err(error), bytes.len() - at)),
            }
        }
    }

    /// Encodes a version 2 header.
    fn block(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
        let size = u16::try_from(block.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[command, family], &size, block].concat()
    }

    fn good() -> Vec<(Vec<u8>, Option<&'static str>)> {
        let mut six = [0; 36];
        six[15] = 7;
        six[33] = 80;
        let four = [1, 2, 3, 4, 5, 6, 7, 8, 0, 99, 0, 80];
        let more = [&four[..], &[0x04; 300]].concat();
        vec![
            (b"PROXY TCP4 1.2.3.4 5.6.7.8 99 80\r\n".to_vec(), Some("1.2.3.4:99")),
            (b"PROXY TCP6 2001:db8::7 ::1 65535 80\r\n".to_vec(), Some("[2001:db8::7]:65535")),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (b"PROXY UNKNOWN ffff::1 ::2 1 2\r\n".to_vec(), None),
            (block(0x21, 0x11, &four), Some("1.2.3.4:99")),
            (block(0x21, 0x11, &more), Some("1.2.3.4:99")),
            (block(0x21, 0x21, &six), Some("[::7]:80")),
            (block(0x21, 0x31, &[0; 216]), None),
            (block(0x21, 0x00, &[]), None),
            (block(0x20, 0x00, &[]), None),
            (block(0x20, 0x11, &four), None),
        ]
    }

    #[test]
    fn header_split_at_any_byte_is_read_exactly() {
        for (header, source) in good() {
            let source = source.map(|source| source.parse().unwrap());
            let bytes = [&header[..], b"GET / HTTP/1.1\r\n"].concat();
            for most in [1, 2, 3, 7, 15, 16, 17, 1000] {
                let shown = header.escape_ascii();
                assert_eq!(read(&bytes, most), Some((Ok(source), 16)), "{shown} by {most}");
            }
            for size in 0..header.len() {
                assert_eq!(read(&header[..size], 1000), None, "{}", header.escape_ascii());
            }
        }
    }

    #[test]
    fn invalid_header_is_rejected_early() {
        for bytes in [
            &b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..],
            b"POST / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello",
            b"PROXY TCP4 1.2.3.4 5.6.7.8 99\r\n",
            b"PROXY TCP4 1.2.3.4 5.6.7.8 99 80 1\r\n",
            b"PROXY TCP4 ::1 ::1 99 80\r\n",
            b"PROXY TCP6 1.2.3.4 5.6.7.8 99 80\r\n",
            b"PROXY TCP4 1.2.3.4 5.6.7.8 65536 80\r\n",
            b"PROXY  TCP4 1.2.3.4 5.6.7.8 99 80\r\n",
            b"PROXY UDP4 1.2.3.4 5.6.7.8 99 80\r\n",
            b"proxy TCP4 1.2.3.4 5.6.7.8 99 80\r\n",
            &[b"PROXY UNKNOWN ".as_slice(), &[b'x'; 200]].concat(),
            &block(0x11, 0x11, &[0; 12]),
            &block(0x22, 0x11, &[0; 12]),
            &block(0x21, 0x11, &[0; 11]),
            &block(0x21, 0x21, &[0; 33]),
            &block(0x21, 0x11, &[0; MAX_BLOCK + 1]),
        ] {
            let shown = bytes[..bytes.len().min(40)].escape_ascii();
            for most in [1, 5, 1000] {
                let outcome = read(bytes, most).map(|(outcome, _)| outcome);
                assert_eq!(outcome, Some(Err(InvalidProxyHeader)), "{shown} by {most}");
            }
        }
    }

    #[test]
    fn arbitrary_bytes_neither_panic_nor_grow_buffer() {
        let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = || {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed
        };
        let good = good();
        for _ in 0..20_000 {
            let mut bytes = good[(random() % good.len() as u64) as usize].0.clone();
            for _ in 0..random() % 4 {
                let at = (random() % bytes.len() as u64) as usize;
                bytes[at] = random() as u8;
            }
            bytes.extend([0; 5_000]);
            let most = 1 + (random() % 40) as usize;
            let (outcome, left) = read(&bytes, most).expect("it ends");
            assert!(bytes.len() - left <= FIXED + MAX_BLOCK);
            let (whole, left_of_whole) = read(&bytes, 1000).expect("it ends");
            assert_eq!(whole, outcome, "the result does not depend on the splits");
            assert!(outcome.is_err() || left == left_of_whole);
        }
    }
}

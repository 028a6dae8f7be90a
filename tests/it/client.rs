//! A WebSocket client that sends whatever bytes a test wants.

use std::io::{self, Read, Write};
use std::net::TcpStream;

use crate::frames::{self, BINARY, CLOSE, CONTINUATION, FIN, PING, PONG, TEXT};
use crate::gateway::Gateway;
use crate::http::{self, Response};

/// A client past its handshake.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    pub(crate) answer: Response,
    /// Bytes read and not yet used.
    pending: Vec<u8>,
}

/// A frame from the gateway.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) fin: bool,
    pub(crate) opcode: u8,
    pub(crate) payload: Vec<u8>,
}

impl Client {
    /// Connects to the service `name` with `more` header lines; panics if the answer is not a right
    /// 101.
    pub(crate) fn open(gateway: &Gateway, name: &str, more: &str) -> Client {
        let request = http::upgrade(gateway, &format!("/{name}"), more);
        Client::over(gateway.connect(), &request)
    }

    /// Sends an upgrade request on a connection that is there already; as [`Client::open`].
    pub(crate) fn over(mut stream: TcpStream, request: &str) -> Client {
        stream
            .write_all(request.as_bytes())
            .expect("the gateway reads");
        let mut answer = Response::read_head(&mut stream).expect("an answer");
        assert_eq!(answer.status, 101, "{answer:?}");
        assert_eq!(answer.header("Sec-WebSocket-Accept"), Some(http::ACCEPT));
        assert_eq!(answer.header("Sec-WebSocket-Extensions"), None);
        let pending = std::mem::take(&mut answer.body);
        Client {
            stream,
            answer,
            pending,
        }
    }

    /// Sends these bytes as they are.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the gateway reads");
    }

    /// Sends a whole text message.
    pub(crate) fn text(&mut self, text: &str) {
        self.send(&frames::message(TEXT, text.as_bytes()));
    }

    /// Sends a whole binary message.
    pub(crate) fn binary(&mut self, bytes: &[u8]) {
        self.send(&frames::message(BINARY, bytes));
    }

    /// The next frame; panics at the end of the connection.
    pub(crate) fn frame(&mut self) -> Frame {
        self.frame_or_end()
            .expect("a frame from the gateway")
            .expect("a frame, not the end")
    }

    /// The next frame, None at the end of the connection.
    pub(crate) fn frame_or_end(&mut self) -> io::Result<Option<Frame>> {
        if !self.fill(2)? {
            assert!(
                self.pending.is_empty(),
                "the connection ends inside a frame"
            );
            return Ok(None);
        }
        let (first, second) = (self.pending[0], self.pending[1]);
        assert_eq!(first & 0x70, 0, "a reserved bit is set: {first:#x}");
        assert_eq!(second & 0x80, 0, "a masked frame from a server");
        let (head, length) = match second {
            126 => (4, self.number(2, 2)?),
            127 => (10, self.number(2, 8)?),
            short => (2, usize::from(short)),
        };
        assert!(
            self.fill(head + length)?,
            "the connection ends inside a frame"
        );
        let rest = self.pending.split_off(head + length);
        let payload = self.pending.split_off(head);
        self.pending = rest;
        Ok(Some(Frame {
            fin: first & FIN != 0,
            opcode: first & 0x0f,
            payload,
        }))
    }

    /// The next message, its fragments joined: opcode and payload. Answers the pings that come
    /// before it.
    pub(crate) fn message(&mut self) -> (u8, Vec<u8>) {
        let first = self.data_frame();
        assert!(
            first.opcode == TEXT || first.opcode == BINARY,
            "not a message: {first:?}"
        );
        let (opcode, mut payload, mut fin) = (first.opcode, first.payload, first.fin);
        while !fin {
            let next = self.data_frame();
            assert_eq!(next.opcode, CONTINUATION);
            payload.extend(next.payload);
            fin = next.fin;
        }
        if opcode == TEXT {
            assert!(
                std::str::from_utf8(&payload).is_ok(),
                "a text that is not UTF-8"
            );
        }
        (opcode, payload)
    }

    /// Payload bytes of as many messages as make `count` bytes or more.
    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(count);
        while bytes.len() < count {
            bytes.extend(self.message().1);
        }
        bytes
    }

    /// The next frame that is not a ping.
    fn data_frame(&mut self) -> Frame {
        loop {
            let frame = self.frame();
            if frame.opcode != PING {
                return frame;
            }
            self.send(&frames::message(PONG, &frame.payload));
        }
    }

    /// The next frame is a Close with this code; its reason is returned.
    pub(crate) fn expect_close(&mut self, code: u16) -> String {
        let frame = self.data_frame();
        assert_eq!(frame.opcode, CLOSE, "not a Close: {frame:?}");
        assert!(
            frame.fin && frame.payload.len() >= 2,
            "no code in {frame:?}"
        );
        let got = u16::from_be_bytes([frame.payload[0], frame.payload[1]]);
        let reason = String::from_utf8(frame.payload[2..].to_vec()).expect("a UTF-8 reason");
        assert_eq!(got, code, "the close code (reason: {reason:?})");
        reason
    }

    /// Reads a frame: true for one of data, false for a Close.
    pub(crate) fn message_or_close(&mut self) -> bool {
        match self.data_frame().opcode {
            TEXT | BINARY | CONTINUATION => true,
            CLOSE => false,
            other => panic!("opcode {other:#x}"),
        }
    }

    /// The connection ends here, politely: no frame, no reset.
    pub(crate) fn expect_end(&mut self) {
        let frame = self.frame_or_end().expect("an orderly end");
        assert_eq!(frame, None);
    }

    /// Makes `pending` at least `count` bytes long; false if the stream ends.
    fn fill(&mut self, count: usize) -> io::Result<bool> {
        if self.pending.len() >= count {
            return Ok(true);
        }
        let mut chunk = vec![0; 65536.max(count - self.pending.len())];
        while self.pending.len() < count {
            match self.stream.read(&mut chunk)? {
                0 => return Ok(false),
                got => self.pending.extend(&chunk[..got]),
            }
        }
        Ok(true)
    }

    /// The big-endian number of `size` bytes at `start`.
    fn number(&mut self, start: usize, size: usize) -> io::Result<usize> {
        assert!(
            self.fill(start + size)?,
            "the connection ends inside a frame's head"
        );
        let bytes = &self.pending[start..start + size];
        Ok(bytes
            .iter()
            .fold(0, |number, byte| number << 8 | usize::from(*byte)))
    }
}

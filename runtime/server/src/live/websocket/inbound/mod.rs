//! What a peer sends, as messages: the rules of RFC 6455, sections 5 to 7, on bytes as they arrive. No I/O, no clock.
//!
//! A frame's payload is taken as it comes, so memory holds one message and at most one control frame.

use std::io::Cursor;

use tokio_tungstenite::tungstenite::protocol::frame::{
    FrameHeader,
    coding::{Control, Data, OpCode},
};

use super::MESSAGE_BYTES_MAX;

/// Maximum payload of a control frame, in bytes.
const CONTROL_BYTES_MAX: u64 = 125;

/// What the peer has sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    Text(String),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    /// The peer's close code, if it named one.
    Close(Option<u16>),
}

/// A rule that the peer broke. Nothing that it sends afterwards is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Violation {
    Protocol(&'static str),
    Binary,
    NotUtf8,
    TooLarge,
}

/// The messages in a stream of bytes.
#[derive(Debug, Default)]
pub struct Inbound {
    /// The bytes of an incomplete frame's head.
    head: Vec<u8>,
    frame: Option<Frame>,
    text: Vec<u8>,
    /// How many of the text's bytes are whole characters.
    checked: usize,
    /// Whether a text's first frame was not its last.
    is_fragmented: bool,
    control: Vec<u8>,
}

/// A frame whose payload is arriving.
#[derive(Debug)]
struct Frame {
    kind: Kind,
    is_final: bool,
    mask: [u8; 4],
    length: usize,
    taken: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Close,
    Ping,
    Pong,
}

impl Violation {
    /// The close code, and the reason for the peer.
    pub fn close(self) -> (u16, &'static str) {
        match self {
            Self::Protocol(rule) => (1002, rule),
            Self::Binary => (1003, "messages are text"),
            Self::NotUtf8 => (1007, "a text is not UTF-8"),
            Self::TooLarge => (1009, "a message has more than 16 KiB"),
        }
    }
}

impl Inbound {
    /// Takes bytes off the front of `input`, up to the end of one message; `None` when there are not enough.
    pub fn take(&mut self, input: &mut &[u8]) -> Result<Option<Received>, Violation> {
        loop {
            let Some(mut frame) = self.frame.take().map_or_else(|| self.begin(input), |frame| Ok(Some(frame)))? else {
                return Ok(None);
            };
            let target = if frame.kind == Kind::Text { &mut self.text } else { &mut self.control };
            frame.unmask(input, target);
            if frame.kind == Kind::Text {
                self.check_text()?;
            }
            if frame.taken < frame.length {
                self.frame = Some(frame);
                return Ok(None);
            }
            if let Some(received) = self.end(&frame)? {
                return Ok(Some(received));
            }
        }
    }

    /// Reads a frame's head.
    fn begin(&mut self, input: &mut &[u8]) -> Result<Option<Frame>, Violation> {
        while let Some((byte, rest)) = input.split_first() {
            *input = rest;
            self.head.push(*byte);
            let parsed = FrameHeader::parse(&mut Cursor::new(&self.head));
            if let Some((header, length)) = parsed.map_err(|_| Violation::Protocol("a reserved opcode"))? {
                let frame = self.judge(&header, length)?;
                self.head.clear();
                return Ok(Some(frame));
            }
        }
        Ok(None)
    }

    fn judge(&self, header: &FrameHeader, length: u64) -> Result<Frame, Violation> {
        use Violation::Protocol;
        if header.rsv1 || header.rsv2 || header.rsv3 {
            return Err(Protocol("a reserved bit is set"));
        }
        let mask = header.mask.ok_or(Protocol("a frame is not masked"))?;
        if i64::try_from(length).is_err() || header.len(length) != self.head.len() {
            return Err(Protocol("a length is not written in its shortest form"));
        }
        let kind = self.kind(header, length)?;
        let too_large = Violation::TooLarge;
        let length = usize::try_from(length).map_err(|_| too_large)?;
        let is_too_large = kind == Kind::Text && length > MESSAGE_BYTES_MAX.saturating_sub(self.text.len());
        if is_too_large {
            Err(too_large)
        } else {
            Ok(Frame { kind, is_final: header.is_final, mask, length, taken: 0 })
        }
    }

    fn kind(&self, header: &FrameHeader, length: u64) -> Result<Kind, Violation> {
        use Violation::Protocol;
        match header.opcode {
            OpCode::Control(_) if !header.is_final => Err(Protocol("a control frame is fragmented")),
            OpCode::Control(_) if length > CONTROL_BYTES_MAX => {
                Err(Protocol("a control frame has more than 125 bytes"))
            }
            OpCode::Control(Control::Close) => Ok(Kind::Close),
            OpCode::Control(Control::Ping) => Ok(Kind::Ping),
            OpCode::Control(Control::Pong) => Ok(Kind::Pong),
            OpCode::Data(Data::Continue) if self.is_fragmented => Ok(Kind::Text),
            OpCode::Data(Data::Continue) => Err(Protocol("a continuation without a beginning")),
            OpCode::Data(_) if self.is_fragmented => Err(Protocol("a message begins within another one")),
            OpCode::Data(Data::Text) => Ok(Kind::Text),
            OpCode::Data(Data::Binary) => Err(Violation::Binary),
            OpCode::Control(Control::Reserved(_)) | OpCode::Data(Data::Reserved(_)) => {
                Err(Protocol("a reserved opcode"))
            }
        }
    }

    /// Checks the text's new bytes. A character may continue in the next ones.
    fn check_text(&mut self) -> Result<(), Violation> {
        match std::str::from_utf8(self.text.get(self.checked..).unwrap_or_default()) {
            Ok(_) => self.checked = self.text.len(),
            Err(error) if error.error_len().is_some() => return Err(Violation::NotUtf8),
            Err(error) => self.checked += error.valid_up_to(),
        }
        Ok(())
    }

    /// The message that a frame completes, if it completes one.
    fn end(&mut self, frame: &Frame) -> Result<Option<Received>, Violation> {
        if frame.kind == Kind::Text {
            self.is_fragmented = !frame.is_final;
            return if frame.is_final { self.text().map(Some) } else { Ok(None) };
        }
        let payload = std::mem::take(&mut self.control);
        match frame.kind {
            Kind::Ping => Ok(Some(Received::Ping(payload))),
            Kind::Pong => Ok(Some(Received::Pong(payload))),
            Kind::Close | Kind::Text => close(&payload).map(Some),
        }
    }

    fn text(&mut self) -> Result<Received, Violation> {
        self.checked = 0;
        // The bytes were checked as they came; what is left is a character that does not end.
        String::from_utf8(std::mem::take(&mut self.text)).map(Received::Text).map_err(|_| Violation::NotUtf8)
    }
}

impl Frame {
    /// Moves the payload's bytes to `target`.
    fn unmask(&mut self, input: &mut &[u8], target: &mut Vec<u8>) {
        let count = input.len().min(self.length - self.taken);
        let (payload, rest) = input.split_at(count);
        let mask = self.mask.iter().cycle().skip(self.taken % self.mask.len());
        target.extend(payload.iter().zip(mask).map(|(byte, mask)| byte ^ mask));
        self.taken += count;
        *input = rest;
    }
}

/// A close frame's payload is empty, or a code and a reason.
fn close(payload: &[u8]) -> Result<Received, Violation> {
    match payload {
        [] => Ok(Received::Close(None)),
        [_] => Err(Violation::Protocol("a close code of one byte")),
        [high, low, reason @ ..] => {
            let code = u16::from_be_bytes([*high, *low]);
            if !may_be_sent(code) {
                return Err(Violation::Protocol("a close code that must not be sent"));
            }
            std::str::from_utf8(reason).map_err(|_| Violation::NotUtf8)?;
            Ok(Received::Close(Some(code)))
        }
    }
}

/// The codes of RFC 6455 and of IANA's registry that may be sent, those of libraries, and private ones.
fn may_be_sent(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

#[cfg(test)]
mod tests;

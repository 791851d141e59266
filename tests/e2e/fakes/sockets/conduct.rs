//! How a provider behaves on a WebSocket towards one key, beyond conversing well.

use std::time::Duration;

/// Acts once, when so many of the caller's messages have come; before and, where the act allows it, afterwards the
/// provider converses as its protocol says.
#[derive(Clone, Debug)]
pub struct Conduct {
    pub after: usize,
    pub act: Act,
}

#[derive(Clone, Debug)]
pub enum Act {
    /// Nothing; only `pace` matters.
    Converse {
        pace: Duration,
    },
    Close {
        code: u16,
        reason: String,
    },
    /// Sends these messages, and closes with this code and reason if there is one.
    Say {
        messages: Vec<String>,
        then: Option<(u16, String)>,
    },
    /// Reads on and says nothing more.
    FallSilent,
    /// Reads nothing more, so that the caller's bytes pile up before it.
    StopReading,
    /// Is gone with a TCP reset.
    Vanish,
    /// Ends its half of the TCP connection without a close frame, and reads on.
    HalfClose,
    /// Sends a ping; the pong is kept where the test finds it.
    Ping(Vec<u8>),
    /// Sends back every message from now on as it came.
    Echo,
}

impl Act {
    pub fn after(self, messages: usize) -> Conduct {
        Conduct {
            after: messages,
            act: self,
        }
    }

    pub fn close(code: u16, reason: &str) -> Self {
        let reason = reason.to_owned();
        Self::Close { code, reason }
    }

    /// One message, and the close that follows it.
    pub fn say_and_close(message: &serde_json::Value, code: u16, reason: &str) -> Self {
        Self::Say {
            messages: vec![message.to_string()],
            then: Some((code, reason.to_owned())),
        }
    }
}

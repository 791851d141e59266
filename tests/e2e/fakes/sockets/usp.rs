//! Messages of Azure's speech protocol: headers in lines, then text, JSON or sound; in binary frames the length of the
//! headers stands before them.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::Value;

use super::{Link, Over};
use crate::fakes::seen::Spoken;

/// One message of the caller's.
pub struct Incoming {
    headers: BTreeMap<String, String>,
    pub body: Bytes,
    pub binary: bool,
}

impl Incoming {
    /// The next message, which has a path and names its request; or the socket is closed as the service does.
    pub async fn next(link: &mut Link) -> Result<Self, Over> {
        let spoken = link.hear().await?;
        let Some(message) = Self::parse(&spoken) else {
            return Err(link.object(1002, "a message has no headers and body").await);
        };
        // The native SDK sends its configuration for a connection rather than for a request.
        let for_all = message.path() == "speech.config";
        for required in ["path", "x-timestamp", "x-requestid"] {
            let spared = for_all && required == "x-requestid";
            if !spared && message.header(required).is_none_or(str::is_empty) {
                let what = format!("a message has no {required}: {:?}", message.headers);
                return Err(link.object(1002, &what).await);
            }
        }
        Ok(message)
    }

    fn parse(spoken: &Spoken) -> Option<Self> {
        let (head, body, binary) = match spoken {
            Spoken::Text(text) => {
                let (head, body) = text.split_once("\r\n\r\n")?;
                (head, Bytes::copy_from_slice(body.as_bytes()), false)
            }
            Spoken::Bytes(bytes) => {
                let length = usize::from(u16::from_be_bytes([*bytes.first()?, *bytes.get(1)?]));
                let head = std::str::from_utf8(bytes.get(2..2 + length)?).ok()?;
                (head, bytes.slice(2 + length..), true)
            }
        };
        let lines = head.split("\r\n").filter(|line| !line.is_empty());
        let headers = lines
            .map(|line| {
                let (name, value) = line.split_once(':')?;
                Some((name.trim().to_ascii_lowercase(), value.trim().to_owned()))
            })
            .collect::<Option<_>>()?;
        Some(Self {
            headers,
            body,
            binary,
        })
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    pub fn path(&self) -> String {
        self.header("path").unwrap_or("").to_ascii_lowercase()
    }

    pub fn request(&self) -> &str {
        self.header("x-requestid").unwrap_or("")
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap_or("")
    }

    pub async fn json(&self, link: &mut Link) -> Result<Value, Over> {
        match serde_json::from_slice(&self.body) {
            Ok(value @ Value::Object(_)) if !self.binary => Ok(value),
            _ => {
                let what = format!("{} is no JSON object in a text frame", self.path());
                Err(link.object(1007, &what).await)
            }
        }
    }
}

/// One turn of the service's: all its messages name the request that they answer.
pub struct Turn<'a> {
    pub request: &'a str,
}

impl Turn<'_> {
    pub async fn say(&self, link: &mut Link, path: &str, body: &Value) -> Result<(), Over> {
        let message = format!(
            "X-RequestId:{}\r\nContent-Type:application/json; charset=utf-8\r\nPath:{path}\r\n\r\n{body}",
            self.request
        );
        link.say(message).await
    }

    pub async fn say_audio(
        &self,
        link: &mut Link,
        stream: &str,
        kind: &str,
        sound: &[u8],
    ) -> Result<(), Over> {
        let head = format!(
            "X-RequestId:{}\r\nContent-Type:{kind}\r\nX-StreamId:{stream}\r\nPath:audio\r\n",
            self.request
        );
        let length = u16::try_from(head.len()).expect("headers are short");
        let mut message = Vec::with_capacity(2 + head.len() + sound.len());
        message.extend_from_slice(&length.to_be_bytes());
        message.extend_from_slice(head.as_bytes());
        message.extend_from_slice(sound);
        link.say_bytes(message).await
    }
}

/// A request id: a UUID without hyphens.
pub fn is_id(id: &str) -> bool {
    id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit())
}

//! A file that a caller sent, kept until a candidate has taken it: a block in memory, what is more than that in a file
//! that has no name and so leaves nothing behind. All of them together may take only so much of the disk.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use policies::unified::AudioEncoding;
use tokio::task::spawn_blocking;

/// Kept in memory, and written at once.
const BLOCK: usize = 256 * 1024;
const READ: usize = 64 * 1024;

/// Where files wait, and how much of it is taken.
pub struct Spools {
    folder: PathBuf,
    room: Arc<Room>,
}

/// In bytes on disk.
struct Room {
    most: u64,
    taken: AtomicU64,
}

pub struct Spool {
    folder: PathBuf,
    room: Arc<Room>,
    file: Option<Arc<File>>,
    written: u64,
    /// What comes after the part that is written.
    tail: BytesMut,
}

/// Why a file cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum NotKept {
    #[error("the spooled files take {0} bytes, as many as they may")]
    Full(u64),
    #[error("writing to the spool folder")]
    Unwritten(#[from] io::Error),
}

impl Spools {
    /// `most`: bytes of all files together.
    pub fn new(folder: PathBuf, most: u64) -> Self {
        let taken = AtomicU64::new(0);
        Self {
            folder,
            room: Arc::new(Room { most, taken }),
        }
    }

    pub fn begin(&self) -> Spool {
        Spool {
            folder: self.folder.clone(),
            room: self.room.clone(),
            file: None,
            written: 0,
            tail: BytesMut::new(),
        }
    }
}

impl Room {
    fn take(&self, bytes: u64) -> Result<(), NotKept> {
        let with = |taken: u64| taken.checked_add(bytes).filter(|with| *with <= self.most);
        let taken = self
            .taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, with);
        taken.map(drop).map_err(NotKept::Full)
    }
}

impl Spool {
    pub fn length(&self) -> u64 {
        self.written + self.tail.len() as u64
    }

    pub async fn write(&mut self, chunk: &[u8]) -> Result<(), NotKept> {
        self.tail.extend_from_slice(chunk);
        if self.tail.len() < BLOCK {
            return Ok(());
        }
        self.room.take(self.tail.len() as u64)?;
        let block = self.tail.split().freeze();
        let (file, folder, at) = (self.file.take(), self.folder.clone(), self.written);
        self.written += block.len() as u64;
        let work = move || {
            let file = match file {
                Some(file) => file,
                None => Arc::new(tempfile::tempfile_in(folder)?),
            };
            file.write_all_at(&block, at)?;
            Ok::<_, io::Error>(file)
        };
        self.file = Some(spawn_blocking(work).await.map_err(io::Error::other)??);
        Ok(())
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        self.room.taken.fetch_sub(self.written, Ordering::Relaxed);
    }
}

/// The body of a call that has a spooled file in it.
pub struct Spooled<'s> {
    spool: &'s Spool,
    encoding: AudioEncoding,
    before: Bytes,
    after: Bytes,
}

impl<'s> Spooled<'s> {
    pub fn new(spool: &'s Spool, encoding: AudioEncoding, before: Bytes, after: Bytes) -> Self {
        Self {
            spool,
            encoding,
            before,
            after,
        }
    }

    pub fn audio_bytes(&self) -> u64 {
        self.spool.length()
    }

    pub fn length(&self) -> u64 {
        let audio = match self.encoding {
            AudioEncoding::AsIs => self.spool.length(),
            AudioEncoding::Base64 => self.spool.length().div_ceil(3) * 4,
        };
        (self.before.len() + self.after.len()) as u64 + audio
    }

    /// From its beginning.
    pub fn read(&self) -> Reading<'_> {
        Reading {
            spooled: self,
            part: Part::Before,
            encode: Encode::new(self.encoding),
        }
    }
}

enum Part {
    Before,
    File { at: u64 },
    Tail,
    After,
    End,
}

pub struct Reading<'s> {
    spooled: &'s Spooled<'s>,
    part: Part,
    encode: Encode,
}

impl Reading<'_> {
    /// `None` after the last; a chunk may be empty.
    pub async fn next(&mut self) -> io::Result<Option<Bytes>> {
        let spool = self.spooled.spool;
        let (chunk, next) = match self.part {
            Part::Before => (self.spooled.before.clone(), Part::File { at: 0 }),
            Part::File { at } if at < spool.written => {
                let block = self.read_file(at).await?;
                let at = at + block.len() as u64;
                (self.encode.push(block), Part::File { at })
            }
            Part::File { .. } => (Bytes::new(), Part::Tail),
            Part::Tail => {
                let tail = Bytes::copy_from_slice(&spool.tail);
                let mut last = BytesMut::from(self.encode.push(tail));
                last.extend_from_slice(&self.encode.finish());
                (last.freeze(), Part::After)
            }
            Part::After => (self.spooled.after.clone(), Part::End),
            Part::End => return Ok(None),
        };
        self.part = next;
        Ok(Some(chunk))
    }

    async fn read_file(&self, at: u64) -> io::Result<Bytes> {
        let Some(file) = self.spooled.spool.file.clone() else {
            return Err(io::Error::other("the spool has no file"));
        };
        let length = (self.spooled.spool.written - at).min(READ as u64) as usize;
        let work = move || {
            let mut block = vec![0; length];
            file.read_exact_at(&mut block, at)?;
            Ok(Bytes::from(block))
        };
        spawn_blocking(work).await.map_err(io::Error::other)?
    }
}

/// Audio as it stands in the provider's body, made while it passes.
pub struct Encode {
    encoding: AudioEncoding,
    /// Less than the three bytes that make four characters.
    rest: Vec<u8>,
}

impl Encode {
    pub fn new(encoding: AudioEncoding) -> Self {
        Self {
            encoding,
            rest: Vec::new(),
        }
    }

    pub fn push(&mut self, chunk: Bytes) -> Bytes {
        if self.encoding == AudioEncoding::AsIs {
            return chunk;
        }
        let mut whole = std::mem::take(&mut self.rest);
        whole.extend_from_slice(&chunk);
        self.rest = whole.split_off(whole.len() / 3 * 3);
        STANDARD.encode(whole).into()
    }

    pub fn finish(&mut self) -> Bytes {
        STANDARD.encode(std::mem::take(&mut self.rest)).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spools() -> Spools {
        Spools::new(std::env::temp_dir(), u64::MAX)
    }

    async fn sent(spooled: &Spooled<'_>) -> Vec<u8> {
        let (mut reading, mut all) = (spooled.read(), Vec::new());
        while let Some(chunk) = reading.next().await.unwrap() {
            all.extend_from_slice(&chunk);
        }
        all
    }

    #[tokio::test]
    async fn a_file_comes_out_as_often_as_it_is_read_and_as_long_as_announced() {
        for length in [0, 1, BLOCK - 1, BLOCK, 3 * BLOCK + 12_345] {
            let audio: Vec<u8> = (0..length).map(|at| (at * 7 % 251) as u8).collect();
            let mut spool = spools().begin();
            for chunk in audio.chunks(40_001) {
                spool.write(chunk).await.unwrap();
            }
            assert_eq!(spool.length(), length as u64);
            for encoding in [AudioEncoding::AsIs, AudioEncoding::Base64] {
                let spooled = Spooled::new(&spool, encoding, "<".into(), ">".into());
                let middle = match encoding {
                    AudioEncoding::AsIs => audio.clone(),
                    AudioEncoding::Base64 => STANDARD.encode(&audio).into_bytes(),
                };
                let expected = [b"<".as_slice(), &middle, b">"].concat();
                for _ in 0..2 {
                    assert!(sent(&spooled).await == expected, "{length} {encoding:?}");
                }
                assert_eq!(spooled.length(), expected.len() as u64);
            }
        }
    }

    #[tokio::test]
    async fn a_folder_that_is_not_there_is_an_error() {
        let spools = Spools::new("/nowhere/at/all".into(), u64::MAX);
        let written = spools.begin().write(&[0; BLOCK]).await;
        assert!(matches!(written, Err(NotKept::Unwritten(_))));
    }

    #[tokio::test]
    async fn files_share_their_room_and_give_it_back() {
        let spools = Spools::new(std::env::temp_dir(), 2 * BLOCK as u64);
        let (mut one, mut other) = (spools.begin(), spools.begin());
        one.write(&[0; BLOCK + 1]).await.unwrap();
        assert!(matches!(other.write(&[0; BLOCK]).await, Err(NotKept::Full(_))));
        drop(one);
        drop(other);
        let mut next = spools.begin();
        next.write(&[0; 2 * BLOCK]).await.unwrap();
        assert!(matches!(next.write(&[0; BLOCK]).await, Err(NotKept::Full(_))));
    }
}

//! Which container bytes are in, by what they begin with.

use policies::vocabulary::AudioFormat;

use crate::frames;

/// So many bytes tell every container apart.
pub const ENOUGH: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Container {
    Mp3,
    OggOpus,
    /// Ogg with anything else in it.
    Ogg,
    /// AAC in ADTS frames.
    Aac,
    Flac,
    Wav,
    M4a,
    WebM,
}

/// `None`: nothing known, which raw samples are too. Give the beginning, [`ENOUGH`] bytes where there are so many.
pub fn recognise(beginning: &[u8]) -> Option<Container> {
    let at = |offset: usize, mark: &[u8]| beginning.get(offset..).is_some_and(|rest| rest.starts_with(mark));
    if at(0, b"OggS") {
        // The first page holds one packet of a stream's head, behind 27 bytes and a table of one.
        return Some(if at(28, b"OpusHead") {
            Container::OggOpus
        } else {
            Container::Ogg
        });
    }
    if (at(0, b"RIFF") || at(0, b"RF64")) && at(8, b"WAVE") {
        return Some(Container::Wav);
    }
    if at(0, b"fLaC") {
        return Some(Container::Flac);
    }
    if at(4, b"ftyp") {
        return Some(Container::M4a);
    }
    if at(0, &[0x1a, 0x45, 0xdf, 0xa3]) {
        return Some(Container::WebM);
    }
    if at(0, b"ID3") || frames::mp3(beginning).is_some() {
        return Some(Container::Mp3);
    }
    frames::adts(beginning).map(|_| Container::Aac)
}

impl Container {
    pub fn content_type(self) -> &'static str {
        match self {
            Container::Mp3 => "audio/mpeg",
            Container::OggOpus | Container::Ogg => "audio/ogg",
            Container::Aac => "audio/aac",
            Container::Flac => "audio/flac",
            Container::Wav => "audio/wav",
            Container::M4a => "audio/mp4",
            Container::WebM => "audio/webm",
        }
    }

    /// Whether this is what a caller gets for a format. Raw samples have no container to check.
    pub fn is(self, format: AudioFormat) -> bool {
        match format {
            AudioFormat::Mp3 => self == Container::Mp3,
            AudioFormat::Opus => self == Container::OggOpus,
            AudioFormat::Aac => self == Container::Aac,
            AudioFormat::Flac => self == Container::Flac,
            AudioFormat::Wav => self == Container::Wav,
            AudioFormat::Pcm => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_container_is_known_by_its_beginning() {
        let opus_page = [&b"OggS\0\x02"[..], &[0; 20], &[1, 19], b"OpusHead"].concat();
        let cases: [(&[u8], Option<Container>); 16] = [
            (b"ID3\x04\0\0\0\0\0\0", Some(Container::Mp3)),
            (&[0xff, 0xfb, 0x90, 0x64], Some(Container::Mp3)),
            (&[0xff, 0xf3, 0x84, 0xc4], Some(Container::Mp3)),
            (&opus_page, Some(Container::OggOpus)),
            (
                b"OggS\0\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x1e\x01vorbis",
                Some(Container::Ogg),
            ),
            (&[0xff, 0xf1, 0x50, 0x80, 0x02, 0x1f, 0xfc], Some(Container::Aac)),
            (b"fLaC\x80", Some(Container::Flac)),
            (b"RIFF\xff\xff\xff\xffWAVEfmt ", Some(Container::Wav)),
            (b"RF64\xff\xff\xff\xffWAVEds64", Some(Container::Wav)),
            (b"\0\0\0\x1cftypM4A ", Some(Container::M4a)),
            (&[0x1a, 0x45, 0xdf, 0xa3, 0x9f], Some(Container::WebM)),
            (b"RIFF\0\0\0\0AVI LIST", None),
            // Layer and bit rate that no MP3 has.
            (&[0xff, 0xff, 0xff, 0xff], None),
            (b"{\"error\":{\"message\":\"no\"}}", None),
            (&[0, 0, 1, 0, 255, 255], None),
            (b"", None),
        ];
        for (bytes, expected) in cases {
            assert_eq!(recognise(bytes), expected, "{bytes:02x?}");
        }
    }

    #[test]
    fn a_format_is_only_met_by_its_own_container() {
        assert!(Container::OggOpus.is(AudioFormat::Opus));
        assert!(!Container::Ogg.is(AudioFormat::Opus));
        assert!(!Container::M4a.is(AudioFormat::Aac));
        assert!(!Container::Wav.is(AudioFormat::Pcm));
    }
}

//! Opus in Ogg (RFC 7845): 20 ms packets, small pages, positions in 48 kHz, the end cut to the sample.

use bytes::buf::Writer;
use bytes::{BufMut, BytesMut};
use ogg::writing::{PacketWriteEndInfo, PacketWriter};
use opusic_c::{Application, Bitrate, Channels, Encoder, SampleRate};

use crate::AudioError;

/// Ogg counts Opus at this rate, whatever the encoder is given.
const CLOCK: u32 = 48_000;
const PACKETS_PER_SECOND: u32 = 50;
/// 200 ms: the first sound leaves with the first packet, later ones share the cost of a page's head.
const PACKETS_PER_PAGE: u64 = 10;
/// The longest packet that libopus makes of one frame.
const PACKET_MAX: usize = 1_275;
/// Any number tells one stream of a file from another, and here is only one.
const SERIAL: u32 = 1;

pub struct Opus {
    opus: Encoder,
    /// Samples of the packet being filled.
    frame: Vec<u16>,
    frame_length: usize,
    packet: Vec<u8>,
    pages: PacketWriter<'static, Writer<BytesMut>>,
    packets: u64,
    /// In 48 kHz, as is everything an Ogg page says.
    pre_skip: u64,
    clock_per_sample: u64,
    samples: u64,
    head_is_out: bool,
}

/// Rates the codec has stay.
pub fn rate_for(rate: u32) -> u32 {
    match rate {
        8_000 | 12_000 | 16_000 | 24_000 | 48_000 => rate,
        rate if rate < 24_000 => 24_000,
        _ => CLOCK,
    }
}

impl Opus {
    pub fn new(rate: u32) -> Result<Self, AudioError> {
        let failed = |error| trouble("preparing Opus", error);
        let (sample_rate, bitrate) = match rate {
            8_000 => (SampleRate::Hz8000, 32_000),
            12_000 => (SampleRate::Hz12000, 32_000),
            16_000 => (SampleRate::Hz16000, 40_000),
            24_000 => (SampleRate::Hz24000, 48_000),
            _ => (SampleRate::Hz48000, 64_000),
        };
        let mut opus = Encoder::new(Channels::Mono, sample_rate, Application::Audio).map_err(failed)?;
        opus.set_bitrate(Bitrate::Value(bitrate)).map_err(failed)?;
        let clock_per_sample = u64::from(CLOCK / rate);
        let pre_skip = u64::from(opus.get_look_ahead().map_err(failed)?) * clock_per_sample;
        let frame_length = (rate / PACKETS_PER_SECOND) as usize;
        Ok(Self {
            opus,
            frame: Vec::with_capacity(frame_length),
            frame_length,
            packet: Vec::with_capacity(PACKET_MAX),
            pages: PacketWriter::new(BytesMut::new().writer()),
            packets: 0,
            pre_skip,
            clock_per_sample,
            samples: 0,
            head_is_out: false,
        })
    }

    pub fn push(&mut self, mut samples: &[i16], out: &mut BytesMut) -> Result<(), AudioError> {
        self.begin()?;
        self.samples += samples.len() as u64;
        while !samples.is_empty() {
            let room = self.frame_length - self.frame.len();
            let (now, later) = samples.split_at(samples.len().min(room));
            self.frame.extend(now.iter().map(|sample| sample.cast_unsigned()));
            samples = later;
            if self.frame.len() == self.frame_length {
                let is_page_full = self.packets.is_multiple_of(PACKETS_PER_PAGE);
                self.encode(if is_page_full {
                    PacketWriteEndInfo::EndPage
                } else {
                    PacketWriteEndInfo::NormalPacket
                })?;
            }
        }
        self.hand_over(out);
        Ok(())
    }

    /// Silence pushes the last of the sound out of the codec; the last page's position says where it really ends.
    pub fn finish(&mut self, out: &mut BytesMut) -> Result<(), AudioError> {
        self.begin()?;
        let end = self.pre_skip + self.samples * self.clock_per_sample;
        let per_packet = u64::from(CLOCK / PACKETS_PER_SECOND);
        // At least one is left, since a packet is only made of sound that came, and the codec lags behind it.
        let packets = end.div_ceil(per_packet);
        while self.packets < packets {
            self.frame.resize(self.frame_length, 0);
            self.encode(if self.packets + 1 == packets {
                PacketWriteEndInfo::EndStream
            } else {
                PacketWriteEndInfo::NormalPacket
            })?;
        }
        self.hand_over(out);
        Ok(())
    }

    fn encode(&mut self, ends: PacketWriteEndInfo) -> Result<(), AudioError> {
        self.packet.clear();
        self.opus
            .encode_to_vec(&self.frame, &mut self.packet)
            .map_err(|error| trouble("making Opus", error))?;
        self.frame.clear();
        self.packets += 1;
        let so_far = self.packets * u64::from(CLOCK / PACKETS_PER_SECOND);
        let position = match ends {
            PacketWriteEndInfo::EndStream => self.pre_skip + self.samples * self.clock_per_sample,
            _ => so_far,
        };
        self.write(self.packet.clone(), ends, position)
    }

    /// The two packets before the sound, each on a page of its own, as the RFC demands.
    fn begin(&mut self) -> Result<(), AudioError> {
        if self.head_is_out {
            return Ok(());
        }
        self.head_is_out = true;
        let mut head = Vec::from(*b"OpusHead\x01\x01");
        head.put_u16_le(u16::try_from(self.pre_skip).expect("some milliseconds"));
        head.put_u32_le(CLOCK / self.clock_per_sample as u32);
        head.put_slice(&[0, 0, 0]);
        self.write(head, PacketWriteEndInfo::EndPage, 0)?;

        let vendor = b"voxgate";
        let mut tags = Vec::from(*b"OpusTags");
        tags.put_u32_le(vendor.len() as u32);
        tags.put_slice(vendor);
        tags.put_u32_le(0);
        self.write(tags, PacketWriteEndInfo::EndPage, 0)
    }

    fn write(&mut self, packet: Vec<u8>, ends: PacketWriteEndInfo, position: u64) -> Result<(), AudioError> {
        self.pages
            .write_packet(packet, SERIAL, ends, position)
            .map_err(|error| AudioError::new("making an Ogg page", error.to_string()))
    }

    fn hand_over(&mut self, out: &mut BytesMut) {
        let pages = self.pages.inner_mut().get_mut();
        out.extend_from_slice(pages);
        pages.clear();
    }
}

fn trouble(doing: &'static str, error: opusic_c::ErrorCode) -> AudioError {
    AudioError::new(doing, error.message().to_owned())
}

//! Files that are a row of frames, each with a head that says its length: MP3 and AAC in ADTS.

/// MPEG-1 and MPEG-2 layer III, in kbit/s, by the index that a head holds.
const KBITS_1: [u32; 15] = [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320];
const KBITS_2: [u32; 15] = [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160];
const MPEG_RATES: [u32; 3] = [44_100, 48_000, 32_000];
const AAC_RATES: [u32; 13] = [
    96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350,
];

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Frame {
    pub samples: u32,
    pub rate: u32,
    /// In bytes, with its head; never none.
    pub length: usize,
    /// Where an encoder's note on the whole file begins, in a first frame of MP3.
    pub note: usize,
}

pub type Read = fn(&[u8]) -> Option<Frame>;

/// The frame of layer III that begins here, by its head.
pub fn mp3(bytes: &[u8]) -> Option<Frame> {
    let head = bytes.first_chunk::<4>()?;
    let is_layer_3 = head[0] == 0xff && head[1] & 0xe6 == 0xe2;
    let version = head[1] >> 3 & 3;
    let bitrate = usize::from(head[2] >> 4);
    let rate = *MPEG_RATES.get(usize::from(head[2] >> 2 & 3))?;
    let is_mono = head[3] >> 6 == 3;
    let (is_first, rate) = match version {
        3 => (true, rate),
        2 => (false, rate / 2),
        0 => (false, rate / 4),
        _ => return None,
    };
    let kbits = *if is_first { KBITS_1 } else { KBITS_2 }.get(bitrate)?;
    // A bit rate of none says nothing of a frame's length; emphasis 2 is no emphasis there is.
    if !is_layer_3 || kbits == 0 || head[3] & 3 == 2 {
        return None;
    }
    let samples = if is_first { 1_152 } else { 576 };
    let padding = u32::from(head[2] >> 1 & 1);
    let side = match (is_first, is_mono) {
        (true, false) => 32,
        (false, true) => 9,
        _ => 17,
    };
    Some(Frame {
        samples,
        rate,
        length: (samples / 8 * kbits * 1_000 / rate + padding) as usize,
        note: 4 + side,
    })
}

/// The ADTS frame that begins here, by its head.
pub fn adts(bytes: &[u8]) -> Option<Frame> {
    let head = bytes.first_chunk::<7>()?;
    let is_sync = head[0] == 0xff && head[1] & 0xf6 == 0xf0;
    let rate = *AAC_RATES.get(usize::from(head[2] >> 2 & 15))?;
    let length = usize::from(head[3] & 3) << 11 | usize::from(head[4]) << 3 | usize::from(head[5] >> 5);
    (is_sync && length >= 7).then_some(Frame {
        samples: 1_024 * u32::from((head[6] & 3) + 1),
        rate,
        length,
        note: 0,
    })
}

/// Where the first frame is: one that another follows, or the end.
pub fn first(read: Read, bytes: &[u8]) -> Option<usize> {
    (0..bytes.len()).find(|&at| {
        read(&bytes[at..]).is_some_and(|frame| {
            let next = bytes.get(at + frame.length..);
            next.is_none_or(|next| next.len() < 7 || read(next).is_some())
        })
    })
}

/// Seconds of `length` bytes of frames that begin so: counted where they are all here, else taken to go on as they
/// begin, which holds at a constant bit rate.
pub fn seconds(read: Read, bytes: &[u8], length: u64) -> Option<f64> {
    let mut seconds = 0.0;
    let mut at = 0;
    while let Some(frame) = bytes.get(at..).and_then(read) {
        seconds += f64::from(frame.samples) / f64::from(frame.rate);
        at += frame.length;
    }
    let is_whole = bytes.len() as u64 >= length;
    match (at, is_whole) {
        (0, _) => None,
        (_, true) => Some(seconds),
        (at, false) => Some(seconds * length as f64 / at as f64),
    }
}

//! SSML as Azure reads it: strict XML, known elements, voices that speak the language they are asked for.

use roxmltree::{Document, Node};

const SYNTHESIS: &str = "http://www.w3.org/2001/10/synthesis";
const MSTTS: &[&str] = &["https://www.w3.org/2001/mstts", "http://www.w3.org/2001/mstts"];
const XML: &str = "http://www.w3.org/XML/1998/namespace";

/// Voices and the styles that they have.
const VOICES: &[(&str, &[&str])] = &[
    (crate::fakes::azure::VOICE, &["chat", "cheerful"]),
    ("en-US-AvaMultilingualNeural", &[]),
    ("en-US-AvaNeural", &[]),
    ("en-US-AriaNeural", &["chat", "cheerful", "sad"]),
    ("en-US-GuyNeural", &["newscast"]),
    ("de-DE-KatjaNeural", &["chat", "cheerful"]),
];

#[derive(Debug, PartialEq)]
pub struct Speech {
    pub text: String,
    pub speed: f64,
}

#[derive(Debug, PartialEq)]
pub enum Fault {
    /// No document that Azure's pages allow.
    Malformed(String),
    UnknownVoice(String),
}

pub fn read(ssml: &str) -> Result<Speech, Fault> {
    let document = Document::parse(ssml).map_err(|error| malformed(error.to_string()))?;
    let root = document.root_element();
    if !root.has_tag_name((SYNTHESIS, "speak")) || root.attribute("version") != Some("1.0") {
        return Err(malformed(
            "the root is speak, version 1.0, in its namespace".to_owned(),
        ));
    }
    let language = root
        .attribute((XML, "lang"))
        .ok_or_else(|| malformed("xml:lang is missing".to_owned()))?;
    let mut speech = Speech {
        text: String::new(),
        speed: 1.0,
    };
    let mut voices = 0;
    for node in root.children() {
        if node.is_element() {
            read_voice(node, language, &mut speech)?;
            voices += 1;
        } else if node.text().is_some_and(|text| !text.trim().is_empty()) {
            return Err(malformed("text stands outside of a voice".to_owned()));
        }
    }
    if voices != 1 {
        return Err(malformed(format!("{voices} voices, where one was meant")));
    }
    Ok(speech)
}

fn read_voice(node: Node, language: &str, speech: &mut Speech) -> Result<(), Fault> {
    let (true, Some(name)) = (node.has_tag_name((SYNTHESIS, "voice")), node.attribute("name")) else {
        return Err(malformed(format!("{:?} below speak", node.tag_name())));
    };
    let Some((_, styles)) = VOICES.iter().find(|(voice, _)| *voice == name) else {
        return Err(Fault::UnknownVoice(name.to_owned()));
    };
    if !name.starts_with(&format!("{language}-")) {
        return Err(malformed(format!("{name} does not speak {language}")));
    }
    read_content(node, styles, speech)
}

fn read_content(node: Node, styles: &[&str], speech: &mut Speech) -> Result<(), Fault> {
    for child in node.children() {
        if child.is_text() {
            speech.text.push_str(child.text().unwrap_or(""));
            continue;
        }
        let tag = child.tag_name();
        match (tag.namespace(), tag.name()) {
            (Some(SYNTHESIS), "prosody") => speech.speed = rate(child)?,
            (Some(space), "express-as") if MSTTS.contains(&space) => check_style(child, styles)?,
            _ => return Err(malformed(format!("{tag:?} is no element to put text into"))),
        }
        read_content(child, styles, speech)?;
    }
    Ok(())
}

/// A factor, or a change in percent.
fn rate(prosody: Node) -> Result<f64, Fault> {
    let rate = prosody.attribute("rate").unwrap_or("1");
    let factor = match rate.strip_suffix('%') {
        Some(change) => change.parse::<f64>().map(|change| 1.0 + change / 100.0),
        None => rate.parse(),
    };
    match factor {
        Ok(factor) if (0.5..=2.0).contains(&factor) => Ok(factor),
        _ => Err(malformed(format!("rate {rate} is out of range"))),
    }
}

fn check_style(node: Node, styles: &[&str]) -> Result<(), Fault> {
    match node.attribute("style") {
        Some(style) if styles.contains(&style) => Ok(()),
        style => Err(malformed(format!("the voice has no style {style:?}"))),
    }
}

fn malformed(what: String) -> Fault {
    Fault::Malformed(what)
}

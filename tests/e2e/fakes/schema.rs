//! The providers' own schemas (`tests/e2e/specs`), and whether a body satisfies them.

use jsonschema::Validator;
use serde_json::{Map, Value, json};

use super::request::Part;

#[derive(Clone, Copy, Debug)]
pub enum Spec {
    ElevenLabs,
    Azure,
    Gemini,
    OpenAi,
}

impl Spec {
    fn document(self) -> Value {
        let text = match self {
            Self::ElevenLabs => include_str!("../specs/elevenlabs.json"),
            Self::Azure => include_str!("../specs/azure.json"),
            Self::Gemini => include_str!("../specs/gemini.json"),
            Self::OpenAi => include_str!("../specs/openai.json"),
        };
        serde_json::from_str(text).expect("a specification in JSON")
    }

    fn validator(self, name: &str) -> Validator {
        let mut document = self.document();
        assert!(document["$defs"][name].is_object(), "{self:?} defines no {name}");
        document["$ref"] = json!(format!("#/$defs/{name}"));
        jsonschema::validator_for(&document).expect("a schema that can be used")
    }

    /// Everything in `body` that the schema of this name refuses.
    pub fn refuses(self, name: &str, body: &Value) -> Option<String> {
        let validator = self.validator(name);
        let errors = validator.iter_errors(body);
        let errors: Vec<String> = errors
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        (!errors.is_empty()).then(|| format!("{name} refuses {}", errors.join("; ")))
    }

    /// A form as the object that the schema of this name describes. Text becomes what its property is declared as;
    /// where it is no such thing, it stays text, for the schema to refuse.
    pub fn form(self, name: &str, parts: &[Part]) -> Value {
        let document = self.document();
        let properties = &document["$defs"][name]["properties"];
        let mut form = Map::new();
        for part in parts {
            let name = part.name.trim_end_matches("[]");
            let types = declared_types(&document, &properties[name]);
            if types.contains(&"array") && (part.name.ends_with("[]") || !part.text().starts_with('[')) {
                let list = form.entry(name).or_insert_with(|| json!([]));
                list.as_array_mut().expect("a list").push(json!(part.text()));
            } else {
                form.insert(name.to_owned(), typed(part, &types));
            }
        }
        Value::Object(form)
    }
}

/// The file itself is not what schemas are about.
fn typed(part: &Part, types: &[&str]) -> Value {
    let text = if part.is_file { "(file)" } else { part.text() };
    match serde_json::from_str::<Value>(text) {
        Ok(value) if types.contains(&json_type(&value)) => value,
        _ => json!(text),
    }
}

fn json_type(value: &Value) -> &'static str {
    match value {
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_i64() || number.is_u64() => "integer",
        Value::Number(_) => "number",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
        Value::String(_) | Value::Null => "string",
    }
}

/// Every type that a schema allows at its top, through references and alternatives.
fn declared_types<'a>(document: &'a Value, schema: &'a Value) -> Vec<&'a str> {
    if let Some(name) = schema["$ref"]
        .as_str()
        .and_then(|path| path.strip_prefix("#/$defs/"))
    {
        return declared_types(document, &document["$defs"][name]);
    }
    let mut types: Vec<&str> = schema["type"].as_str().into_iter().collect();
    if types.contains(&"number") {
        types.push("integer");
    }
    for branch in ["anyOf", "oneOf", "allOf"] {
        let branches = schema[branch].as_array().into_iter().flatten();
        types.extend(branches.flat_map(|branch| declared_types(document, branch)));
    }
    types
}

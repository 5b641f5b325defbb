//! Canonical Extended JSON (v2) of options and index definitions, as mongodump's metadata.json has it.
//!
//! The order of keys is kept both ways: an index on `{a, b}` is another one than on `{b, a}`. Documents of collections
//! never pass through here.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{
    Binary, Bson, DateTime, Decimal128, Document, JavaScriptCodeWithScope, Regex, Timestamp, oid::ObjectId,
};
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::error::{Code, Error, Result};

/// Writes a document.
///
/// # Errors
/// `UnsupportedObject` for a DBPointer, which no option of a collection has.
pub(super) fn write(document: &Document) -> Result<String> {
    let mut out = String::new();
    object(&mut out, document)?;
    Ok(out)
}

/// Reads a document: canonical or relaxed.
///
/// # Errors
/// `Damaged`.
pub(super) fn read(text: &[u8]) -> Result<Document> {
    let damaged = |why: String| Error::new(Code::Damaged, format!("it is no Extended JSON: {why}"));
    match serde_json::from_slice::<Json>(text).map_err(|e| damaged(e.to_string()))? {
        Json::Object(fields) => plain(fields).map_err(damaged),
        _ => Err(damaged("it is no object".to_owned())),
    }
}

fn string(out: &mut String, text: &str) {
    out.push_str(&serde_json::Value::from(text).to_string());
}

fn object(out: &mut String, document: &Document) -> Result<()> {
    out.push('{');
    for (i, (key, value)) in document.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        string(out, key);
        out.push(':');
        self::value(out, value)?;
    }
    out.push('}');
    Ok(())
}

fn value(out: &mut String, value: &Bson) -> Result<()> {
    let wrapped = |out: &mut String, key: &str, text: &str| {
        out.push_str("{\"");
        out.push_str(key);
        out.push_str("\":");
        string(out, text);
        out.push('}');
    };
    match value {
        Bson::Double(n) => wrapped(out, "$numberDouble", &double(*n)),
        Bson::String(text) => string(out, text),
        Bson::Array(values) => {
            out.push('[');
            for (i, one) in values.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                self::value(out, one)?;
            }
            out.push(']');
        }
        Bson::Document(document) => object(out, document)?,
        Bson::Boolean(flag) => out.push_str(if *flag { "true" } else { "false" }),
        Bson::Null => out.push_str("null"),
        Bson::RegularExpression(regex) => {
            out.push_str("{\"$regularExpression\":{\"pattern\":");
            string(out, &regex.pattern.to_string());
            out.push_str(",\"options\":");
            string(out, &regex.options.to_string());
            out.push_str("}}");
        }
        Bson::JavaScriptCode(code) => wrapped(out, "$code", code),
        Bson::JavaScriptCodeWithScope(code) => {
            out.push_str("{\"$code\":");
            string(out, &code.code);
            out.push_str(",\"$scope\":");
            object(out, &code.scope)?;
            out.push('}');
        }
        Bson::Int32(n) => wrapped(out, "$numberInt", &n.to_string()),
        Bson::Int64(n) => wrapped(out, "$numberLong", &n.to_string()),
        Bson::Timestamp(at) => {
            out.push_str(&format!("{{\"$timestamp\":{{\"t\":{},\"i\":{}}}}}", at.time, at.increment));
        }
        Bson::Binary(binary) => {
            let subtype = u8::from(binary.subtype);
            out.push_str(&format!(
                "{{\"$binary\":{{\"base64\":\"{}\",\"subType\":\"{subtype:02x}\"}}}}",
                STANDARD.encode(&binary.bytes)
            ));
        }
        Bson::ObjectId(id) => wrapped(out, "$oid", &id.to_hex()),
        Bson::DateTime(at) => {
            out.push_str(&format!("{{\"$date\":{{\"$numberLong\":\"{}\"}}}}", at.timestamp_millis()));
        }
        Bson::Symbol(text) => wrapped(out, "$symbol", text),
        Bson::Decimal128(n) => wrapped(out, "$numberDecimal", &n.to_string()),
        Bson::Undefined => out.push_str("{\"$undefined\":true}"),
        Bson::MaxKey => out.push_str("{\"$maxKey\":1}"),
        Bson::MinKey => out.push_str("{\"$minKey\":1}"),
        Bson::DbPointer(_) => {
            return Err(Error::new(Code::UnsupportedObject, "a collection's options hold a DBPointer")
                .next("set them anew without it"));
        }
    }
    Ok(())
}

fn double(n: f64) -> String {
    match n {
        _ if n.is_nan() => "NaN".to_owned(),
        _ if n == f64::INFINITY => "Infinity".to_owned(),
        _ if n == f64::NEG_INFINITY => "-Infinity".to_owned(),
        _ => format!("{n:?}"),
    }
}

/// JSON with its keys in their order.
enum Json {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    String(String),
    Array(Vec<Self>),
    Object(Vec<(String, Self)>),
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Json, E> {
        Ok(Json::Bool(flag))
    }

    fn visit_i64<E>(self, n: i64) -> Result<Json, E> {
        Ok(Json::Int(n))
    }

    fn visit_u64<E: de::Error>(self, n: u64) -> Result<Json, E> {
        i64::try_from(n).map(Json::Int).map_err(|_| E::custom("a number is too large"))
    }

    fn visit_f64<E>(self, n: f64) -> Result<Json, E> {
        Ok(Json::Float(n))
    }

    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(Json::String(text.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Json, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = seq.next_element()? {
            values.push(value);
        }
        Ok(Json::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        Ok(Json::Object(fields))
    }
}

fn plain(fields: Vec<(String, Json)>) -> Result<Document, String> {
    fields.into_iter().map(|(key, value)| Ok((key, bson(value)?))).collect()
}

fn bson(json: Json) -> Result<Bson, String> {
    Ok(match json {
        Json::Null => Bson::Null,
        Json::Bool(flag) => Bson::Boolean(flag),
        // As the relaxed form has it.
        Json::Int(n) => i32::try_from(n).map_or(Bson::Int64(n), Bson::Int32),
        Json::Float(n) => Bson::Double(n),
        Json::String(text) => Bson::String(text),
        Json::Array(values) => Bson::Array(values.into_iter().map(bson).collect::<Result<_, _>>()?),
        Json::Object(fields) => match fields.as_slice() {
            [(key, value)] if key.starts_with('$') => match special(key, value)? {
                Some(value) => value,
                None => Bson::Document(plain(fields)?),
            },
            [(code, Json::String(text)), (scope, _)] if code == "$code" && scope == "$scope" => {
                let code = text.clone();
                match fields.into_iter().nth(1) {
                    Some((_, Json::Object(scope))) => {
                        Bson::JavaScriptCodeWithScope(JavaScriptCodeWithScope { code, scope: plain(scope)? })
                    }
                    _ => return Err("a $scope is no object".to_owned()),
                }
            }
            _ => Bson::Document(plain(fields)?),
        },
    })
}

/// What an object with this one key stands for; none for one that is meant as it is, such as `{"$gt": 5}`.
fn special(key: &str, value: &Json) -> Result<Option<Bson>, String> {
    let wrong = || format!("a {key} is malformed");
    let text = || match value {
        Json::String(text) => Ok(text.as_str()),
        _ => Err(wrong()),
    };
    let field = |wanted: &str| match value {
        Json::Object(fields) => fields.iter().find(|(key, _)| key == wanted).map(|(_, value)| value),
        _ => None,
    };
    let text_of = |wanted: &str| match field(wanted) {
        Some(Json::String(text)) => Ok(text.clone()),
        _ => Err(wrong()),
    };
    let number_of = |wanted: &str| match field(wanted) {
        Some(Json::Int(n)) => u32::try_from(*n).map_err(|_| wrong()),
        _ => Err(wrong()),
    };
    Ok(Some(match key {
        "$numberInt" => Bson::Int32(text()?.parse().map_err(|_| wrong())?),
        "$numberLong" => Bson::Int64(text()?.parse().map_err(|_| wrong())?),
        "$numberDouble" => Bson::Double(match text()? {
            "Infinity" => f64::INFINITY,
            "-Infinity" => f64::NEG_INFINITY,
            "NaN" => f64::NAN,
            text => text.parse().map_err(|_| wrong())?,
        }),
        "$numberDecimal" => Bson::Decimal128(text()?.parse::<Decimal128>().map_err(|_| wrong())?),
        "$oid" => Bson::ObjectId(ObjectId::parse_str(text()?).map_err(|_| wrong())?),
        "$symbol" => Bson::Symbol(text()?.to_owned()),
        "$code" => Bson::JavaScriptCode(text()?.to_owned()),
        "$undefined" => Bson::Undefined,
        "$minKey" => Bson::MinKey,
        "$maxKey" => Bson::MaxKey,
        "$date" => Bson::DateTime(date(value).ok_or_else(wrong)?),
        "$timestamp" => Bson::Timestamp(Timestamp { time: number_of("t")?, increment: number_of("i")? }),
        "$regularExpression" => {
            let pattern = text_of("pattern")?.try_into().map_err(|_| wrong())?;
            let options = text_of("options")?.try_into().map_err(|_| wrong())?;
            Bson::RegularExpression(Regex { pattern, options })
        }
        "$binary" => {
            let bytes = STANDARD.decode(text_of("base64")?).map_err(|_| wrong())?;
            let subtype = u8::from_str_radix(&text_of("subType")?, 16).map_err(|_| wrong())?;
            Bson::Binary(Binary { subtype: BinarySubtype::from(subtype), bytes })
        }
        _ => return Ok(None),
    }))
}

/// `{"$numberLong": "ms"}`, or the relaxed form's text, or milliseconds as old tools wrote them.
fn date(value: &Json) -> Option<DateTime> {
    let millis = match value {
        Json::Object(fields) => match fields.as_slice() {
            [(key, Json::String(text))] if key == "$numberLong" => text.parse().ok()?,
            _ => return None,
        },
        Json::Int(n) => *n,
        Json::String(text) => text.parse::<jiff::Timestamp>().ok()?.as_millisecond(),
        _ => return None,
    };
    Some(DateTime::from_millis(millis))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use mongodb::bson::doc;

    use super::*;

    #[test]
    fn every_type_comes_back_with_its_keys_in_order() {
        let all = doc! {
            "z": 1, "a": 2_i64, "d": 1.0, "e": 1e300, "n": -0.5, "inf": f64::INFINITY,
            "s": "q\"\u{1}é", "arr": [1, { "$gt": 5 }, []], "b": true, "null": Bson::Null,
            "re": Bson::RegularExpression(Regex { pattern: "^a/".try_into().unwrap(), options: "i".try_into().unwrap() }),
            "code": Bson::JavaScriptCode("f()".into()),
            "scope": Bson::JavaScriptCodeWithScope(JavaScriptCodeWithScope { code: "g".into(), scope: doc! { "x": 1 } }),
            "ts": Bson::Timestamp(Timestamp { time: 7, increment: 9 }),
            "bin": Binary { subtype: BinarySubtype::Uuid, bytes: vec![1, 2, 3] },
            "oid": ObjectId::from_bytes([7; 12]), "at": DateTime::from_millis(-5), "sym": Bson::Symbol("s".into()),
            "dec": "1.50".parse::<Decimal128>().unwrap(), "undef": Bson::Undefined, "max": Bson::MaxKey, "min": Bson::MinKey,
            "match": { "$regex": "^x", "$options": "i" }, "$**": 1,
        };
        let text = write(&all).unwrap();
        assert!(
            text.starts_with(r#"{"z":{"$numberInt":"1"},"a":{"$numberLong":"2"},"d":{"$numberDouble":"1.0"}"#),
            "{text}"
        );
        assert_eq!(read(text.as_bytes()).unwrap(), all);
    }

    #[test]
    fn the_relaxed_form_is_understood_and_nonsense_is_not() {
        let read = |text: &str| read(text.as_bytes());
        assert_eq!(
            read(r#"{"a":1,"b":5000000000,"c":1.5}"#).unwrap(),
            doc! { "a": 1, "b": 5_000_000_000_i64, "c": 1.5 }
        );
        let at = read(r#"{"t":{"$date":"1970-01-01T00:00:01Z"}}"#).unwrap();
        assert_eq!(at, doc! { "t": DateTime::from_millis(1000) });
        for text in ["", "[]", "{", r#"{"a":{"$numberInt":"x"}}"#, r#"{"a":{"$oid":"12"}}"#, r#"{"a":{"$binary":1}}"#] {
            assert_eq!(read(text).unwrap_err().code(), Code::Damaged, "{text}");
        }
    }
}

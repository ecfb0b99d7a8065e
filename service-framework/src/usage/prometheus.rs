//! One number from a Prometheus server.

use hyper::Uri;
use serde::Deserialize;
use serde_json::Value;

use crate::probing::get::Server;

/// The longest answer that is read, in bytes; one number needs little.
const MOST_BYTES: usize = 256 * 1024;

#[derive(Deserialize)]
struct Answer {
    status: String,
    #[serde(default)]
    error: String,
    data: Option<Data>,
}

#[derive(Deserialize)]
struct Data {
    #[serde(rename = "resultType")]
    kind: String,
    result: Value,
}

/// Runs an instant query. Errors: in words for the operator.
pub(super) async fn ask(server: &str, query: &str) -> Result<f64, String> {
    let uri: Uri = server.parse().map_err(|error| format!("{server:?} is no URL: {error}"))?;
    if uri.scheme_str() != Some("http") {
        return Err(format!("{server:?} is not reached by http://, the only way that is known"));
    }
    let host = uri.host().ok_or_else(|| format!("{server:?} names no host"))?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let at = Server { host, port: uri.port_u16().unwrap_or(80) };
    let base = uri.path().trim_end_matches('/');
    let path = format!("{base}/api/v1/query?query={}", escaped(query));
    let answered = at.get(None, &path, MOST_BYTES).await.map_err(|error| error.to_string())?;
    read(&answered.body).map_err(|reason| format!("{at} answered with {}: {reason}", answered.status))
}

/// The one number of an answer.
fn read(body: &[u8]) -> Result<f64, String> {
    let answer: Answer = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let data = answer.data.filter(|_| answer.status == "success").ok_or(answer.error)?;
    let sample = match (data.kind.as_str(), &data.result) {
        ("scalar", sample) => sample,
        ("vector", Value::Array(all)) => match all.as_slice() {
            [one] => one.get("value").unwrap_or(&Value::Null),
            all => {
                return Err(format!(
                    "the query yields {} numbers, it must yield one; sum() makes one",
                    all.len()
                ));
            }
        },
        (kind, _) => return Err(format!("the query yields a {kind}, it must yield one number")),
    };
    let number = sample.get(1).and_then(Value::as_str).and_then(|text| text.parse::<f64>().ok());
    number.filter(|number| number.is_finite()).ok_or_else(|| "the answer is no finite number".to_owned())
}

/// As the value of a query field.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_must_yield_one_number() {
        let vector = |results: &str| {
            format!(r#"{{"status":"success","data":{{"resultType":"vector","result":[{results}]}}}}"#)
        };
        let one = r#"{"metric":{},"value":[1.5,"42.5"]}"#;
        assert_eq!(read(vector(one).as_bytes()), Ok(42.5));
        assert_eq!(read(br#"{"status":"success","data":{"resultType":"scalar","result":[1,"7"]}}"#), Ok(7.0));
        assert!(read(vector("").as_bytes()).unwrap_err().contains("yields 0 numbers"));
        assert!(read(vector(&format!("{one},{one}")).as_bytes()).unwrap_err().contains("yields 2 numbers"));
        assert!(read(vector(r#"{"value":[1,"NaN"]}"#).as_bytes()).is_err());
        assert_eq!(read(br#"{"status":"error","error":"bad query"}"#), Err("bad query".to_owned()));
        assert!(read(b"<html>").is_err());
    }

    #[test]
    fn a_query_keeps_its_meaning_in_a_url() {
        assert_eq!(escaped("sum(rate(x{a=\"b\"}[1m]))"), "sum%28rate%28x%7Ba%3D%22b%22%7D%5B1m%5D%29%29");
    }
}

//! `saccade-loadgen sink`: a server that reads requests, counts events and answers as Saccade would, to measure this program alone.

use clap::Args;
use serde_json::Value;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

/// Options of `sink`.
#[derive(Args)]
pub struct Sink {
    /// Address and port
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
}

impl Sink {
    /// Answers until it is stopped.
    pub fn execute(self) -> Result<(), String> {
        let failed = |e: io::Error| format!("listening on {}: {e}", self.listen);
        let listener = TcpListener::bind(self.listen).map_err(failed)?;
        eprintln!("answering on {}", listener.local_addr().map_err(failed)?);
        for stream in listener.incoming() {
            let stream = stream.map_err(failed)?;
            // Whoever goes away in the middle ends only their own connection.
            std::thread::spawn(move || serve(stream));
        }
        Ok(())
    }
}

/// One connection, until its end.
pub fn serve(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut received, mut len, mut answer) = (vec![0; 1 << 16], 0, Vec::new());
    loop {
        let Some((path, body_at, end)) = request(&received[..len])? else {
            if len == received.len() {
                received.resize(len * 2, 0);
            }
            match stream.read(&mut received[len..])? {
                0 => return Ok(()),
                n => len += n,
            }
            continue;
        };
        answer.clear();
        write_answer(&mut answer, path, &received[body_at..end])?;
        stream.write_all(&answer)?;
        received.copy_within(end..len, 0);
        len -= end;
    }
}

/// Path, begin and end of the body of a request, if it is whole.
fn request(received: &[u8]) -> io::Result<Option<(&str, usize, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut request = httparse::Request::new(&mut headers);
    let head = request.parse(received).map_err(io::Error::other)?;
    let httparse::Status::Complete(body_at) = head else { return Ok(None) };
    let path = request.path.unwrap_or_default();
    let length = request.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let length = length.and_then(|header| std::str::from_utf8(header.value).ok()?.parse::<usize>().ok()).unwrap_or(0);
    Ok((received.len() >= body_at + length).then_some((path, body_at, body_at + length)))
}

fn write_answer(out: &mut Vec<u8>, path: &str, body: &[u8]) -> io::Result<()> {
    let (status, text) = if path == "/v1/events" {
        // Events of this program are flat: as many braces as events.
        let events = body.iter().filter(|b| **b == b'{').count();
        ("202 Accepted", format!(r#"{{"accepted":{events},"duplicates":0,"late":0,"rejected":[]}}"#))
    } else if path.starts_with("/v1/rank/") {
        let request: Value = serde_json::from_slice(body)?;
        let k = request["k"].as_u64().unwrap_or(1) as usize;
        let items: Vec<Value> = request["items"].as_array().into_iter().flatten().take(k).map(shown).collect();
        ("200 OK", serde_json::json!({ "decision": request["id"], "items": items }).to_string())
    } else if path.starts_with("/v1/decisions/") {
        ("202 Accepted", r#"{"outcome":"joined"}"#.to_string())
    } else if path.starts_with("/v1/cmcd") {
        return out.write_all(b"HTTP/1.1 204 No Content\r\n\r\n");
    } else {
        ("404 Not Found", String::new())
    };
    write!(out, "HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{text}", text.len())
}

fn shown(item: &Value) -> Value {
    let id = if item.is_object() { &item["id"] } else { item };
    serde_json::json!({ "id": id, "propensity": 1.0, "score": 0.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_answers_as_many_events_as_came_and_ranks_in_the_order_it_was_given() {
        let mut out = Vec::new();
        write_answer(&mut out, "/v1/events", br#"[{"id":"a"},{"id":"b"}]"#).expect("a Vec takes it");
        assert!(String::from_utf8_lossy(&out).ends_with(r#"{"accepted":2,"duplicates":0,"late":0,"rejected":[]}"#));
        out.clear();
        write_answer(&mut out, "/v1/rank/home", br#"{"id":"d1","k":2,"items":["i7","i8","i9"]}"#).expect("a Vec");
        assert!(String::from_utf8_lossy(&out).contains(r#""items":[{"id":"i7""#), "{}", String::from_utf8_lossy(&out));
        let text = b"POST /v1/events HTTP/1.1\r\ncontent-length: 2\r\n\r\n[]";
        assert_eq!(request(&text[..text.len() - 1]).expect("HTTP"), None);
        assert_eq!(request(text).expect("HTTP"), Some(("/v1/events", text.len() - 2, text.len())));
    }
}

//! Servers for tests that answer what they are told to.

use crate::http::Target;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Mutex;

/// A server that answers each GET with what `answer` says of its path and how many there were of that before, and closes. One that is not
/// answered holds up no other.
pub fn scripted(answer: impl Fn(&str, usize) -> String + Send + Sync + 'static) -> Target {
    scripted_at(TcpListener::bind("127.0.0.1:0").expect("loopback has a free port"), answer)
}

/// The same where somebody listens already.
pub fn scripted_at(listener: TcpListener, answer: impl Fn(&str, usize) -> String + Send + Sync + 'static) -> Target {
    let authority = listener.local_addr().expect("it is bound");
    std::thread::spawn(move || {
        let asked = Mutex::<BTreeMap<String, usize>>::default();
        std::thread::scope(|scope| {
            for stream in listener.incoming().flatten() {
                scope.spawn(|| answer_once(stream, &asked, &answer));
            }
        });
    });
    Target::new(&format!("http://{authority}"), None, None).expect("an address is a target")
}

fn answer_once(mut stream: TcpStream, asked: &Mutex<BTreeMap<String, usize>>, answer: &impl Fn(&str, usize) -> String) {
    let mut lines = BufReader::new(&stream).lines().map_while(Result::ok).take_while(|line| !line.is_empty());
    let Some(head) = lines.next() else { return };
    lines.for_each(drop);
    let path = head.split(' ').nth(1).unwrap_or_default();
    let before = {
        let mut asked = asked.lock().expect("nobody panics while they hold it");
        let times = asked.entry(path.to_owned()).or_default();
        *times += 1;
        *times - 1
    };
    // Who asked may have gone.
    let _ = stream.write_all(answer(path, before).as_bytes());
}

/// A whole answer.
pub fn answer(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

/// Does not answer.
pub fn never() -> ! {
    loop {
        std::thread::park();
    }
}

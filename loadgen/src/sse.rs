//! Server-sent events, as far as a context stream needs them: what a chunk of bytes completes.

/// Splits a stream into lines, over the borders of chunks.
#[derive(Default)]
pub struct Lines {
    /// A line that has not ended yet.
    partial: Vec<u8>,
}

/// One line that means something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// The name of the event that follows.
    Event(&'a [u8]),
    /// Its data.
    Data(&'a [u8]),
}

impl Lines {
    /// Hands on every line that `data` completes. Comments, ids and blank lines are the protocol's own.
    pub fn read(&mut self, mut data: &[u8], take: &mut dyn FnMut(Line<'_>)) {
        while let Some(end) = memchr::memchr(b'\n', data) {
            match self.partial.is_empty() {
                true => line(&data[..end], take),
                false => {
                    self.partial.extend_from_slice(&data[..end]);
                    line(&self.partial, take);
                    self.partial.clear();
                }
            }
            data = &data[end + 1..];
        }
        self.partial.extend_from_slice(data);
    }
}

fn line(line: &[u8], take: &mut dyn FnMut(Line<'_>)) {
    if let Some(name) = line.strip_prefix(b"event:") {
        take(Line::Event(name.trim_ascii()));
    } else if let Some(data) = line.strip_prefix(b"data:") {
        take(Line::Data(data.trim_ascii()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_whole_wherever_the_chunks_are_cut() {
        let stream = b"event: context\nid: 7\ndata: {\"a\":1}\n\n: alive\n\ndata:x\n\n";
        for cut in 0..stream.len() {
            let (mut lines, mut seen) = (Lines::default(), vec![]);
            let mut take = |line: Line<'_>| seen.push(format!("{line:?}"));
            lines.read(&stream[..cut], &mut take);
            lines.read(&stream[cut..], &mut take);
            let expected = [Line::Event(b"context"), Line::Data(b"{\"a\":1}"), Line::Data(b"x")];
            assert_eq!(seen, expected.map(|line| format!("{line:?}")), "cut at {cut}");
        }
    }
}

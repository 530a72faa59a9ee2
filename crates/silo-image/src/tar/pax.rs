//! Extended headers: `LENGTH KEY=VALUE\n` records (pax(1), "pax Extended Header").
//!
//! Called by the reader. Only the keys that mean something for a file tree are kept.

use silo_types::Result;

use super::{MAX_PATH, malformed, sparse};

/// What the records in front of an entry say; a later record wins.
#[derive(Clone, Debug, Default)]
pub(crate) struct Records {
    pub path: Option<Vec<u8>>,
    pub link: Option<Vec<u8>>,
    pub size: Option<u64>,
    pub uid: Option<i64>,
    pub gid: Option<i64>,
    pub mtime: Option<(i64, u32)>,
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub sparse: sparse::Records,
}

impl Records {
    /// Adds the records of one extended header block.
    pub fn parse(&mut self, mut data: &[u8]) -> Result<()> {
        while !data.is_empty() {
            let space = data.iter().position(|&b| b == b' ');
            let length = space
                .and_then(|end| integer(&data[..end]))
                .and_then(|n| usize::try_from(n).ok())
                .filter(|&n| n <= data.len() && space.is_some_and(|s| n > s + 2))
                .ok_or_else(|| malformed("bad length of a pax record"))?;
            let record = &data[space.unwrap_or(0) + 1..length];
            let record = record
                .strip_suffix(b"\n")
                .ok_or_else(|| malformed("a pax record does not end where it says"))?;
            let equals = record
                .iter()
                .position(|&b| b == b'=')
                .ok_or_else(|| malformed("a pax record without ="))?;
            self.set(&record[..equals], &record[equals + 1..])?;
            data = &data[length..];
        }
        Ok(())
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        let bad = || {
            malformed(format!(
                "bad value of pax record {}",
                String::from_utf8_lossy(key)
            ))
        };
        match key {
            b"path" => self.path = path(value)?,
            b"linkpath" => self.link = path(value)?,
            b"size" => {
                let size = integer(value).and_then(|n| u64::try_from(n).ok());
                self.size = Some(size.ok_or_else(bad)?);
            }
            b"uid" => self.uid = Some(integer(value).ok_or_else(bad)?),
            b"gid" => self.gid = Some(integer(value).ok_or_else(bad)?),
            b"mtime" => self.mtime = Some(time(value).ok_or_else(bad)?),
            _ => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    self.xattrs.retain(|(other, _)| other != name);
                    self.xattrs.push((name.to_vec(), value.to_vec()));
                } else if let Some(name) = key.strip_prefix(b"GNU.sparse.") {
                    self.sparse.set(name, value)?;
                }
            }
        }
        Ok(())
    }
}

/// A checked path; empty takes the record back.
pub(crate) fn path(value: &[u8]) -> Result<Option<Vec<u8>>> {
    if value.len() > MAX_PATH || value.contains(&0) {
        return Err(malformed(format!(
            "a path is longer than {MAX_PATH} bytes or holds a NUL"
        )));
    }
    Ok((!value.is_empty()).then(|| value.to_vec()))
}

/// Decimal digits, at most 18.
pub(crate) fn integer(digits: &[u8]) -> Option<i64> {
    if digits.is_empty() || digits.len() > 18 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(digits.iter().fold(0, |n, d| n * 10 + i64::from(d - b'0')))
}

/// `[-]SECONDS[.FRACTION]`; a negative time with a fraction is rounded down to the second.
fn time(value: &[u8]) -> Option<(i64, u32)> {
    let (negative, value) = match value.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, value),
    };
    let mut parts = value.splitn(2, |&b| b == b'.');
    let seconds = integer(parts.next()?)?;
    let fraction = parts.next().unwrap_or(b"");
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let mut nanoseconds = 0;
    for i in 0..9 {
        let digit = fraction.get(i).map_or(0, |d| u32::from(d - b'0'));
        nanoseconds = nanoseconds * 10 + digit;
    }
    match (negative, nanoseconds) {
        (false, _) => Some((seconds, nanoseconds)),
        (true, 0) => Some((-seconds, 0)),
        (true, _) => Some((-seconds - 1, 0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn records() {
        let mut records = Records::default();
        let data = b"11 path=a/b\n24 mtime=1234567890.5000\n30 SCHILY.xattr.user.name=value\n";
        let data = [&data[..11], b"\n", &data[12..]].concat();
        assert!(
            records.parse(&data).is_err(),
            "the lengths of these records are wrong"
        );
        let mut records = Records::default();
        records
            .parse(b"12 path=a/b\n20 mtime=12.0000005\n")
            .unwrap();
        assert_eq!(records.path.as_deref(), Some(&b"a/b"[..]));
        assert_eq!(records.mtime, Some((12, 500)));
    }

    #[test]
    fn malformed_records() {
        for bad in [
            &b"12 path=a/b"[..],
            b"999999999999999999999 path=a\n",
            b"0 path=a\n",
            b"3 a\n",
            b"9 path=a\0\n",
            b"14 size=1e9999\n",
        ] {
            assert!(Records::default().parse(bad).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn no_input_panics(data in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Records::default().parse(&data);
        }
        #[test]
        fn no_time_panics(text in "-?[0-9]{0,20}\\.?[0-9]{0,20}") {
            let _ = time(text.as_bytes());
        }
    }
}

//! The keys that leave a container's terminal without ending it.

/// Looks for the keys in what is typed.
#[derive(Debug)]
pub struct Keys {
    keys: Vec<u8>,
    /// How many of them were typed already: these are held back.
    matched: usize,
}

impl Keys {
    /// No keys: nothing is ever held back.
    pub fn new(keys: Vec<u8>) -> Keys {
        Keys { keys, matched: 0 }
    }

    /// What goes to the program, and whether the keys are complete; what was typed behind them is dropped.
    pub fn filter(&mut self, typed: &[u8]) -> (Vec<u8>, bool) {
        let mut through = Vec::with_capacity(typed.len());
        for &byte in typed {
            if self.keys.get(self.matched) == Some(&byte) {
                self.matched += 1;
                if self.matched == self.keys.len() {
                    self.matched = 0;
                    return (through, true);
                }
                continue;
            }
            through.extend_from_slice(&self.keys[..self.matched]);
            self.matched = 0;
            match self.keys.first() == Some(&byte) {
                true => self.matched = 1,
                false => through.push(byte),
            }
            if self.matched == self.keys.len() && self.matched > 0 {
                self.matched = 0;
                return (through, true);
            }
        }
        (through, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keys_are_found_across_reads() {
        let mut keys = Keys::new(vec![0x10, 0x11]);
        assert_eq!(keys.filter(b"ab"), (b"ab".to_vec(), false));
        assert_eq!(keys.filter(b"c\x10"), (b"c".to_vec(), false));
        assert_eq!(keys.filter(b"d"), (b"\x10d".to_vec(), false));
        assert_eq!(keys.filter(b"\x10"), (Vec::new(), false));
        assert_eq!(keys.filter(b"\x10\x11x"), (b"\x10".to_vec(), true));
        assert_eq!(Keys::new(vec![b'q']).filter(b"aqb"), (b"a".to_vec(), true));
        assert_eq!(
            Keys::new(Vec::new()).filter(b"\x10\x11"),
            (b"\x10\x11".to_vec(), false)
        );
    }

    proptest! {
        #[test]
        fn nothing_is_lost_without_the_keys(typed in prop::collection::vec(0u8..4, 0..50)) {
            let mut keys = Keys::new(vec![1, 2, 3]);
            let (mut through, found) = keys.filter(&typed);
            if !found {
                through.extend_from_slice(&keys.keys[..keys.matched]);
                prop_assert_eq!(through, typed);
            }
        }
    }
}

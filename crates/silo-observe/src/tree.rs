//! Processes ordered as a forest: parents before children, siblings by age.
//!
//! Called by `ps --forest` and `top`. Without recursion: a hostile container can nest processes as deep as its pid limit.

use std::collections::HashMap;

use crate::Process;

/// Deeper levels are drawn at this depth, or the guide lines of a chain of n processes would take n² bytes.
const MAX_DEPTH: usize = 48;

/// Where one process stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Position in the list given.
    pub index: usize,
    /// One entry for each level below the root, from the outermost to its own: true when a sibling follows at that level.
    /// Its length is the depth; a root has none.
    pub more: Vec<bool>,
}

impl Placed {
    /// The guide lines with these pieces: `through` and `blank` for the levels above, `branch` and `last` for its own.
    pub fn prefix(&self, through: &str, blank: &str, branch: &str, last: &str) -> String {
        let Some((own, above)) = self.more.split_last() else {
            return String::new();
        };
        let mut text = String::new();
        for more in above {
            text.push_str(if *more { through } else { blank });
        }
        text.push_str(if *own { branch } else { last });
        text
    }
}

/// The forest of a list; a process whose parent is not in the list is a root.
pub fn forest(processes: &[Process]) -> Vec<Placed> {
    let position: HashMap<i32, usize> = processes
        .iter()
        .enumerate()
        .map(|(index, p)| (p.host_pid, index))
        .collect();
    let mut children: HashMap<usize, Vec<usize>> = HashMap::new();
    let mut roots = Vec::new();
    for (index, process) in processes.iter().enumerate() {
        match position.get(&process.host_ppid) {
            Some(parent) if *parent != index => children.entry(*parent).or_default().push(index),
            _ => roots.push(index),
        }
    }
    let age = |index: &usize| (processes[*index].start_time, processes[*index].host_pid);
    roots.sort_by_key(age);
    for siblings in children.values_mut() {
        siblings.sort_by_key(age);
    }
    let mut placed = Vec::with_capacity(processes.len());
    let mut seen = vec![false; processes.len()];
    for root in roots {
        place(root, &children, &mut seen, &mut placed);
    }
    // Numbers reused between two reads can make a cycle, which has no root.
    for index in 0..processes.len() {
        if !seen[index] {
            place(index, &children, &mut seen, &mut placed);
        }
    }
    placed
}

fn place(
    root: usize,
    children: &HashMap<usize, Vec<usize>>,
    seen: &mut [bool],
    placed: &mut Vec<Placed>,
) {
    let mut open = vec![(root, Vec::new())];
    while let Some((index, more)) = open.pop() {
        if std::mem::replace(&mut seen[index], true) {
            continue;
        }
        let below = children.get(&index).map_or(&[][..], Vec::as_slice);
        for (place, child) in below.iter().enumerate().rev() {
            let mut guides = more.clone();
            guides.truncate(MAX_DEPTH - 1);
            guides.push(place + 1 < below.len());
            open.push((*child, guides));
        }
        placed.push(Placed { index, more });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn process(host_pid: i32, host_ppid: i32) -> Process {
        Process {
            host_pid,
            host_ppid,
            start_time: host_pid as u64,
            ..Process::default()
        }
    }

    #[test]
    fn drawn_as_ps_draws() {
        let list = [
            process(1, 0),
            process(2, 1),
            process(3, 2),
            process(4, 1),
            process(5, 4),
            process(9, 77),
        ];
        let drawn: Vec<String> = forest(&list)
            .iter()
            .map(|p| {
                format!(
                    "{}{}",
                    p.prefix(" |  ", "    ", r" \_ ", r" \_ "),
                    list[p.index].host_pid
                )
            })
            .collect();
        assert_eq!(
            drawn,
            ["1", r" \_ 2", r" |   \_ 3", r" \_ 4", r"     \_ 5", "9"]
        );
    }

    #[test]
    fn a_chain_of_many_is_drawn_in_little_room() {
        let list: Vec<Process> = (1..30_000).map(|pid| process(pid, pid - 1)).collect();
        let placed = forest(&list);
        assert_eq!(placed.len(), list.len());
        assert!(placed.iter().all(|p| p.more.len() <= MAX_DEPTH));
    }

    proptest! {
        #[test]
        fn each_process_once(parents in proptest::collection::vec(0i32..20, 0..20)) {
            let list: Vec<Process> = parents.iter().enumerate().map(|(i, p)| process(i as i32 + 1, *p)).collect();
            let mut seen: Vec<usize> = forest(&list).iter().map(|p| p.index).collect();
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..list.len()).collect::<Vec<_>>());
        }
    }
}

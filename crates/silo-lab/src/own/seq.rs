//! `seq [-s TEXT] [-w] [FIRST [STEP]] LAST`

use crate::cli;

pub fn main(args: &[String]) -> i32 {
    cli::answer("seq", sequence(args))
}

fn sequence(args: &[String]) -> Result<String, String> {
    // Negative numbers are operands, not options.
    let is_number = |word: &String| word.parse::<f64>().is_ok();
    let start = args.iter().position(is_number).unwrap_or(args.len());
    let options = cli::options(
        &args[..start],
        "s:w",
        &[("separator", 's'), ("equal-width", 'w')],
    )?;
    let numbers: Option<Vec<f64>> = args[start..]
        .iter()
        .map(|a| a.parse().ok().filter(|n: &f64| n.is_finite()))
        .collect();
    let numbers = numbers.ok_or("a number is malformed")?;
    let (first, step, last) = match numbers.as_slice() {
        [last] => (1.0, 1.0, *last),
        [first, last] => (*first, 1.0, *last),
        [first, step, last] if *step != 0.0 => (*first, *step, *last),
        _ => return Err("usage: seq [-s TEXT] [-w] [FIRST [STEP]] LAST".into()),
    };
    let decimals = args[start..]
        .iter()
        .filter_map(|a| a.split_once('.').map(|(_, d)| d.len()))
        .max()
        .unwrap_or(0);
    // Counting avoids the error that adding would pile up.
    let count = ((last - first) / step + 1e-9).floor();
    let count = if count < 0.0 { 0 } else { count as u64 + 1 };
    let mut words: Vec<String> = (0..count)
        .map(|i| format!("{:.decimals$}", first + i as f64 * step))
        .collect();
    if options.has('w') {
        let width = words.iter().map(String::len).max().unwrap_or(0);
        words = words
            .iter()
            .map(|w| {
                w.strip_prefix('-')
                    .map_or(format!("{w:0>width$}"), |d| format!("-{d:0>0$}", width - 1))
            })
            .collect();
    }
    if words.is_empty() {
        return Ok(String::new());
    }
    Ok(words.join(options.value('s').unwrap_or("\n")) + "\n")
}

#[cfg(test)]
mod tests {
    use super::sequence;

    #[test]
    fn sequences() {
        let seq = |text: &str| sequence(&text.split(' ').map(str::to_string).collect::<Vec<_>>());
        assert_eq!(seq("3").unwrap(), "1\n2\n3\n");
        assert_eq!(seq("-s , 2 -1 0").unwrap(), "2,1,0\n");
        assert_eq!(seq("0 0.1 0.3").unwrap(), "0.0\n0.1\n0.2\n0.3\n");
        assert_eq!(seq("-w 9 10").unwrap(), "09\n10\n");
        assert_eq!(seq("3 1").unwrap(), "");
        assert!(seq("a").is_err() && seq("1 0 2").is_err());
    }
}

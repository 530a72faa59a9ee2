//! Columns as Docker aligns them: at least ten wide, three spaces between, the last cell of a line as it is.

const LEAST: usize = 10;
const BETWEEN: usize = 3;

/// Lines whose cells are separated by tabs, to lines of equal columns.
pub fn align(lines: &str) -> String {
    align_to(lines, LEAST)
}

/// The columns of ps(1), each at least so wide.
pub fn align_cells(table: &silo_observe::ps::Table, least: usize) -> String {
    let header = table.show_header.then_some(&table.header);
    let lines: String = header
        .into_iter()
        .chain(&table.rows)
        .map(|cells| cells.join("\t") + "\n")
        .collect();
    align_to(&lines, least)
}

/// The same with another least width.
///
/// A column is as wide as its widest cell in the lines that have it, as in Go's text/tabwriter.
pub fn align_to(lines: &str, least: usize) -> String {
    let rows: Vec<Vec<&str>> = lines
        .lines()
        .map(|line| line.split('\t').collect())
        .collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let mut widths = vec![least; columns];
    for row in &rows {
        for (cell, width) in row[..row.len() - 1].iter().zip(&mut widths) {
            *width = (*width).max(cell.chars().count() + BETWEEN);
        }
    }
    let mut out = String::with_capacity(lines.len() * 2);
    for row in &rows {
        let (last, cells) = row.split_last().unwrap_or((&"", &[]));
        for (cell, width) in cells.iter().zip(&widths) {
            out.push_str(cell);
            out.extend(std::iter::repeat_n(' ', width - cell.chars().count()));
        }
        out.push_str(last);
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_dockers() {
        assert_eq!(
            align("CONTAINER ID\tIMAGE\tNAMES\nabcdefabcdef\tlab\tx\n"),
            "CONTAINER ID   IMAGE     NAMES\nabcdefabcdef   lab       x\n"
        );
        assert_eq!(align("a\tb\nc\n\n"), "a         b\nc\n\n");
        assert_eq!(align(""), "");
        assert_eq!(align("é…\tx\n"), "é…        x\n");
    }
}

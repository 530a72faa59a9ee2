//! The picture of a lab: the step and its command above, two panes below. Works at 80 by 24; wide terminals have the panes
//! side by side. Nothing is said by colour alone.

use ratatui_core::{
    buffer::Buffer,
    layout::Rect,
    style::{Color, Modifier, Style},
    terminal::Frame,
    text::{Line, Span},
    widgets::Widget,
};

use super::{live::Editor, pane::Pane, record::Checked, script::Pane as Which, vt};
use crate::output::wrap;

/// Panes are beside each other from so many columns on.
const WIDE: u16 = 140;

/// Rows above the panes: at 24 rows, and what more rows add at most.
const ABOVE: u16 = 9;
const ABOVE_TALL: u16 = 14;

const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);
const FAINT: Style = Style::new().add_modifier(Modifier::DIM);
const TASK: Style = Style::new().add_modifier(Modifier::REVERSED);
const GOOD: Style = Style::new().fg(Color::Blue);
const ALERT: Style = Style::new().fg(Color::Yellow).add_modifier(Modifier::BOLD);

/// Everything for one picture.
pub struct Picture<'a> {
    pub title: String,
    pub text: Vec<String>,
    /// Where, what, and whether it is a line to type (else a key).
    pub task: Option<(Which, String, bool)>,
    pub started: bool,
    /// It is the last step.
    pub last: bool,
    pub checks: Vec<Checked>,
    pub hint: Option<String>,
    pub said: &'a str,
    /// What held of the command before; empty: it is being checked, or there was none.
    pub held: &'a str,
    pub focus: Which,
    pub outside: (&'a Pane, &'a Editor),
    pub inside: (&'a Pane, &'a Editor),
}

fn above((rows, _): (u16, u16)) -> u16 {
    match rows {
        0..=30 => ABOVE,
        _ => ABOVE_TALL,
    }
}

/// Rows and columns of a pane's inside, on a terminal of this size.
pub fn pane_size(size: (u16, u16)) -> (u16, u16) {
    let (rows, columns) = size;
    let below = rows.saturating_sub(above(size) + 1);
    match columns >= WIDE {
        true => (
            below.saturating_sub(1).max(1),
            (columns / 2).saturating_sub(1).max(10),
        ),
        false => ((below / 2).saturating_sub(1).max(1), columns.max(10)),
    }
}

pub fn draw(frame: &mut Frame<'_>, picture: &Picture<'_>) {
    let area = frame.area();
    let buffer = frame.buffer_mut();
    if area.width < 40 || area.height < 16 {
        put(
            buffer,
            area,
            0,
            "make the window larger: 80 columns and 24 rows",
            BOLD,
        );
        return;
    }
    let size = (area.height, area.width);
    let top = above(size);
    heading(
        buffer,
        Rect {
            height: top,
            ..area
        },
        picture,
    );
    let (rows, columns) = pane_size(size);
    let place = |x: u16, y: u16| Rect::new(x, y, columns, rows + 1);
    let (first, second) = match area.width >= WIDE {
        true => (place(0, top), place(area.width / 2 + 1, top)),
        false => (place(0, top), place(0, top + rows + 1)),
    };
    pane(
        buffer,
        first,
        Which::Inside,
        picture.inside,
        picture.focus == Which::Inside,
    );
    pane(
        buffer,
        second,
        Which::Outside,
        picture.outside,
        picture.focus == Which::Outside,
    );
    let keys = match area.width {
        0..=99 => "^T type it for me  ^O other pane  ^N skip  ^B back  ^G hint  ^X end",
        _ => {
            "Ctrl-T type it for me · Ctrl-O other pane · Ctrl-N skip: the rest of the step is typed · Ctrl-B back · Ctrl-G hint · Ctrl-X end"
        }
    };
    put(buffer, area, area.height - 1, keys, FAINT);
}

/// Title, text, command, checks; what has no room of the text is left out first.
fn heading(buffer: &mut Buffer, area: Rect, picture: &Picture<'_>) {
    put(buffer, area, 0, &picture.title, BOLD);
    let width = usize::from(area.width);
    let tail = tail(picture, width);
    let room = usize::from(area.height).saturating_sub(1 + tail.len());
    let text: Vec<String> = picture
        .text
        .iter()
        .flat_map(|paragraph| wrap(paragraph, width))
        .collect();
    for (at, line) in text.iter().take(room).enumerate() {
        let cut = at + 1 == room && text.len() > room;
        let line = if cut {
            format!("{line} …")
        } else {
            line.clone()
        };
        put(buffer, area, at as u16 + 1, &line, Style::new());
    }
    let from = 1 + text.len().min(room);
    for (at, line) in tail.into_iter().enumerate() {
        let y = (from + at) as u16;
        if y < area.height {
            line.render(Rect::new(area.x, area.y + y, area.width, 1), buffer);
        }
    }
}

/// What must be seen: the command, its checks, a hint.
fn tail(picture: &Picture<'_>, width: usize) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    if !picture.held.is_empty() {
        for (at, line) in wrap(picture.held, width.saturating_sub(2))
            .into_iter()
            .take(2)
            .enumerate()
        {
            let mark = if at == 0 { "\u{2713} " } else { "  " };
            lines.push(Line::from(vec![
                Span::styled(mark, GOOD),
                Span::styled(line, GOOD),
            ]));
        }
    }
    match &picture.task {
        Some((pane, what, is_line)) => {
            let verb = if *is_line { "type" } else { "press" };
            let head = format!("{verb} {}: ", pane.word());
            let wrapped = wrap(what, width.saturating_sub(head.chars().count()).max(20));
            for (at, piece) in wrapped.iter().take(2).enumerate() {
                let head = if at == 0 {
                    head.clone()
                } else {
                    " ".repeat(head.chars().count())
                };
                lines.push(Line::from(vec![
                    Span::styled(head, BOLD),
                    Span::styled(piece.clone(), TASK),
                ]));
            }
        }
        None if picture.last => lines.push(Line::styled("all done · Enter ends the lab", ALERT)),
        None => lines.push(Line::styled("done · Enter goes on to the next step", ALERT)),
    }
    if let Some(hint) = &picture.hint {
        lines.extend(
            wrap(&format!("hint: {hint}"), width)
                .into_iter()
                .take(2)
                .map(|line| Line::styled(line, ALERT)),
        );
    }
    if !picture.said.is_empty() {
        lines.extend(
            wrap(picture.said, width)
                .into_iter()
                .take(2)
                .map(|line| Line::styled(line, ALERT)),
        );
    }
    // Those that do not hold yet first: they say what is waited for.
    let mut checks: Vec<&Checked> = picture.checks.iter().collect();
    checks.sort_by_key(|check| check.holds);
    for check in checks.into_iter().take(3) {
        let (mark, style) = match (check.holds, picture.started) {
            (true, _) => ("\u{2713}", GOOD),
            (false, true) => ("…", ALERT),
            (false, false) => ("·", FAINT),
        };
        let text = if picture.started {
            check.text()
        } else {
            check.words.clone()
        };
        let text: String = text.chars().take(width.saturating_sub(2)).collect();
        lines.push(Line::from(vec![
            Span::styled(format!("{mark} "), style),
            Span::raw(text),
        ]));
    }
    lines
}

fn pane(
    buffer: &mut Buffer,
    area: Rect,
    which: Which,
    (pane, editor): (&Pane, &Editor),
    focused: bool,
) {
    let what = match (which, pane.is_taken()) {
        (_, true) => format!(" {} ─ {} ", which.word(), pane.holder),
        (Which::Inside, false) => " inside: no container here yet, this is the host ".to_owned(),
        (Which::Outside, false) => " outside: the host ".to_owned(),
    };
    let width = usize::from(area.width);
    let what: String = what.chars().take(width.saturating_sub(4)).collect();
    let mark = if focused { "━" } else { "─" };
    let rule = format!(
        "{mark}{mark}{what}{}",
        mark.repeat(width.saturating_sub(what.chars().count() + 2))
    );
    put(buffer, area, 0, &rule, if focused { BOLD } else { FAINT });
    let rows = usize::from(area.height.saturating_sub(1));
    match pane.session() {
        Some(session) => {
            show(buffer, area, session.vt.last(rows), 0);
            if let (true, Some((row, column))) = (focused, session.vt.cursor(rows)) {
                cursor(buffer, area, row, column);
            }
        }
        None => {
            // The prompt stands on the last row that is needed.
            let past = pane.past.last(rows.saturating_sub(1) + 1);
            let past = match past.split_last() {
                Some((last, before)) if last.letters.is_empty() => before,
                _ => past,
            };
            let shown = &past[past.len().saturating_sub(rows.saturating_sub(1))..];
            show(buffer, area, shown, 0);
            let row = shown.len();
            let prompt = format!("$ {}", editor.line);
            let skipped = prompt
                .chars()
                .count()
                .saturating_sub(width.saturating_sub(1));
            let prompt: String = prompt.chars().skip(skipped).collect();
            put(buffer, area, row as u16 + 1, &prompt, Style::new());
            if focused {
                cursor(buffer, area, row, prompt.chars().count());
            }
        }
    }
}

fn show(buffer: &mut Buffer, area: Rect, lines: &[vt::Line], from: usize) {
    for (at, line) in lines.iter().enumerate() {
        let spans: Vec<Span<'_>> = line
            .letters
            .iter()
            .map(|(letter, look)| Span::styled(letter.to_string(), style(*look)))
            .collect();
        let y = area.y + 1 + (from + at) as u16;
        if y < area.bottom() {
            Line::from(spans).render(Rect::new(area.x, y, area.width, 1), buffer);
        }
    }
}

fn style(look: vt::Look) -> Style {
    let mut style = Style::new();
    if look.bold {
        style = style.add_modifier(Modifier::BOLD);
    }
    if look.faint {
        style = style.add_modifier(Modifier::DIM);
    }
    let colours = [
        Color::Black,
        Color::Red,
        Color::Green,
        Color::Yellow,
        Color::Blue,
        Color::Magenta,
        Color::Cyan,
        Color::White,
    ];
    match look
        .colour
        .and_then(|number| colours.get(usize::from(number)))
    {
        Some(colour) => style.fg(*colour),
        None => style,
    }
}

fn cursor(buffer: &mut Buffer, area: Rect, row: usize, column: usize) {
    let (x, y) = (area.x + column as u16, area.y + 1 + row as u16);
    if x < area.right() && y < area.bottom() {
        buffer[(x, y)].set_style(TASK);
    }
}

fn put(buffer: &mut Buffer, area: Rect, row: u16, text: &str, style: Style) {
    if row < area.height {
        Line::styled(text.to_owned(), style)
            .render(Rect::new(area.x, area.y + row, area.width, 1), buffer);
    }
}

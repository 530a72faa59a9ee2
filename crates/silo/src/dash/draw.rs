//! The picture: host, containers, what lies below, and what lies over all. Works at 80 by 24; what has no room is left out.
//!
//! Nothing is said by colour alone: shares have numbers, trouble has words, and each container has a letter in the memory bar.

use ratatui_core::{
    buffer::Buffer,
    layout::Rect,
    style::{Color, Modifier, Style},
    terminal::Frame,
    text::{Line, Span},
    widgets::Widget,
};
use ratatui_widgets::{block::Block, borders::Borders, clear::Clear, paragraph::Paragraph};

use super::app::{App, Focus, Over, SIGNALS, View};
use crate::{
    live::{Entry, Host, LINE},
    output::{ellipsis, short_span},
    plot::{memory, sparkline},
};

/// Everything for one picture.
pub struct Picture<'a> {
    pub host: &'a Host,
    /// In order, filtered.
    pub entries: &'a [&'a Entry],
    pub below: &'a Below,
}

/// The lower half: a heading and lines, one of which may be chosen.
#[derive(Debug, Default)]
pub struct Below {
    pub heading: String,
    pub lines: Vec<Line<'static>>,
    /// So many lines behind the first, a header, are a list to move in; 0: it is none.
    pub choosable: usize,
}

pub const ALERT: Style = Style::new().fg(Color::Red).add_modifier(Modifier::BOLD);
pub const GOOD: Style = Style::new().fg(Color::Blue);
pub const FAINT: Style = Style::new().add_modifier(Modifier::DIM);
pub const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);
const CHOSEN: Style = Style::new().add_modifier(Modifier::REVERSED);

/// From so many columns on there is room for everything.
pub const WIDE: u16 = 100;

/// And from so many for long names and whole words.
const WIDER: u16 = 125;

/// From here on the line of the last sixty seconds has a cell for each.
const WIDEST: u16 = 180;

/// Letters of containers in the memory bar and the list.
const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

fn letter(at: usize) -> char {
    LETTERS.get(at).map_or('+', |letter| char::from(*letter))
}

pub fn draw(frame: &mut Frame<'_>, app: &mut App, picture: &Picture<'_>) {
    let area = frame.area();
    if area.width < 40 || area.height < 10 {
        frame.render_widget(Paragraph::new("make the window larger"), area);
        return;
    }
    let host_height = 4;
    let rest = area.height - host_height - 3;
    let wanted = picture.entries.len().max(1) as u16;
    let list = wanted.clamp(3, (rest / 2).max(3)).min(rest);
    let below = rest - list;
    let row = |y: u16, height: u16| Rect::new(0, y, area.width, height);
    let buffer = frame.buffer_mut();
    host(picture, row(0, host_height), buffer);
    app.drawn(picture.entries.len(), picture.below.choosable);
    containers(app, picture, row(host_height, list + 1), buffer);
    tabs(app, picture, row(host_height + list + 1, 1), buffer);
    lower(app, picture, row(host_height + list + 2, below), buffer);
    footer(app, row(area.height - 1, 1), buffer);
    over(app, picture, area, buffer);
}

fn host(picture: &Picture<'_>, area: Rect, buffer: &mut Buffer) {
    let host = picture.host;
    let cores = sparkline(host.cpus.iter().map(|share| Some(*share)), 1.0);
    let mean = host.cpus.iter().sum::<f64>() / host.cpus.len().max(1) as f64;
    let each: Vec<String> = match host.cpus.len() {
        0..=8 => host
            .cpus
            .iter()
            .map(|share| format!("{:3.0}%", share * 100.0))
            .collect(),
        _ => Vec::new(),
    };
    let cpu = vec![
        Span::styled("cpu  ", BOLD),
        Span::styled(cores, GOOD),
        Span::raw(format!(
            "  {:.0} % of {} ·{}  load {:.2}",
            mean * 100.0,
            host.cpus.len(),
            each.join(" "),
            host.load
        )),
    ];
    line(Line::from(cpu), area, 0, buffer);
    line(memory_bar(picture, area.width), area, 1, buffer);
    line(pressures(host), area, 2, buffer);
    let rule = "─".repeat(usize::from(area.width));
    line(Line::styled(rule, FAINT), area, 3, buffer);
}

/// One cell of the bar for each share of memory: containers by their letters, other processes, cache, free.
fn memory_bar(picture: &Picture<'_>, width: u16) -> Line<'static> {
    let info = &picture.host.memory;
    let total = info.total.max(1);
    let room = usize::from(width).saturating_sub(28);
    let cells = |bytes: u64| (bytes as f64 / total as f64 * room as f64).round() as usize;
    let used = total.saturating_sub(info.available);
    let mut spans = vec![Span::styled("mem  ", BOLD)];
    let mut filled = 0;
    let mut of_containers = 0u64;
    for (at, entry) in picture.entries.iter().enumerate() {
        of_containers += entry.memory();
        // Sums are rounded, not parts: many small ones are seen as well.
        let upto = cells(of_containers).min(room);
        if upto > filled {
            let style = match at % 2 {
                0 => Style::new().fg(Color::Black).bg(Color::Cyan),
                _ => Style::new().fg(Color::Black).bg(Color::Yellow),
            };
            spans.push(Span::styled(
                letter(at).to_string().repeat(upto - filled),
                style,
            ));
            filled = upto;
        }
    }
    let mut fill = |upto: u64, mark: &str, style: Style| {
        let upto = cells(upto).min(room);
        if upto > filled {
            spans.push(Span::styled(mark.repeat(upto - filled), style));
            filled = upto;
        }
    };
    fill(used, "▓", Style::new());
    fill(total.saturating_sub(info.free), "░", FAINT);
    fill(total, "·", FAINT);
    let nearly_gone = info.available < total / 20;
    let text = format!(" {} of {}", memory(used as f64), memory(total as f64));
    spans.push(match nearly_gone {
        true => Span::styled(format!("{text} nearly gone"), ALERT),
        false => Span::raw(text),
    });
    Line::from(spans)
}

fn pressures(host: &Host) -> Line<'static> {
    let info = &host.memory;
    let swap = match info.swap_total {
        0 => "none".to_owned(),
        total => format!(
            "{} of {}",
            memory(total.saturating_sub(info.swap_free) as f64),
            memory(total as f64)
        ),
    };
    let mut spans = vec![
        Span::styled("swap ", BOLD),
        Span::raw(format!("{swap} · ")),
        Span::styled("▓", Style::new()),
        Span::raw(" other ░ cache · pressure"),
    ];
    for (name, share) in ["cpu", "mem", "io"].iter().zip(host.pressure) {
        let text = match share {
            Some(share) => format!(" {name} {share:.0} %"),
            None => format!(" {name} -"),
        };
        let style = match share {
            Some(share) if share >= 20.0 => ALERT,
            _ => Style::new(),
        };
        spans.push(Span::styled(text, style));
    }
    Line::from(spans)
}

fn containers(app: &mut App, picture: &Picture<'_>, area: Rect, buffer: &mut Buffer) {
    let wide = area.width >= WIDE;
    let room = Room {
        wide,
        events: app.events && !wide,
        short: wide && area.width < WIDER,
        line: if area.width >= WIDEST { LINE } else { 10 },
    };
    let name = if area.width >= WIDER { 24 } else { 13 };
    let cells = room.line;
    let mut head = format!(
        "   {:<name$} {:<6} {:>6} {:>6} {:<cells$} {:>4} {:>6} {:>5} {:>4} {:>4} {:>3}",
        "NAME",
        "STATE",
        "CPU%",
        "OF LIM",
        "LAST 60 S",
        "THR%",
        "MEM",
        "OF L.",
        "PRES",
        "PIDS",
        "RST"
    );
    if room.events {
        head = format!(
            "   {:<name$} {:<6} {:>4}  LAST EVENT",
            "NAME", "STATE", "ZOM"
        );
    }
    if wide {
        head += "  ZOM  LAST EVENT";
    }
    line(Line::styled(head, BOLD), area, 0, buffer);
    let rows = usize::from(area.height) - 1;
    app.places.page = rows;
    let first = app.container.saturating_sub(rows.saturating_sub(1));
    app.places.containers = (area.y + 1, area.height - 1);
    if picture.entries.is_empty() {
        let text = match app.filter.is_empty() {
            true => "   no containers: start one with 'silo run'",
            false => "   no container's name has this filter in it",
        };
        line(Line::styled(text, FAINT), area, 1, buffer);
    }
    for (row, (at, entry)) in picture
        .entries
        .iter()
        .enumerate()
        .skip(first)
        .take(rows)
        .enumerate()
    {
        let mut text = container_line(entry, at, name, room);
        if at == app.container {
            // Reversed, the empty cells of a coloured line would be a bar.
            for span in text.spans.iter_mut().filter(|span| span.style == GOOD) {
                span.style = Style::new();
            }
            text = text.style(match app.focus {
                Focus::Containers => CHOSEN,
                Focus::Below => BOLD,
            });
        }
        line(text, area, row as u16 + 1, buffer);
    }
    // Clicks count from the first that is shown.
    app.places.containers.0 = app.places.containers.0.saturating_sub(first as u16);
    app.places.containers.1 += first as u16;
}

/// How much a line may say.
#[derive(Clone, Copy)]
struct Room {
    wide: bool,
    /// What happened last instead of what is used.
    events: bool,
    /// What happened last in short.
    short: bool,
    /// Cells of the line of the last sixty seconds: as many or a part of it.
    line: usize,
}

fn container_line(entry: &Entry, at: usize, name: usize, room: Room) -> Line<'static> {
    let state = &entry.container.state;
    let status = state.status.as_str();
    let title = ellipsis(entry.container.name(), name);
    let Some(glance) = entry.glance else {
        let code = match state.started {
            0 => String::new(),
            _ => format!("  exit {}", state.exit_code),
        };
        let text = format!(
            " {} {title:<name$} {:<6}{code}",
            letter(at),
            ellipsis(status, 6)
        );
        return Line::styled(text, FAINT);
    };
    if room.events {
        let status = if status == "running" { "up" } else { status };
        return Line::raw(format!(
            " {} {title:<name$} {status:<6} {:>4}  {}",
            letter(at),
            entry.zombies,
            event(entry, false)
        ));
    }
    let (moment, step) = (&glance.moment, &glance.step);
    let share = |part: f64, whole: u64| match whole {
        0 => "-".to_owned(),
        whole => format!("{:.0}%", part * 100.0 / whole as f64),
    };
    let top = match moment.cpu_limit {
        0 => entry
            .line
            .iter()
            .fold(10.0, |high: f64, value| high.max(*value)),
        limit => limit as f64,
    };
    let line = spark(entry, top, room.line);
    let pressure = step
        .cpu_pressure
        .max(step.memory_pressure)
        .max(step.io_pressure)
        * 100.0;
    let full = moment.memory_limit > 0 && moment.held * 10 > moment.memory_limit * 9;
    let alert = |bad: bool| if bad { ALERT } else { Style::new() };
    let mut spans = vec![
        Span::raw(format!(
            " {} {title:<name$} {:<6} {:>6.1} {:>6} ",
            letter(at),
            if status == "running" { "up" } else { status },
            step.cpu / 10.0,
            share(step.cpu, moment.cpu_limit)
        )),
        Span::styled(line, GOOD),
        Span::styled(
            format!(" {:>4.0}", step.throttled * 100.0),
            alert(step.throttled > 0.25),
        ),
        Span::styled(
            format!(
                " {:>6} {:>5}",
                memory(moment.held as f64),
                share(moment.held as f64, moment.memory_limit)
            ),
            alert(full),
        ),
        Span::styled(format!(" {pressure:>4.0}"), alert(pressure >= 20.0)),
        Span::raw(format!(" {:>4} {:>3}", moment.pids, state.restart_count)),
    ];
    if room.wide {
        spans.push(Span::styled(
            format!("  {:>3}", entry.zombies),
            alert(entry.zombies > 0),
        ));
        spans.push(Span::raw(format!("  {}", event(entry, room.short))));
    }
    Line::from(spans)
}

/// The last sixty seconds in so many cells: of the seconds of each the highest.
fn spark(entry: &Entry, top: f64, cells: usize) -> String {
    let values: Vec<f64> = entry.line.iter().copied().collect();
    let missing = LINE - values.len().min(LINE);
    let each = LINE / cells;
    let cell = |n: usize| {
        let place = |second: usize| second.checked_sub(missing).and_then(|at| values.get(at));
        let seen = (n * each..(n + 1) * each).filter_map(place);
        seen.copied().fold(None, |high: Option<f64>, v| {
            Some(high.map_or(v, |h| h.max(v)))
        })
    };
    sparkline((0..cells).map(cell), top)
}

/// What happened last, from the state.
fn event(entry: &Entry, short: bool) -> String {
    let state = &entry.container.state;
    let span = |moment: u64| short_span(crate::output::ago(moment));
    let ago = |moment: u64| crate::output::duration(crate::output::ago(moment)).to_lowercase();
    match state.victims.last() {
        Some(victim) if victim.time >= state.started && short => {
            format!("OOM {} ago", span(victim.time))
        }
        Some(victim) if victim.time >= state.started => {
            format!("out of memory {} ago", ago(victim.time))
        }
        _ if short => format!("started {}", span(state.started)),
        _ => format!("started {} ago", ago(state.started)),
    }
}

fn tabs(app: &mut App, picture: &Picture<'_>, area: Rect, buffer: &mut Buffer) {
    app.places.tabs = area.y;
    let mut spans: Vec<Span<'static>> = Vec::new();
    for (at, view) in View::ALL.into_iter().enumerate() {
        let text = format!(" {} {} ", at + 1, view.title());
        spans.push(match view == app.view {
            true => Span::styled(text, BOLD.add_modifier(Modifier::UNDERLINED)),
            false => Span::styled(text, FAINT),
        });
    }
    spans.push(Span::raw(picture.below.heading.clone()));
    line(Line::from(spans), area, 0, buffer);
}

fn lower(app: &mut App, picture: &Picture<'_>, area: Rect, buffer: &mut Buffer) {
    let rows = usize::from(area.height);
    let below = picture.below;
    // The first line is a header that stays.
    let choosable = below.choosable > 0;
    let first = match choosable {
        true => app.line.saturating_sub(rows.saturating_sub(2)),
        false => 0,
    };
    app.places.below = match choosable {
        true => (
            (area.y + 1).saturating_sub(first as u16),
            area.height + first as u16,
        ),
        false => (0, 0),
    };
    let header = usize::from(choosable);
    for (row, text) in below.lines.iter().take(header).enumerate() {
        line(text.clone(), area, row as u16, buffer);
    }
    let shown = below
        .lines
        .iter()
        .enumerate()
        .skip(header + first)
        .take(rows.saturating_sub(header));
    for (row, (at, text)) in shown.enumerate() {
        let listed = choosable && app.focus == Focus::Below;
        let chosen = listed && at == app.line + 1;
        let text = match chosen {
            true => text.clone().style(CHOSEN),
            false => text.clone(),
        };
        line(text, area, (row + header) as u16, buffer);
    }
}

fn footer(app: &App, area: Rect, buffer: &mut Buffer) {
    let text = match (&app.over, app.message.as_str()) {
        (Over::Filter, _) => format!(" filter: {}▏  Enter keeps it, Esc drops it", app.filter),
        (_, "") => {
            let order = if app.reversed { " reversed" } else { "" };
            let filter = match app.filter.is_empty() {
                true => String::new(),
                false => format!(" filter '{}' ·", app.filter),
            };
            format!(
                "{filter} ? help · Tab list · 1-5 view · s sort: {}{order} · / filter · k kill · q quit",
                app.sort.title()
            )
        }
        (_, message) => format!(" {message}"),
    };
    line(Line::styled(text, CHOSEN), area, 0, buffer);
}

const HELP: [&str; 20] = [
    "Tab, Enter     the other list                1-5, v   the view below",
    "Up, Down       choose, also with the mouse   PgUp PgDn Home End",
    "s              sort by the next column       r        the other way round",
    "/              filter by name                Esc      no filter",
    "k              send a signal: to the container, or below to a process",
    "+ -            in the limits: a tenth more, less   u  undo",
    "Left, Right    in the timeline: back and forth; z 10 minutes, 2 hours, a day",
    "a              in the processes: all of the host",
    "e              zombies and what happened last, in a narrow window",
    "?              this help                     q        end",
    "OF LIM, OF L.  share of the container's limit of processors, memory",
    "THR%           share of the periods in which its CPU quota was used up",
    "MEM            what cannot be dropped: without file cache; RST restarts",
    "PRES           share of the time in which some process of it waited",
    "PRIVATE        memory that no other process shares; RSS with what is shared",
    "OOM            whom the kernel kills first when memory ends: the highest",
    "a b c …        the letter of a container in the memory bar above",
    "HOST-PID       what the host calls a process; PID: what it calls itself",
    "S              R runs, S sleeps, D waits for a disk, T stopped, Z zombie: ended",
    "SHARED         a namespace that is the host's: nothing isolates there",
];

fn over(app: &App, picture: &Picture<'_>, area: Rect, buffer: &mut Buffer) {
    match app.over {
        Over::Help => {
            let lines: Vec<Line<'_>> = HELP.into_iter().map(Line::from).collect();
            boxed(" help: any key closes it ", lines, area, buffer);
        }
        Over::Kill(at) => {
            let whom = match (app.focus, app.view, picture.entries.get(app.container)) {
                (Focus::Below, View::Processes, _) => "a process".to_owned(),
                (_, _, Some(entry)) => entry.container.name().to_owned(),
                _ => String::new(),
            };
            let lines = SIGNALS.iter().enumerate().map(|(place, (_, text))| {
                let style = if place == at { CHOSEN } else { Style::new() };
                Line::styled(format!(" {text} "), style)
            });
            let title = format!(" signal to {whom}: Enter sends, Esc does not ");
            boxed(&title, lines.collect(), area, buffer);
        }
        Over::None | Over::Filter => {}
    }
}

fn boxed(title: &str, lines: Vec<Line<'_>>, area: Rect, buffer: &mut Buffer) {
    let longest = lines.iter().map(Line::width).max().unwrap_or(0);
    let width = (longest.max(title.chars().count()) as u16 + 4).min(area.width);
    let height = (lines.len() as u16 + 2).min(area.height);
    let place = Rect::new(
        (area.width - width) / 2,
        (area.height - height) / 2,
        width,
        height,
    );
    Clear.render(place, buffer);
    let block = Block::default().borders(Borders::ALL).title(title);
    Paragraph::new(lines).block(block).render(place, buffer);
}

fn line(text: Line<'_>, area: Rect, row: u16, buffer: &mut Buffer) {
    if row < area.height {
        text.render(Rect::new(area.x, area.y + row, area.width, 1), buffer);
    }
}

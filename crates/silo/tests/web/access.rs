//! The page for everybody: what a screen reader is told (the browser's accessibility tree), what a keyboard reaches, what weak
//! eyes can tell apart. Skipped where there is no Chromium.

use serde_json::{Value, json};

use crate::{
    browser::Browser,
    common::{Host, until},
    server::Web,
};

const VIEWS: [&str; 5] = ["processes", "namespaces", "limits", "timeline", "logs"];

/// A page with something to show in each of its panes.
fn page(host: &Host, flags: &[&str]) -> Option<(Browser, Web)> {
    let mut browser = Browser::start(host)?;
    let script = "echo a line; sleep 600";
    let run = [
        "run",
        "-d",
        "--name",
        "box",
        "--network",
        "none",
        "-m",
        "64m",
        "--cpus",
        "0.5",
    ];
    host.ok(&[&run[..], &["lab", "sh", "-c", script]].concat());
    host.idle("other", &[]);
    let web = Web::start(host, flags);
    browser.open(&web.url);
    let row = "[...document.querySelectorAll('.containers tbody tr')].find((row) => row.querySelector('.name').textContent === 'box')";
    browser.until("the container", &format!("({row}.click(), true)"));
    Some((browser, web))
}

fn turn_to(browser: &mut Browser, view: &str) {
    browser.click(&format!("#tab-{view}"));
    let full = match view {
        "processes" => "document.querySelectorAll('.processes tbody tr').length > 0",
        "namespaces" => "document.querySelectorAll('.grid tbody tr').length > 1",
        "limits" => "document.querySelector('#panel-limits svg').getAttribute('aria-label')",
        "timeline" => "document.querySelector('#panel-timeline svg').getAttribute('aria-label')",
        _ => "document.querySelectorAll('.log li').length > 0",
    };
    browser.until(view, full);
}

/// The nodes that a screen reader is told of, as (role, name, all).
fn told(browser: &mut Browser) -> Vec<(String, String, Value)> {
    let tree = browser.call("Accessibility.getFullAXTree", json!({}));
    let nodes = tree["nodes"].as_array().unwrap();
    let text = |node: &Value, field: &str| {
        let value = node[field]["value"].as_str().unwrap_or_default();
        value.trim().to_owned()
    };
    nodes
        .iter()
        .filter(|node| node["ignored"] != true)
        .map(|node| (text(node, "role"), text(node, "name"), node.clone()))
        .collect()
}

#[track_caller]
fn has(nodes: &[(String, String, Value)], role: &str, name: &str) {
    let names: Vec<&str> = nodes
        .iter()
        .filter(|n| n.0 == role)
        .map(|n| n.1.as_str())
        .collect();
    assert!(
        names.iter().any(|n| n.starts_with(name)),
        "{role} {name:?} is none of {names:?}"
    );
}

/// Every control, picture and table has a role and a name, every table its headings, in all seven panes and at any width.
#[test]
fn a_screen_reader_is_told_all() {
    const NAMED: [&str; 16] = [
        "button",
        "link",
        "textbox",
        "searchbox",
        "combobox",
        "slider",
        "tab",
        "checkbox",
        "radio",
        "img",
        "image",
        "table",
        "grid",
        "dialog",
        "tabpanel",
        "region",
    ];
    let host = Host::new();
    let Some((mut browser, web)) = page(&host, &["--control"]) else {
        return;
    };
    for width in [1440, 360] {
        browser.size(width, 900);
        for view in VIEWS {
            turn_to(&mut browser, view);
            let nodes = told(&mut browser);
            for (role, name, node) in &nodes {
                assert!(
                    !NAMED.contains(&role.as_str()) || !name.is_empty(),
                    "{view}: a nameless {role}: {node}"
                );
                // What can be reached by a keyboard and is no document is of a kind that says what it does.
                let list = node["properties"].as_array();
                let is_focusable = list
                    .into_iter()
                    .flatten()
                    .any(|p| p["name"] == "focusable" && p["value"]["value"] == true);
                let vague = ["generic", "none", "StaticText", "group", "paragraph"];
                assert!(
                    !is_focusable || !vague.contains(&role.as_str()),
                    "{view}: {node}"
                );
            }
            // Host and containers, always.
            has(&nodes, "region", "Host");
            has(&nodes, "image", "Memory: ");
            has(&nodes, "image", "Each processor: ");
            has(&nodes, "region", "Containers");
            has(&nodes, "grid", "Containers");
            has(&nodes, "row", "");
            has(&nodes, "tablist", "Views");
            has(&nodes, "status", "");
            has(&nodes, "image", "holds ");
            if width > 1190 {
                for title in ["Name", "CPU", "Throttled", "Memory", "Last event"] {
                    has(&nodes, "columnheader", title);
                }
            } else {
                has(&nodes, "combobox", "Sort");
            }
            match view {
                "processes" => {
                    has(&nodes, "table", "Processes");
                    has(&nodes, "columnheader", "Host pid");
                    has(&nodes, "columnheader", "Pid inside");
                }
                "namespaces" => {
                    has(&nodes, "table", "Namespaces");
                    has(&nodes, "columnheader", "net");
                    has(&nodes, "rowheader", "box");
                }
                "limits" => {
                    has(&nodes, "table", "Limits");
                    has(&nodes, "rowheader", "Processors");
                    has(&nodes, "textbox", "New limit: Memory");
                    has(&nodes, "image", "Memory, last 2 minutes from ");
                }
                "timeline" => {
                    has(&nodes, "slider", "Moment that is looked at");
                    has(&nodes, "image", "Processors from ");
                    has(&nodes, "group", "How far back");
                }
                _ => has(&nodes, "list", "Log of the chosen container"),
            }
        }
    }
    browser.is_content(&web.url);
}

/// Live regions say what has happened, once, and nothing of what moves each second.
#[test]
fn it_says_what_happened_and_does_not_chatter() {
    let host = Host::new();
    let Some((mut browser, web)) = page(&host, &[]) else {
        return;
    };
    turn_to(&mut browser, "timeline");
    browser.value("document.getElementById('scrub').focus()");
    browser.value(
        "(() => { window.heard = []; window.seconds = 0; \
         const note = (node) => { const text = node.textContent.trim(); if (text && window.heard.at(-1) !== text) window.heard.push(text); }; \
         for (const node of document.querySelectorAll('[aria-live], [role=status], [role=alert]')) new MutationObserver(() => note(node)).observe(node, { childList: true, characterData: true, subtree: true }); \
         const slider = document.getElementById('scrub'); \
         new MutationObserver(() => window.heard.push(slider.getAttribute('aria-valuetext'))).observe(slider, { attributes: true, attributeFilter: ['aria-valuetext'] }); \
         new MutationObserver(() => { window.seconds += 1; }).observe(document.querySelector('.cpu .figures, .host'), { childList: true, characterData: true, subtree: true }); })()",
    );
    browser.until("some seconds", "window.seconds >= 3");
    assert_eq!(browser.value("window.heard"), json!([]));
    host.ok(&["update", "-m", "48m", "box"]);
    browser.until(
        "the new limit",
        "window.heard.some((text) => text.startsWith('box: limits are now memory 48.0 MiB'))",
    );
    host.ok(&[
        "run",
        "-d",
        "--name",
        "hungry",
        "--network",
        "none",
        "-m",
        "16m",
        "lab",
        "sh",
        "-c",
        "sleep 4; saturate-mem; sleep 600",
    ]);
    browser.until(
        "out of memory",
        "window.heard.some((text) => text.startsWith('hungry: out of memory'))",
    );
    let heard = browser.value("window.heard");
    assert_eq!(heard.as_array().unwrap().len(), 2, "{heard}");
    browser.is_content(&web.url);
}

/// With Tab alone everything can be reached, in the order of the page, always seen, and left again; arrows move through time.
#[test]
fn a_keyboard_is_enough() {
    let host = Host::new();
    let Some((mut browser, web)) = page(&host, &["--control"]) else {
        return;
    };
    for view in VIEWS {
        turn_to(&mut browser, view);
        browser.value("document.activeElement.blur()");
        browser.value("window.getSelection().removeAllRanges()");
        let mut stops: Vec<String> = Vec::new();
        for _ in 0..80 {
            browser.key("Tab");
            let at = browser.value(
                "(() => { const e = document.activeElement; if (e === document.body) return ''; const s = getComputedStyle(e); \
                 const seen = s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 1 && e.getClientRects().length > 0; \
                 e.dataset.stop ??= String(window.stops = (window.stops ?? 0) + 1); \
                 return `${e.dataset.stop} ${seen ? 'seen' : 'UNSEEN'} ${e.id || e.getAttribute('role') || e.tagName} ${e.textContent.slice(0, 20)}`; })()",
            );
            let at = at.as_str().unwrap().to_owned();
            if at.is_empty() || stops.first() == Some(&at) {
                break;
            }
            assert!(!at.contains("UNSEEN"), "{view}: {at}");
            assert!(
                !stops.contains(&at),
                "{view}: back at {at} after {stops:#?}"
            );
            stops.push(at);
        }
        assert!(stops.len() > 8 && stops.len() < 80, "{view}: {stops:#?}");
        // As they lie in the page.
        let order = browser.value(
            "(() => { const all = [...document.querySelectorAll('[data-stop]')].filter((e) => e.getClientRects().length); return all.map((e) => e.dataset.stop); })()",
        );
        let place = |stop: &String| {
            let number = stop.split(' ').next().unwrap();
            order
                .as_array()
                .unwrap()
                .iter()
                .position(|one| one == number)
        };
        let places: Vec<_> = stops.iter().filter_map(place).collect();
        assert!(places.is_sorted(), "{view}: {stops:#?}");
        let wanted = [
            "theme",
            "help",
            "filter",
            "row-",
            &format!("tab-{view}"),
            &format!("panel-{view}"),
        ]
        .map(str::to_owned);
        for one in wanted {
            assert!(
                stops
                    .iter()
                    .any(|stop| stop.split(' ').nth(2).unwrap().starts_with(&one)),
                "{view}: no {one} in {stops:#?}"
            );
        }
    }
    // A row that moves in the list keeps the focus all the while.
    let order = "[...document.querySelectorAll('.containers tbody tr .name')].map((e) => e.textContent).join()";
    browser.value("(() => { const row = document.querySelector('.containers tbody tr:last-child'); row.focus(); window.blurred = 0; row.addEventListener('blur', () => { window.blurred += 1; }); })()");
    for wanted in ["box,other", "other,box", "box,other"] {
        browser.value("document.querySelector('.containers thead .c-name button').click()");
        browser.until(wanted, &format!("{order} === '{wanted}'"));
    }
    assert_eq!(
        browser.value("[window.blurred, document.activeElement.tagName]"),
        json!([0, "TR"])
    );
    // Back through time and to now again.
    turn_to(&mut browser, "timeline");
    browser.value("document.getElementById('scrub').focus()");
    browser.key("PageDown");
    browser.until("the past", "!document.getElementById('then').hidden");
    let value = "Number(document.getElementById('scrub').value)";
    let at = browser.value(value).as_i64().unwrap();
    browser.key("ArrowLeft");
    browser.until("a step back", &format!("{value} === {}", at - 1));
    assert_eq!(browser.value("document.activeElement.id"), "scrub");
    browser.key("End");
    browser.until("now", "document.getElementById('then').hidden");
    // A dialog keeps the focus, and gives it back where it was.
    browser.value("document.getElementById('signal').focus()");
    browser.key("Enter");
    browser.until("the menu", "document.querySelector('dialog.menu[open]')");
    for _ in 0..20 {
        browser.key("Tab");
        assert_eq!(browser.value("document.activeElement === document.body || !!document.activeElement.closest('dialog')"), true);
    }
    browser.key("Escape");
    browser.until("the button", "document.activeElement.id === 'signal'");
    browser.is_content(&web.url);
}

/// Text against what lies behind it, as the browser computed both: 4.5 to 1, or 3 to 1 where it is large (WCAG 2.2, 1.4.3).
const CONTRAST: &str = "(() => { \
    const pen = Object.assign(document.createElement('canvas'), { width: 1, height: 1 }).getContext('2d', { willReadFrequently: true }); \
    const rgba = (text) => { pen.clearRect(0, 0, 1, 1); pen.fillStyle = text; pen.fillRect(0, 0, 1, 1); const [r, g, b, a] = pen.getImageData(0, 0, 1, 1).data; return [r, g, b, a / 255]; }; \
    const over = (top, below) => [0, 1, 2].map((at) => top[at] * top[3] + below[at] * (1 - top[3])).concat(1); \
    const light = (c) => { const [r, g, b] = c.map((v) => { const s = v / 255; return s <= 0.04045 ? s / 12.92 : ((s + 0.055) / 1.055) ** 2.4; }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; }; \
    const behind = (e) => { const layers = []; for (let at = e; at; at = at.parentElement) { const c = rgba(getComputedStyle(at).backgroundColor); layers.push(c); if (c[3] === 1) break; } return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255, 1]); }; \
    const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT); const bad = []; let count = 0; \
    for (let node = walk.nextNode(); node; node = walk.nextNode()) { \
      const e = node.parentElement; if (!node.textContent.trim() || !e.getClientRects().length || e.closest('.sr, .skip, noscript, script, option, [aria-hidden=true].marks') || e.closest(':disabled')) continue; \
      let opacity = 1; for (let at = e; at; at = at.parentElement) opacity *= Number(getComputedStyle(at).opacity); \
      const style = getComputedStyle(e); const ground = behind(e); const c = rgba(style.color); \
      const [one, two] = [light(over([c[0], c[1], c[2], c[3] * opacity], ground)), light(ground)]; \
      const ratio = (Math.max(one, two) + 0.05) / (Math.min(one, two) + 0.05); \
      const size = parseFloat(style.fontSize); const isLarge = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700); count += 1; \
      if (ratio < (isLarge ? 3 : 4.5)) bad.push(`${ratio.toFixed(2)} ${e.tagName}.${e.className}: ${node.textContent.trim().slice(0, 30)} ${style.color}`); } \
    return { count, bad }; })()";

#[test]
fn weak_eyes_can_read_it_and_nothing_need_move() {
    let host = Host::new();
    let Some((mut browser, web)) = page(&host, &["--control"]) else {
        return;
    };
    host.silo(&[
        "run",
        "--name",
        "hungry",
        "--network",
        "none",
        "-m",
        "16m",
        "lab",
        "saturate-mem",
    ]);
    for scheme in ["light", "dark"] {
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}, {"name": "prefers-reduced-motion", "value": "reduce"}]);
        browser.call("Emulation.setEmulatedMedia", json!({"features": features}));
        for view in VIEWS {
            turn_to(&mut browser, view);
            let found = browser.value(CONTRAST);
            assert!(found["count"].as_u64().unwrap() > 40, "{found}");
            assert_eq!(found["bad"], json!([]), "{scheme}, {view}");
        }
        let moving = browser.value(
            "[...document.querySelectorAll('body *')].filter((e) => { const s = getComputedStyle(e); return s.animationName !== 'none' || !/^0s(, 0s)*$/.test(s.transitionDuration) && s.transitionProperty !== 'none'; }).map((e) => e.tagName + '.' + e.className)",
        );
        assert_eq!(moving, json!([]));
        // What is shown of another moment, and the words.
        browser.key("[");
        browser.until("the past", "!document.getElementById('then').hidden");
        assert_eq!(
            browser.value(CONTRAST)["bad"],
            json!([]),
            "{scheme}, the past"
        );
        browser.key("n");
        browser.until("now", "document.getElementById('then').hidden");
        browser.key("?");
        browser.until("the words", "document.querySelector('dialog.help[open]')");
        assert_eq!(
            browser.value(CONTRAST)["bad"],
            json!([]),
            "{scheme}, the words"
        );
        browser.key("Escape");
    }
    browser.is_content(&web.url);
    // And when nobody answers any more.
    assert_eq!(web.end(15), 0);
    browser.until("the trouble", "!document.getElementById('trouble').hidden");
    assert_eq!(browser.value(CONTRAST)["bad"], json!([]), "not connected");
    until("its end", || host.status("hungry") == "exited");
}

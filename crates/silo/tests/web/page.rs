//! The page as it is seen: in a real browser, with real containers. Skipped where there is no Chromium.

use serde_json::Value;

use crate::{
    browser::Browser,
    common::{Host, kernel, until},
    server::Web,
};

const MIB: u64 = 1 << 20;

/// Text of the row of a container.
fn row(name: &str) -> String {
    format!(
        "[...document.querySelectorAll('.containers tbody tr')].find((row) => row.querySelector('.name').textContent === '{name}')"
    )
}

#[track_caller]
fn choose(browser: &mut Browser, name: &str) {
    browser.until(name, &format!("({}.click(), true)", row(name)));
    browser.until(
        name,
        &format!("document.getElementById('chosen').textContent === '{name}'"),
    );
}

/// Nothing is wider than the window, in any view.
#[track_caller]
fn fits(browser: &mut Browser, width: u32) {
    browser.size(width, 800);
    for view in ["processes", "namespaces", "limits", "timeline", "logs"] {
        browser.click(&format!("#tab-{view}"));
        browser.until(
            view,
            &format!("!document.getElementById('panel-{view}').hidden"),
        );
        let over = browser.value(
            "[...document.querySelectorAll('body *')].filter((e) => e.getClientRects().length && !e.closest('.scroll, .sr, thead, .log, svg, .skip, .bar-memory, .marks') \
             && e.getBoundingClientRect().right > document.documentElement.clientWidth + 1).map((e) => e.tagName + '.' + e.className + ' ' + e.textContent.slice(0, 30))",
        );
        assert_eq!(over, Value::Array(Vec::new()), "{view} at {width}");
        let wide = browser.value("document.documentElement.scrollWidth - innerWidth");
        assert!(wide.as_i64().unwrap() <= 0, "{view} at {width}: {wide}");
    }
    browser.click("#tab-processes");
}

#[test]
fn it_shows_what_the_kernel_says() {
    let host = Host::new();
    let Some(mut browser) = Browser::start(&host) else {
        return;
    };
    let words = ["lab", "saturate-mem", "--size", "50m"];
    let flags = ["run", "-d", "--network", "none", "-m", "64m"];
    host.ok(&[&flags[..], &["--name", "hungry"], &words].concat());
    host.idle("idle", &[]);
    let web = Web::start(&host, &[]);
    browser.open(&web.url);
    browser.until(
        "the memory of hungry",
        &format!(
            "/79 % of 64.0 MiB|78 % of 64.0 MiB/.test({}.textContent)",
            row("hungry")
        ),
    );
    // The token has left the address.
    assert_eq!(
        browser.value("location.href"),
        format!("http://{}/", web.address)
    );
    // The bar adds up to the host's memory, with a part for each container.
    let parts = browser.value(
        "[...document.querySelectorAll('#memory-bar > span')].map((e) => Number(e.dataset.bytes))",
    );
    let sum: u64 = parts
        .as_array()
        .unwrap()
        .iter()
        .map(|p| p.as_u64().unwrap())
        .sum();
    let text = std::fs::read_to_string("/proc/meminfo").unwrap();
    let total: u64 = text.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert_eq!(sum, total * 1024, "{parts}");
    assert_eq!(parts.as_array().unwrap().len(), 5, "{parts}");
    // Drawn as wide as it is much: free memory against the whole, within the borders and the least widths.
    let drawn = browser.value("(() => { const bar = document.getElementById('memory-bar'); return bar.lastElementChild.getBoundingClientRect().width / bar.clientWidth; })()");
    let free = parts[4].as_f64().unwrap() / sum as f64;
    assert!(
        (drawn.as_f64().unwrap() - free).abs() < 0.03,
        "{drawn} {free}"
    );
    choose(&mut browser, "hungry");
    let pid = host.pid("hungry");
    let shown = browser.until("its process", &format!("(() => {{ const row = document.querySelector('.processes tbody tr[data-pid=\"{pid}\"]'); return row && [...row.children].slice(0, 2).map((e) => e.textContent); }})()"));
    let inside = kernel::status(pid, "NSpid");
    let inside = inside.split_whitespace().last().unwrap();
    assert_eq!(shown, serde_json::json!([pid.to_string(), inside]));
    // The whole host, with a column of containers.
    browser.value("[...document.querySelectorAll('.tools button')].find((b) => b.textContent.includes('whole host')).click()");
    let column = format!(
        "document.querySelector('.processes tbody tr[data-pid=\"{pid}\"] .c-container').textContent === 'hungry'"
    );
    browser.until("it in the host's list", &column);
    // Where nothing is allowed nothing is offered, and text cannot become markup.
    assert_eq!(browser.value("document.querySelectorAll('#signal, .processes .c-act button').length > 0 && [...document.querySelectorAll('#signal, .processes .c-act button')].every((b) => b.hidden)"), true);
    assert_eq!(
        browser.value("document.getElementById('mode').textContent"),
        "read-only"
    );
    let made = browser.value("(() => { try { document.createElement('p')['inner' + 'HTML'] = '<b>x</b>'; return 'made'; } catch { return 'refused'; } })()");
    assert_eq!(made, "refused");
    browser.complaints.clear();
    fits(&mut browser, 360);
    fits(&mut browser, 800);
    fits(&mut browser, 1200);
    fits(&mut browser, 1440);
    // The list of containers has no need to be moved sideways either.
    for width in [360, 1190, 1200, 1440] {
        browser.size(width, 800);
        let over = browser.value("(() => { const t = document.getElementById('table'); return t.scrollWidth - t.clientWidth; })()");
        assert!(over.as_i64().unwrap() <= 0, "{width}: {over}");
    }
    browser.is_content(&web.url);
}

#[test]
fn keys_do_everything_and_words_are_explained() {
    let host = Host::new();
    let Some(mut browser) = Browser::start(&host) else {
        return;
    };
    host.idle("alpha", &[]);
    host.idle("beta", &[]);
    host.ok(&["run", "--name", "ended", "--network", "none", "lab", "true"]);
    let web = Web::start(&host, &[]);
    browser.open(&web.url);
    browser.until(
        "three",
        "document.querySelectorAll('.containers tbody tr').length === 3",
    );
    browser.key("/");
    browser.text("bet");
    browser.until("only beta", "document.querySelectorAll('.containers tbody tr').length === 1 && document.getElementById('chosen').textContent !== ''");
    browser.key("Escape");
    browser.until(
        "all again",
        "document.querySelectorAll('.containers tbody tr').length === 3",
    );
    browser.key("ArrowDown");
    let first = browser
        .until("a row", "document.activeElement.closest('tr')?.id")
        .to_string();
    browser.key("ArrowDown");
    let second = browser
        .value("document.activeElement.closest('tr').id")
        .to_string();
    assert_ne!(first, second);
    assert_eq!(
        browser.value("document.activeElement.getAttribute('aria-selected')"),
        true.to_string()
    );
    for (key, view) in [
        ("2", "namespaces"),
        ("3", "limits"),
        ("4", "timeline"),
        ("5", "logs"),
        ("1", "processes"),
    ] {
        browser.key(key);
        browser.until(
            view,
            &format!(
                "document.getElementById('tab-{view}').getAttribute('aria-selected') === 'true'"
            ),
        );
    }
    browser.value("document.getElementById('tab-processes').focus()");
    browser.key("ArrowRight");
    browser.until(
        "the next view",
        "document.activeElement.id === 'tab-namespaces'",
    );
    browser.key("?");
    let words = browser.until(
        "the words",
        "document.querySelector('dialog.help[open]')?.innerText",
    );
    for word in ["Throttled", "Zombie", "Pressure", "Namespace"] {
        assert!(words.to_string().contains(word), "{words}");
    }
    browser.key("Escape");
    browser.until("no dialog", "!document.querySelector('dialog[open]')");
    let ground = "getComputedStyle(document.body).backgroundColor";
    browser.call(
        "Emulation.setEmulatedMedia",
        serde_json::json!({"features": [{"name": "prefers-color-scheme", "value": "dark"}]}),
    );
    let dark = browser.value(ground);
    browser.key("t");
    assert_ne!(
        browser.value(ground),
        dark,
        "light, though the system is dark"
    );
    browser.key("t");
    assert_eq!(browser.value(ground), dark);
    // Every control and picture has a name for those who do not see it.
    let nameless = browser.value(
        "[...document.querySelectorAll('button, input, select, [role=img], [role=tab], table')].filter((e) => e.getClientRects().length \
         && !(e.textContent.trim() || e.getAttribute('aria-label') || e.getAttribute('aria-labelledby') || e.labels?.length)).map((e) => e.outerHTML.slice(0, 80))",
    );
    assert_eq!(nameless, Value::Array(Vec::new()));
    browser.is_content(&web.url);
}

#[test]
fn limits_and_signals_by_the_page_reach_the_kernel() {
    let host = Host::new();
    let Some(mut browser) = Browser::start(&host) else {
        return;
    };
    let script = "sleep 601 & sleep 602 & wait; sleep 600";
    host.ok(&[
        "run",
        "-d",
        "--name",
        "box",
        "--network",
        "none",
        "-m",
        "100m",
        "lab",
        "sh",
        "-c",
        script,
    ]);
    let web = Web::start(&host, &["--control"]);
    browser.open(&web.url);
    choose(&mut browser, "box");
    browser.click("#tab-limits");
    browser.value("document.getElementById('limit-memory').focus()");
    browser.text("80m");
    browser.until(
        "the forecast",
        "document.querySelector('.forecast').textContent.includes('in use')",
    );
    let memory = || kernel::number(host.pid("box"), kernel::MEMORY) / MIB;
    assert_eq!(memory(), 100, "nothing is changed before it is told to");
    browser.click("#apply");
    until("the new limit", || memory() == 80);
    browser.until(
        "the new limit in the list",
        &format!("{}.textContent.includes('of 80.0 MiB')", row("box")),
    );
    browser.until("the way back", "!document.getElementById('undo').disabled");
    browser.click("#undo");
    until("the old limit", || memory() == 100);
    // A process by its menu, then the container by its own.
    browser.click("#tab-processes");
    let sleeper = "[...document.querySelectorAll('.processes tbody tr')].find((row) => row.querySelector('.c-command').textContent.endsWith('─ sleep 602'))";
    browser.until(
        "the process",
        &format!("({sleeper}.querySelector('button').click(), true)"),
    );
    browser.until(
        "the menu",
        "document.querySelector('dialog.menu[open]')?.innerText.includes('sleep 602')",
    );
    browser.value("[...document.querySelectorAll('dialog.menu .signal')].find((b) => b.textContent.startsWith('KILL')).click()");
    browser.until(
        "one process less",
        &format!("document.querySelectorAll('.processes tbody tr').length > 0 && !{sleeper}"),
    );
    assert_eq!(host.status("box"), "running");
    browser.click("#signal");
    browser.value("[...document.querySelectorAll('dialog.menu .signal')].find((b) => b.textContent.startsWith('KILL')).click()");
    host.ended("box");
    browser.until(
        "its end",
        &format!("{}.textContent.includes('ended with 137')", row("box")),
    );
    browser.is_content(&web.url);
}

#[test]
fn the_past_is_scrubbed_and_hostile_words_stay_words() {
    let host = Host::new();
    let Some(mut browser) = Browser::start(&host) else {
        return;
    };
    let script =
        "printf '\\033[2J<img src=x onerror=alert(1)>\\n'; sleep 6; saturate-mem; sleep 600";
    host.ok(&[
        "run",
        "-d",
        "--name",
        "hungry",
        "--network",
        "none",
        "-m",
        "32m",
        "lab",
        "sh",
        "-c",
        script,
    ]);
    let web = Web::start(&host, &[]);
    browser.open(&web.url);
    choose(&mut browser, "hungry");
    browser.click("#tab-logs");
    browser.until("the line", "document.querySelector('.log').textContent.includes('\\\\x1b[2J<img src=x onerror=alert(1)>')");
    assert_eq!(
        browser.value("document.querySelectorAll('.log img').length"),
        0
    );
    browser.until(
        "OOM in the list",
        &format!(
            "{}.querySelector('.c-event').textContent.startsWith('OOM')",
            row("hungry")
        ),
    );
    browser.click("#tab-timeline");
    browser.click("[data-span='60']");
    browser.until("the event", "document.querySelector('.events [data-is=oom]') && document.querySelector('.chart .kills').getAttribute('d') !== ''");
    let now = browser.value(&format!(
        "{}.querySelector('.c-memory .num').textContent",
        row("hungry")
    ));
    // With the slider back to a moment shortly before.
    browser.value("document.querySelector('.events [data-is=oom] button').click()");
    let at = browser.until("the cursor", "!document.getElementById('then').hidden && Number(document.getElementById('scrub').value)").as_i64().unwrap();
    browser.value(&format!("(() => {{ const s = document.getElementById('scrub'); s.value = {}; s.dispatchEvent(new Event('input')); }})()", at - 40));
    browser.until(
        "the time",
        "document.getElementById('then-text').textContent.includes('ago')",
    );
    browser.until(
        "what was then",
        &format!(
            "{}.querySelector('.c-event').textContent.startsWith('started')",
            row("hungry")
        ),
    );
    let then = browser.value(&format!(
        "{}.querySelector('.c-memory .num').textContent",
        row("hungry")
    ));
    assert!(then.to_string().contains("iB"), "{then} {now}");
    browser.click("#tab-logs");
    browser.until(
        "the log up to then",
        "document.querySelector('#panel-logs').textContent.includes('up to')",
    );
    browser.click("#now");
    browser.until("now", &format!("document.getElementById('then').hidden && {}.querySelector('.c-event').textContent.startsWith('OOM')", row("hungry")));
    browser.is_content(&web.url);
    // The server ends: the page says so, and what to do.
    assert_eq!(web.end(15), 0);
    browser.until("the trouble", "!document.getElementById('trouble').hidden && document.getElementById('trouble').textContent.includes('silo web')");
}

#[test]
fn a_page_without_its_token_says_what_is_missing() {
    let host = Host::new();
    let Some(mut browser) = Browser::start(&host) else {
        return;
    };
    let web = Web::start(&host, &[]);
    browser.open(web.url.split('#').next().unwrap());
    browser.until(
        "what is missing",
        "document.getElementById('trouble').textContent.includes('#token=')",
    );
    // And one that has it shows that there is nothing yet.
    browser.open(&web.url);
    browser.until(
        "nothing",
        "document.querySelector('.empty').textContent.includes('silo run')",
    );
    browser.is_content(&web.url);
}

// SPDX-License-Identifier: Apache-2.0 OR MIT
//! 2,000 connections at once, which the daemon decides.

use super::{
    ALLOWED, BY_PORT, Checked, Daemon, POLICY, Report, accepted, because, begin, comes_to,
    configure, end, number, told, write_policy,
};
use crate::{failure::ensure, intercept::Actor};

const COUNT: usize = 2000;
/// To as many addresses, each of which is a question of its own, at either end.
const ADDRESSES: usize = 200;

pub(super) fn crowd(report: &mut Report) -> Checked<String> {
    let (userland, mut server) = begin()?;
    write_policy(&userland, POLICY, BY_PORT)?;
    configure(&userland, 60_000)?;
    let daemon = Daemon::serving(&userland)?;
    let began = std::time::Instant::now();
    let mut client = Actor::start(&format!("keep {ALLOWED} {COUNT} {ADDRESSES}"))?;
    comes_to(&client, &format!("open ok={COUNT}"))
        .map_err(|failure| because(&failure.to_string()))?;
    report.note("milliseconds", began.elapsed().as_millis())?;
    let came = accepted(&mut server)?;
    ensure(came == format!("{COUNT} 0"), || {
        format!("{COUNT} were to come in, and {came} have")
    })?;
    // Both ends of each, all open.
    let table = told(&userland, &["connections", "--json"], &[])?;
    for direction in ["connect", "accept"] {
        let row = format!(r#""direction":"{direction}","state":"decided","decision":"plain""#);
        let shown = table.matches(&row).count();
        ensure(shown == COUNT, || {
            format!("{shown} of {COUNT} are shown that {direction}")
        })?;
    }
    let counted = format!(
        r#""allowed":{},"denied":0,"would_deny":0,"timeouts":0,"overflows":0,"late":0"#,
        COUNT * 2
    );
    let status = told(&userland, &["status", "--json"], &[&counted])?;
    let asks = number(&status, "asks");
    ensure(asks.is_some_and(|asks| asks >= ADDRESSES * 2), || {
        format!("{asks:?} questions are too few: {status}")
    })?;
    client.tell("")?;
    let line = client.line()?;
    ensure(line.starts_with("rounds "), || {
        format!("of the open connections: {line}")
    })?;
    daemon.stop()?;
    drop((server, client));
    end(userland)?;
    Ok(String::new())
}

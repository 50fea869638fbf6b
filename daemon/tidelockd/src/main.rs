// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `tidelockd`: takes up what it needs, gives up the rest, and runs.

use std::{io::Write as _, net::TcpListener, process::ExitCode};

use anyhow::{Context as _, Result};
use clap::Parser as _;
use tidelockd::{admin::socket, cli::Cli, config::Config, log, privileges, run};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let put = |text: &[u8]| std::io::stdout().write_all(text);
    match cli
        .text()
        .and_then(|text| text.as_deref().map(put).transpose())
    {
        Ok(None) => {}
        Ok(Some(())) => return ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: cannot write to standard output: {error}");
            return ExitCode::FAILURE;
        }
    }
    let source = cli.source();
    let config = match Config::load(&source) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(2);
        }
    };
    if cli.check_config {
        let path = source.path().display();
        if source.path().exists() {
            println!("{path}: good");
        } else {
            println!("{path} is not there: every setting has its default");
        }
        return ExitCode::SUCCESS;
    }
    log::start(cli.log);
    match start(&cli, config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(cli: &Cli, config: Config) -> Result<()> {
    privileges::no_dumps().context("forbidding core dumps")?;
    // While it may still give the socket to its group.
    let admin = match socket::activated()? {
        Some(listener) => listener,
        None => socket::make(&config.admin.socket, &config.admin.group)?,
    };
    // Anybody on the host can take the port first, and must not keep the daemon from its work.
    let metrics = config.metrics.and_then(|at| {
        TcpListener::bind(at)
            .inspect_err(|error| tracing::error!("no metrics are served on {at}: {error}"))
            .ok()
    });
    let missing = privileges::drop_all_but_needed().context("giving up capabilities")?;
    if !missing.is_empty() {
        tracing::warn!(
            "without {missing:?} processes of other users cannot be attested, and are refused"
        );
    }
    let start = run::Start {
        place: cli.place(config.device.clone()),
        source: cli.source(),
        default_file: cli.mode,
        admin,
        metrics,
        config,
    };
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?
        .block_on(run::run(start))
}

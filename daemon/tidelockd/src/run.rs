// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The daemon, put together.

use std::{
    io,
    net::TcpListener,
    os::unix::net::UnixListener,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result};
use tidelock_api::Mode;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
    time::{interval, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    admin::{self, App},
    attest::{Attestors, Hasher},
    audit::{self, Audit, Bucket, Journal, LineFile, Sinks},
    authority::Authority,
    config::{Config, Server as PolicyServer, Source},
    device::{Keeper, Place},
    fetch,
    governor::Governor,
    notify, scrape,
    serve::{Parts, Server},
};

/// What the daemon starts with.
#[derive(Debug)]
pub struct Start {
    /// The configuration.
    pub config: Config,
    /// Where it came from, to read it again.
    pub source: Source,
    /// The mode by the packaged default file.
    pub default_file: Option<Mode>,
    /// Where the device is.
    pub place: Place,
    /// The administrators' socket.
    pub admin: UnixListener,
    /// Where metrics are served.
    pub metrics: Option<TcpListener>,
}

/// How long administrators' requests that have begun may take in the end.
const FAREWELL: Duration = Duration::from_secs(3);
/// How often the table of reasons is written down.
const SAVE: Duration = Duration::from_secs(5);

/// Runs until it is told to stop by SIGTERM or SIGINT.
///
/// # Errors
/// When it cannot start, or what it serves by breaks.
pub async fn run(start: Start) -> Result<()> {
    // First, so that no signal ends the daemon half-way from here on.
    let mut hangup = signal(SignalKind::hangup()).context("listening to SIGHUP")?;
    let mut stops = stops().context("listening to SIGTERM")?;
    let (app, writer) = assemble(&start)?;
    let server = watch::Sender::new(start.config.server.clone());
    let fetching = fetch::run(server.subscribe(), Arc::clone(&app.governor));
    let stop = CancellationToken::new();
    let keeper = tokio::spawn(keeper(&start, &app).run(stop.clone()));
    let mut admin = tokio::spawn(admin::serve(start.admin, Arc::clone(&app), stop.clone()));
    let metrics = tokio::spawn(scrape::serve(start.metrics, Arc::clone(&app), stop.clone()));
    let helpers = [
        tokio::spawn(notify::watchdog()),
        tokio::spawn(notify::status(app.views.watch())),
        tokio::spawn(save(Arc::clone(&app))),
        tokio::spawn(fetching),
        tokio::spawn(Arc::clone(&app.authority).keep()),
    ];
    notify::ready();
    let broken = loop {
        tokio::select! {
            () = any(&mut stops) => break None,
            _ = hangup.recv() => {
                notify::reloading();
                reload(&start.source, &app, &server).await;
                notify::ready();
            }
            ended = &mut admin => break Some(ended),
        }
    };
    tracing::info!("stopping");
    notify::stopping();
    stop.cancel();
    // Each question that was taken on is answered before its deadline.
    keeper.await.context("the device's keeper")?;
    for mut task in [admin, metrics]
        .into_iter()
        .filter(|task| !task.is_finished())
    {
        if timeout(FAREWELL, &mut task).await.is_err() {
            task.abort();
        }
    }
    for task in helpers {
        task.abort();
    }
    if let Err(error) = app.reasons.save() {
        tracing::warn!("reasons will not be known after the restart: {error}");
    }
    writer.finish();
    match broken {
        None => Ok(()),
        Some(ended) => {
            let what = "the administrators' socket";
            ended.context(what)?.context(what)?;
            anyhow::bail!("{what} has closed")
        }
    }
}

/// The signals that end the daemon.
fn stops() -> io::Result<Vec<Signal>> {
    let kinds = [SignalKind::terminate(), SignalKind::interrupt()];
    kinds.into_iter().map(signal).collect()
}

fn assemble(start: &Start) -> Result<(Arc<App>, audit::Writer)> {
    let config = &start.config;
    let governor = Governor::start(config, start.default_file)
        .context("nothing can be kept, so that nothing can be put in force")?;
    let hasher = Arc::new(Hasher::new(config.attest.digests, config.attest.readers));
    let (audit, writer) = Audit::start(sinks(&config.audit)).context("starting the audit")?;
    if let Place::Fake(path) = &start.place {
        tracing::warn!(socket = %path.display(), "the device is a fake: nothing is guarded");
    }
    let now = SystemTime::now();
    let app = App {
        started: now,
        place: start.place.to_string(),
        governor: Arc::new(governor),
        views: Arc::default(),
        authority: Arc::new(Authority::open(&config.svid, &config.state_dir, now)),
        attestors: Attestors::new(Attestors::built_in(Arc::clone(&hasher))),
        hasher,
        reasons: Arc::new(crate::reasons::Reasons::load(
            config.state_dir.join("reasons"),
        )),
        denied: Arc::default(),
        audit,
        metrics: Arc::default(),
    };
    Ok((Arc::new(app), writer))
}

fn sinks(config: &crate::config::Audit) -> Sinks {
    let file = config.file.clone().map(|path| {
        if let Some(parent) = path.parent()
            && let Err(error) = crate::state::make_dir(parent)
        {
            tracing::error!("the audit has no file: {error}");
        }
        LineFile::new(path, config.max_bytes.get(), config.keep)
    });
    let journal = Path::new(audit::SOCKET);
    Sinks {
        file,
        // A host without systemd has no journal, and no trouble with it.
        journal: (config.journal && journal.exists()).then(|| Journal::new(journal)),
        bucket: Bucket::new(config.per_second.get(), config.burst.get(), Duration::ZERO),
    }
}

fn keeper(start: &Start, app: &App) -> Keeper {
    let server = Server::new(Parts {
        attestors: app.attestors.clone(),
        rulings: app.governor.rulings(),
        settings: app.governor.settings(),
        scope: start.config.svid.scope,
        authority: Arc::clone(&app.authority),
        reasons: Arc::clone(&app.reasons),
        denied: Arc::clone(&app.denied),
        audit: app.audit.clone(),
        metrics: Arc::clone(&app.metrics),
        concurrent: start.config.concurrent.get(),
    });
    Keeper {
        place: start.place.clone(),
        settings: app.governor.settings(),
        bundle: app.authority.bundle(),
        server: Arc::new(server),
        views: Arc::clone(&app.views),
    }
}

/// Reads configuration and policy again. What cannot be used changes nothing.
async fn reload(source: &Source, app: &Arc<App>, server: &watch::Sender<Option<PolicyServer>>) {
    let (source, app) = (source.clone(), Arc::clone(app));
    let work = tokio::task::spawn_blocking(move || {
        let config = Config::load(&source)
            .inspect_err(|error| tracing::error!("the configuration stays as it was: {error}"))
            .ok()?;
        match app.governor.reload(&config) {
            Ok(()) => tracing::info!("configuration and policy are read again"),
            Err(error) => tracing::error!("the policy stays as it was: {error}"),
        }
        Some(config)
    });
    match work.await {
        // Asked at once, even when it is the same one.
        Ok(Some(config)) => drop(server.send_replace(config.server)),
        Ok(None) => {}
        Err(error) => tracing::error!("reading configuration and policy again failed: {error}"),
    }
}

async fn save(app: Arc<App>) {
    let mut ticks = interval(SAVE);
    loop {
        ticks.tick().await;
        let reasons = Arc::clone(&app.reasons);
        match tokio::task::spawn_blocking(move || reasons.save()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!("reasons are not kept: {error}"),
            Err(error) => tracing::warn!("reasons are not kept: {error}"),
        }
    }
}

async fn any(signals: &mut [Signal]) {
    std::future::poll_fn(|context| {
        let came = |signal: &mut Signal| signal.poll_recv(context).is_ready();
        if signals.iter_mut().any(came) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
}

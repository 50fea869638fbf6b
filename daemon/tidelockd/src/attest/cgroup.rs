// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the path of a control group tells of a process: its systemd unit, its container, its
//! Kubernetes pod.
//!
//! Whoever may make control groups may call them anything: a user below `user@UID.service`, a
//! container below its own group, a service that systemd delegates its group to. So a path is
//! believed from the root down to the first group that can be somebody else's, and no further:
//! the outermost unit is the unit, the outermost container the container. What only a user's own
//! part of the tree says is not said at all; a rootless container is a process of its user.

/// A container.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Container {
    /// The id that the runtime gave it: 64 hexadecimal digits.
    pub id: String,
    /// The runtime, such as `docker`; [`UNTOLD`] where the path does not tell.
    pub runtime: &'static str,
    /// The uid of the Kubernetes pod it belongs to, as the cluster writes it.
    pub pod: Option<String>,
}

/// The runtime where the path does not tell: the kubelet's own layout, the same for all.
pub const UNTOLD: &str = "cri";

/// What stands before the id in the name of a scope or a folder, and whose it is. Monitors of a
/// container (`crio-conmon-`, `libpod-conmon-`) are not in it.
const PREFIXES: [(&str, &str); 5] = [
    ("docker-", "docker"),
    ("cri-containerd-", "containerd"),
    ("nerdctl-", "containerd"),
    ("crio-", "cri-o"),
    ("libpod-", "podman"),
];

/// Services that keep containers below their own group, and run as root.
const KEEPERS: [&str; 8] = [
    "containerd.service",
    "crio.service",
    "docker.service",
    "k3s-agent.service",
    "k3s.service",
    "kubelet.service",
    "rke2-agent.service",
    "rke2-server.service",
];

/// Kinds of units that have processes.
const UNITS: [&str; 5] = [".service", ".scope", ".socket", ".mount", ".swap"];

/// The systemd unit: the first one on the way that is no slice.
pub fn systemd_unit(path: &str) -> Option<String> {
    let name = names(path)?.find(|name| slice(name).is_none())?;
    // systemd puts a line before names that could be taken for a file of the kernel.
    let name = name.strip_prefix('_').unwrap_or(name);
    let kind = UNITS.iter().find(|kind| name.ends_with(**kind))?;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte);
    let sound = name.len() > kind.len() && name.len() <= 255 && name.bytes().all(allowed);
    sound.then(|| name.to_owned())
}

/// The container, with its pod.
pub fn container(path: &str) -> Option<Container> {
    let mut pod = None;
    let mut folders = Folders::None;
    for name in names(path)? {
        // containerd's names under the driver that makes folders of systemd's names.
        if let Some((slice, rest)) = name.split_once(':') {
            let (runtime, id) = rest.split_once(':')?;
            let runtime = (runtime == "cri-containerd").then_some("containerd")?;
            let pod = pod_of_slice(slice);
            return id_of(id).map(|id| Container { id, runtime, pod });
        }
        if let Some((id, runtime)) = named(name) {
            return Some(Container { id, runtime, pod });
        }
        if let (Some(id), Some(runtime)) = (id_of(name), folders.runtime()) {
            return Some(Container { id, runtime, pod });
        }
        if slice(name).is_some() && folders == Folders::None {
            pod = pod.or_else(|| pod_of_slice(name));
        } else if let Some(next) = folders.enter(name) {
            folders = next;
            pod = pod.or_else(|| pod_of_folder(name, next));
        } else if !KEEPERS.contains(&name) {
            return None;
        }
    }
    None
}

/// Where in a tree of plain folders, which only root can have made.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Folders {
    /// Not in one.
    None,
    /// Below `/docker`.
    Docker,
    /// Below `/ecs`, at some depth.
    Ecs,
    /// Below `/kubepods`.
    Kubepods,
    /// Below a pod.
    Pod,
}

impl Folders {
    /// The folder `name` is stepped into; none when it ends what is believed.
    fn enter(self, name: &str) -> Option<Self> {
        match (self, name) {
            (Self::None, "docker") => Some(Self::Docker),
            (Self::None, "kubepods") | (Self::Kubepods, "burstable" | "besteffort") => {
                Some(Self::Kubepods)
            }
            (Self::Kubepods, name) if name.starts_with("pod") => Some(Self::Pod),
            // Below it the cluster, the task.
            (Self::None, "ecs") | (Self::Ecs, _) => Some(Self::Ecs),
            _ => None,
        }
    }

    /// Whose a container is whose name is its bare id.
    const fn runtime(self) -> Option<&'static str> {
        match self {
            Self::Docker | Self::Ecs => Some("docker"),
            Self::Pod => Some(UNTOLD),
            Self::None | Self::Kubepods => None,
        }
    }
}

/// The name of a slice, without its kind.
fn slice(name: &str) -> Option<&str> {
    name.strip_suffix(".slice")
}

/// The parts of an absolute path; none of one that is not in its plain form.
fn names(path: &str) -> Option<impl Iterator<Item = &str>> {
    let names = path.strip_prefix('/')?.split('/');
    let odd = |name: &str| name.is_empty() || name == "." || name == "..";
    (!names.clone().any(odd)).then_some(names)
}

fn named(name: &str) -> Option<(String, &'static str)> {
    let name = name.strip_suffix(".scope").unwrap_or(name);
    PREFIXES.iter().find_map(|(prefix, runtime)| {
        let id = id_of(name.strip_prefix(prefix)?)?;
        Some((id, *runtime))
    })
}

fn id_of(text: &str) -> Option<String> {
    let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    (text.len() == 64 && text.bytes().all(digit)).then(|| text.to_owned())
}

/// `kubepods-burstable-pod1a_2b.slice`, also below a prefix such as `kubelet-`.
fn pod_of_slice(name: &str) -> Option<String> {
    let name = slice(name)?;
    let (before, uid) = name.rsplit_once("-pod")?;
    let kubepods = before.split('-').any(|part| part == "kubepods");
    kubepods.then(|| pod_uid(&uid.replace('_', "-"))).flatten()
}

fn pod_of_folder(name: &str, folders: Folders) -> Option<String> {
    let uid = name.strip_prefix("pod")?;
    (folders == Folders::Pod).then(|| pod_uid(uid)).flatten()
}

/// A UUID, or the 32 digits that the kubelet gives a pod of a file of its own (a static pod).
fn pod_uid(text: &str) -> Option<String> {
    let lengths: Vec<usize> = text.split('-').map(str::len).collect();
    let form = lengths == [8, 4, 4, 4, 12] || lengths == [32];
    let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte) || byte == b'-';
    (form && text.bytes().all(digit)).then(|| text.to_owned())
}

#[cfg(test)]
#[path = "cgroup_tests.rs"]
mod tests;

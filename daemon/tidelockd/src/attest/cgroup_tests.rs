// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Paths as real systems have them. ID and POD stand for what is long.

use super::*;

const ID: &str = "3f2ba1c0d9e8f7a6b5c4d3e2f1a0b9c8d7e6f5a4b3c2d1e0f9a8b7c6d5e4f3a2";
const POD: &str = "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9";

fn filled(path: &str) -> String {
    path.replace("POD_", &POD.replace('-', "_"))
        .replace("POD", POD)
        .replace("ID", ID)
}

/// Path, runtime, whether it is of the pod.
const CONTAINERS: &[(&str, &str, bool)] = &[
    // Docker, by either driver.
    ("/docker/ID", "docker", false),
    ("/system.slice/docker-ID.scope", "docker", false),
    // With an init of its own inside.
    ("/system.slice/docker-ID.scope/init.scope", "docker", false),
    (
        "/system.slice/docker-ID.scope/system.slice/nginx.service",
        "docker",
        false,
    ),
    // Amazon ECS.
    ("/ecs/0123456789abcdef0123456789abcdef/ID", "docker", false),
    (
        "/ecs/cluster/0123456789abcdef0123456789abcdef/ID",
        "docker",
        false,
    ),
    // Podman: alone, in a pod of its own, with the group split off.
    ("/machine.slice/libpod-ID.scope", "podman", false),
    ("/machine.slice/libpod-ID.scope/container", "podman", false),
    (
        "/machine.slice/machine-libpod_pod_ID.slice/libpod-ID.scope",
        "podman",
        false,
    ),
    // nerdctl.
    ("/system.slice/nerdctl-ID.scope", "containerd", false),
    // Kubernetes, by either driver, with each runtime.
    (
        "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podPOD_.slice/cri-containerd-ID.scope",
        "containerd",
        true,
    ),
    (
        "/kubepods.slice/kubepods-podPOD_.slice/cri-containerd-ID.scope",
        "containerd",
        true,
    ),
    (
        "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-podPOD_.slice/crio-ID.scope",
        "cri-o",
        true,
    ),
    (
        "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-podPOD_.slice/crio-ID.scope/container",
        "cri-o",
        true,
    ),
    (
        "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podPOD_.slice/docker-ID.scope",
        "docker",
        true,
    ),
    ("/kubepods/besteffort/podPOD/ID", UNTOLD, true),
    ("/kubepods/podPOD/ID", UNTOLD, true),
    ("/kubepods/burstable/podPOD/crio-ID", "cri-o", true),
    (
        "/system.slice/containerd.service/kubepods-burstable-podPOD_.slice:cri-containerd:ID",
        "containerd",
        true,
    ),
    // kind, looked at from inside its node.
    (
        "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/kubelet-kubepods-burstable-podPOD_.slice/cri-containerd-ID.scope",
        "containerd",
        true,
    ),
];

#[test]
fn containers_of_every_runtime_are_told() {
    for (path, runtime, pod) in CONTAINERS {
        let found = container(&filled(path)).unwrap_or_else(|| panic!("{path}"));
        assert_eq!((found.id.as_str(), found.runtime), (ID, *runtime), "{path}");
        assert_eq!(found.pod.as_deref(), pod.then_some(POD), "{path}");
    }
}

#[test]
fn a_static_pod_has_a_uid_without_dashes() {
    let path = "/kubepods.slice/kubepods-burstable.slice/\
                kubepods-burstable-pod8a0e4b3f8a0e4b3f8a0e4b3f8a0e4b3f.slice/cri-containerd-ID.scope";
    let found = container(&filled(path)).unwrap();
    assert_eq!(
        found.pod.as_deref(),
        Some("8a0e4b3f8a0e4b3f8a0e4b3f8a0e4b3f")
    );
}

#[test]
fn the_outermost_container_is_the_container() {
    let inner = ID.replace('3', "9");
    let path = filled(&format!(
        "/system.slice/docker-ID.scope/docker-{inner}.scope"
    ));
    assert_eq!(container(&path).unwrap().id, ID);
    let path = filled(&format!(
        "/docker/ID/kubepods.slice/kubepods-podPOD_.slice/crio-{inner}.scope"
    ));
    let found = container(&path).unwrap();
    assert_eq!((found.id.as_str(), found.pod), (ID, None));
}

#[test]
fn what_is_no_container_or_only_says_so_is_none() {
    for path in [
        "/",
        "/init.scope",
        "/system.slice/nginx.service",
        "/system.slice/docker.service",
        "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podPOD_.slice",
        // Monitors, which belong to the runtime.
        "/machine.slice/libpod-conmon-ID.scope",
        "/kubepods.slice/kubepods-podPOD_.slice/crio-conmon-ID.scope",
        // Made by a user: rootless containers look like this, and so does a lie.
        "/user.slice/user-1000.slice/user@1000.service/user.slice/docker-ID.scope",
        "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-ID.scope/container",
        "/user.slice/user-1000.slice/user@1000.service/kubepods.slice/kubepods-podPOD_.slice/crio-ID.scope",
        // Made by a service that its group was delegated to.
        "/system.slice/game.service/docker-ID.scope",
        "/system.slice/game.service/docker/ID",
        "/system.slice/docker/ID/x.service/../docker-ID.scope",
        // Not an id.
        "/docker/buildx",
        "/docker/IDa",
        "/system.slice/docker-abc.scope",
        "/kubepods/ID",
        "/system.slice/containerd.service/kubepods-podPOD_.slice:other:ID",
        // Not a path.
        "docker/ID",
        "//docker/ID",
        "/docker/ID/",
        "",
    ] {
        assert_eq!(container(&filled(path)), None, "{path}");
    }
}

#[test]
fn a_pod_that_is_none_is_left_out() {
    for pod in ["podPOD_x", "pod", "podXYZ", "pod0a1b2c3d_4e5f_6071_8293"] {
        let path = filled(&format!(
            "/kubepods.slice/kubepods-{pod}.slice/crio-ID.scope"
        ));
        assert_eq!(container(&path).unwrap().pod, None, "{path}");
    }
    // A slice of that name which is not the kubelet's.
    let path = filled("/web.slice/web-podPOD_.slice/docker-ID.scope");
    assert_eq!(container(&path).unwrap().pod, None);
}

#[test]
fn the_unit_is_the_outermost_that_is_no_slice() {
    for (path, unit) in [
        ("/system.slice/nginx.service", Some("nginx.service")),
        (
            "/system.slice/system-getty.slice/getty@tty1.service",
            Some("getty@tty1.service"),
        ),
        ("/init.scope", Some("init.scope")),
        (
            "/user.slice/user-1000.slice/session-3.scope",
            Some("session-3.scope"),
        ),
        // What a user's own manager runs is the user's to name.
        (
            "/user.slice/user-1000.slice/user@1000.service/app.slice/nginx.service",
            Some("user@1000.service"),
        ),
        (
            "/system.slice/game.service/nginx.service",
            Some("game.service"),
        ),
        ("/system.slice/docker-ID.scope", Some("docker-ID.scope")),
        ("/system.slice/run-r12.scope", Some("run-r12.scope")),
        (
            "/system.slice/dev-disk-by\\x2duuid.swap",
            Some("dev-disk-by\\x2duuid.swap"),
        ),
        ("/system.slice/_cpu.service", Some("cpu.service")),
        ("/system.slice", None),
        ("/docker/ID", None),
        ("/kubepods/podPOD/ID", None),
        ("/", None),
        ("/system.slice/.service", None),
        ("/system.slice/ng inx.service", None),
        ("/system.slice/nginx.service (deleted)", None),
        ("/system.slice/nginx.timer", None),
    ] {
        assert_eq!(systemd_unit(&filled(path)), unit.map(filled), "{path}");
    }
}

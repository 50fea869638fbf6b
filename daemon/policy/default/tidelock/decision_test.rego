# SPDX-License-Identifier: Apache-2.0 OR MIT
package tidelock_test

import data.tidelock

workloads := {
	"web": {
		"match": {"exe": "/usr/sbin/nginx", "uid": 33},
		"peers": ["db"],
	},
	"db": {
		"match": {"systemd_unit": "postgresql.service"},
		"peers": ["web"],
	},
}

nginx := {
	"direction": "connect",
	"remote": {"ip": "10.0.0.7", "port": 5432},
	"process": {"exe": "/usr/sbin/nginx", "uid": 33},
}

test_denied_by_default if {
	tidelock.decision.mode == "deny" with input as nginx
}

test_a_workload_talks_to_its_peers if {
	decision := tidelock.decision with input as nginx with data.config.workloads as workloads
	decision.mode == "mtls"
	decision.spiffe_id == "spiffe://example.org/web"
	decision.peers == ["spiffe://example.org/db"]
}

test_every_field_of_a_match_must_fit if {
	other := object.union(nginx, {"process": {"uid": 0}})
	decision := tidelock.decision with input as other with data.config.workloads as workloads
	decision.mode == "deny"
}

test_what_is_not_known_does_not_fit if {
	other := object.union(nginx, {"process": {"exe": "/usr/lib/postgresql/17/bin/postgres"}})
	decision := tidelock.decision with input as other with data.config.workloads as workloads
	decision.mode == "deny"
}

test_an_empty_match_fits_nobody if {
	everybody := {"any": {"match": {}, "peers": ["web"]}}
	decision := tidelock.decision with input as nginx with data.config.workloads as everybody
	decision.mode == "deny"
}

test_two_identities_are_none if {
	two := {
		"one": {"match": {"uid": 33}, "peers": ["two"]},
		"two": {"match": {"exe": "/usr/sbin/nginx"}, "peers": ["one"]},
	}
	decision := tidelock.decision with input as nginx with data.config.workloads as two
	decision.mode == "deny"
}

test_a_workload_without_peers_is_denied if {
	lonely := {"web": {"match": {"uid": 33}, "peers": []}}
	decision := tidelock.decision with input as nginx with data.config.workloads as lonely
	decision.mode == "deny"
}

dns := [{"direction": "connect", "remote": "10.0.0.0/24", "port": 53}]

query := object.union(nginx, {"remote": {"port": 53}})

test_plain_where_listed if {
	decision := tidelock.decision with input as query with data.config.plain as dns
	decision.mode == "plain"
}

test_plain_on_the_listed_port_alone if {
	decision := tidelock.decision with input as nginx with data.config.plain as dns
	decision.mode == "deny"
}

test_plain_in_the_listed_network_alone if {
	elsewhere := object.union(query, {"remote": {"ip": "10.0.1.7"}})
	decision := tidelock.decision with input as elsewhere with data.config.plain as dns
	decision.mode == "deny"
}

test_plain_in_the_listed_direction_alone if {
	accepted := object.union(query, {"direction": "accept"})
	decision := tidelock.decision with input as accepted with data.config.plain as dns
	decision.mode == "deny"
}

test_plain_for_the_listed_process_alone if {
	own := [object.union(dns[0], {"match": {"uid": 0}})]
	decision := tidelock.decision with input as query with data.config.plain as own
	decision.mode == "deny"
}

test_a_workload_is_never_plain if {
	decision := tidelock.decision with input as query with data.config.plain as dns
		with data.config.workloads as workloads
	decision.mode == "mtls"
}

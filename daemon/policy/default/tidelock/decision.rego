# SPDX-License-Identifier: Apache-2.0 OR MIT
#
# The policy that is used where none is configured. It denies by default; what it allows stands
# in config/data.json:
#
#   trust_domain  the domain of all identities given here
#   workloads     by name: what a process must be (`match`) and which workloads it may talk to
#                 (`peers`, by name). All fields of a match must fit; one that is not known of a
#                 process does not.
#   plain         what is left as it is: direction, network and port of the remote end, and
#                 optionally a match.
package tidelock

default decision := {
	"mode": "deny",
	"ttl_seconds": 10,
	"reason": "no rule allows this connection",
}

# A known workload talks mTLS to its peers. A process that fits two workloads has no identity:
# which one it should be is for the author of the data to say.
decision := {
	"mode": "mtls",
	"spiffe_id": spiffe_id(name),
	"peers": peers,
	"reason": sprintf("workload %s", [name]),
} if {
	count(identities) == 1
	some name in identities
	peers := [spiffe_id(peer) | some peer in data.config.workloads[name].peers]
	count(peers) > 0
}

decision := {
	"mode": "plain",
	"reason": "listed as plain",
} if {
	count(identities) == 0
	is_plain
}

# The workloads that this process may be.
identities contains name if {
	some name, workload in data.config.workloads
	matches(workload.match)
}

is_plain if {
	some entry in data.config.plain
	entry.direction == input.direction
	net.cidr_contains(entry.remote, input.remote.ip)
	port_fits(entry)
	plain_match(entry)
}

port_fits(entry) if not "port" in object.keys(entry)

port_fits(entry) if entry.port == input.remote.port

plain_match(entry) if not "match" in object.keys(entry)

plain_match(entry) if matches(entry.match)

# Every field of the match is there, is known, and fits. An empty match fits nobody.
matches(match) if {
	count(match) > 0
	every field, wanted in match {
		input.process[field] == wanted
	}
}

spiffe_id(name) := sprintf("spiffe://%s/%s", [data.config.trust_domain, name])

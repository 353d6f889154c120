"""Calls agent, catalog and health of python-consul, or python-consul2 where that is found first, and prints what every call
gave as JSON.

Usage: python-services.py PORT NAME PEER. The service is called NAME; PEER is the address of a member of the mesh.
"""

import json
import sys
import threading
import time

import consul

port, name, peer = int(sys.argv[1]), sys.argv[2], sys.argv[3]
client = consul.Consul(port=port)
instance = name + "/1 é"
check = "service:" + instance
results = {"version": consul.__version__}


def told(what, value):
    """Keeps a result under its name."""
    results[what] = value
    return value


def failure(call):
    """The class and the text of the exception that a call ends with, or None."""
    try:
        call()
    except Exception as error:
        return [type(error).__name__, str(error)]
    return None


def health(**options):
    """Ids of the instances that health.service gives."""
    return [each["Service"]["ID"] for each in client.health.service(name, **options)[1]]


def statuses(checks):
    """Status and output by id."""
    return {each["CheckID"]: [each["Status"], each["Output"]] for each in checks}


def woken(ask, change):
    """What a blocking read gave that was woken by a change, whether its index rose, and whether it had to wait for it."""
    index, _ = ask()
    over = threading.Event()
    timer = threading.Timer(0.1, lambda: (over.set(), change(consul.Consul(port=port))))
    timer.start()
    started = time.monotonic()
    later, value = ask(index=index, wait="50s")
    timer.join()
    return value, int(later) > int(index) and over.is_set() and time.monotonic() - started < 30


# The agent
told("self", client.agent.self()["Config"]["NodeName"])
told("members", [[each["Name"], each["Status"]] for each in client.agent.members()])
told("members wan", [each["Name"] for each in client.agent.members(wan=True)])
told("join", client.agent.join(peer))
told("force leave", failure(lambda: client.agent.force_leave("nobody")))

# A service that comes while somebody waits for it
_, results["woken by its registration"] = woken(
    lambda **wait: client.health.service(name, **wait),
    lambda other: other.agent.service.register(
        name,
        service_id=instance,
        address="127.0.0.1",
        port=80,
        tags=["blue", "v1"],
        check=consul.Check.ttl("60s"),
    ),
)
told("services", client.agent.services()[instance])
told("critical at first", statuses(client.agent.checks().values())[check][0])
told(
    "check registered",
    client.agent.check.register("second", check=consul.Check.ttl("60s"), check_id=name + "-2", notes="why", service_id=instance),
)
told("check of nothing", client.agent.check.register("x", check=consul.Check.ttl("60s"), service_id="none"))
told("pass", client.agent.check.ttl_pass(check, notes="fine"))
told("warn", client.agent.check.ttl_warn(name + "-2", notes="so so"))
told("after", {key: value for key, value in statuses(client.health.checks(name)[1]).items()})
told("pass of nothing", client.agent.check.ttl_pass("none"))

# The catalogue
told("datacenters", client.catalog.datacenters())
told("nodes", [each["Node"] for each in client.catalog.nodes()[1]])
told("nodes near", client.catalog.nodes(near="_agent")[1][0]["Node"])
told("nodes elsewhere", failure(lambda: client.catalog.nodes(dc="elsewhere")))
told("tags", client.catalog.services()[1].get(name))
told("tags stale", client.catalog.services(consistency="stale")[1].get(name))
told("instances", [[each["ServiceID"], each["ServicePort"]] for each in client.catalog.service(name, tag="blue")[1]])
told("instances green", client.catalog.service(name, tag="green")[1])
told("node", sorted(client.catalog.node(results["self"])[1]["Services"]))
told("no node", client.catalog.node("nowhere")[1])

# Health
told("all", health())
told("passing with a warning", health(passing=True))
told("by tag", [health(tag="v1"), health(tag="v2")])
told("near", health(near="_agent"))
told("node checks", "serfHealth" in statuses(client.health.node(results["self"])[1]))
told("state", list(statuses(client.health.state("warning")[1])))
told("state unknown", client.health.state("unknown")[1])

# Its checks change while somebody waits
_, results["woken by a check"] = woken(
    lambda **wait: client.health.service(name, passing=True, **wait),
    lambda other: other.agent.check.ttl_pass(name + "-2"),
)
told("passing", health(passing=True))
_, results["woken by a failure"] = woken(
    lambda **wait: client.health.state("critical", **wait),
    lambda other: other.agent.check.ttl_fail(check, notes="broken"),
)
told("failed", statuses(client.health.state("critical")[1]))
told("check deregistered", client.agent.check.deregister(name + "-2"))
told("pass again", client.agent.check.ttl_pass(check))

# Maintenance
told("maintenance", client.agent.service.maintenance(instance, True, "upgrade"))
told("passing in maintenance", health(passing=True))
told("its check", client.agent.checks()["_service_maintenance:" + instance]["Notes"])
told("maintenance over", client.agent.service.maintenance(instance, False))
told("node maintenance", client.agent.maintenance(True, "the whole host"))
told("passing in node maintenance", health(passing=True))
told("node maintenance over", client.agent.maintenance(False))
told("passing after", health(passing=True))
told("maintenance of nothing", client.agent.service.maintenance("none", True))

# A node that has no agent, with a service and a check
told(
    "declared",
    client.catalog.register(
        name + "-node",
        "10.1.2.3",
        service={"service": name + "-far", "id": "far", "port": 99, "tags": ["far"]},
        check={"node": name + "-node", "name": "alive", "checkid": "far", "status": "passing", "serviceid": "far"},
        token="anything",
    ),
)
told("declared there", [[each["Node"], each["Address"], each["ServicePort"]] for each in client.catalog.service(name + "-far")[1]])
told("declared passing", [each["Service"]["ID"] for each in client.health.service(name + "-far", passing=True)[1]])
told("declared node", client.catalog.node(name + "-node")[1]["Node"]["Address"])
told("check taken back", client.catalog.deregister(name + "-node", check_id="far"))
told("service taken back", client.catalog.deregister(name + "-node", service_id="far", token="anything"))
told("node taken back", client.catalog.deregister(name + "-node"))
told("nothing there", [client.catalog.service(name + "-far")[1], client.catalog.node(name + "-node")[1]])

# The end
_, results["woken by its end"] = woken(
    lambda **wait: client.catalog.service(name, **wait),
    lambda other: other.agent.service.deregister(instance),
)
told("gone", [instance in client.agent.services(), client.catalog.service(name)[1], name in client.catalog.services()[1]])
told("deregistered again", client.agent.service.deregister(instance))

print(json.dumps(results))

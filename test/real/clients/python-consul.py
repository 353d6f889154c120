"""Calls python-consul, or python-consul2 where that is found first, and prints what every call gave as JSON.

Usage: python-consul.py PORT FOLDER. All keys are below FOLDER.
"""

import json
import sys
import threading
import time

import consul

port, folder = int(sys.argv[1]), sys.argv[2]
client = consul.Consul(port=port)
key = folder + "/a b/ü"
results = {"version": consul.__version__}


def told(name, value):
    """Keeps a result under its name; bytes as text, or as hexadecimal digits where they are none."""
    results[name] = value
    return value


def entry(found):
    """An entry of kv.get, its value as text."""
    if found is not None and found["Value"] is not None:
        try:
            found["Value"] = found["Value"].decode()
        except UnicodeDecodeError:
            found["Value"] = found["Value"].hex()
    if found is not None:
        # Beyond the exact numbers of who reads this.
        found["Flags"] = str(found["Flags"])
    return found


def failure(call):
    """The class and the text of the exception that a call ends with, or None."""
    try:
        call()
    except Exception as error:
        return [type(error).__name__, str(error)]
    return None


def timed(call):
    """What a call gave, and the seconds it took."""
    started = time.monotonic()
    value = call()
    return value, time.monotonic() - started


# Keys
index, missing = client.kv.get(key)
told("missing", missing)
told("index of a missing key", int(index))
told("put", client.kv.put(key, "one"))
index, one = client.kv.get(key)
told("get", entry(one))
told("index", int(index))
told("put if absent", client.kv.put(key, "two", cas=0))
told("put if another", client.kv.put(key, "two", cas=one["ModifyIndex"] + 1))
told("put if this", client.kv.put(key, "two", cas=one["ModifyIndex"], flags=2**64 - 1))
told("get after", entry(client.kv.get(key)[1]))
told("get stale", client.kv.get(key, consistency="stale")[1] is not None)
told("get consistent", entry(client.kv.get(key, consistency="consistent")[1]))
told("get with a token", client.kv.get(key, token="anything")[1] is not None)
told("put bytes", client.kv.put(folder + "/bytes", bytes(range(256))))
told("bytes", entry(client.kv.get(folder + "/bytes")[1]))
told("put nothing", client.kv.put(folder + "/nothing", None))
told("nothing", entry(client.kv.get(folder + "/nothing")[1]))
told("keys", client.kv.get(folder + "/", keys=True)[1])
told("keys cut", client.kv.get(folder + "/", keys=True, separator="/")[1])
told("recurse", [entry(each)["Key"] for each in client.kv.get(folder + "/", recurse=True)[1]])
told("recurse missing", client.kv.get(folder + "/none", recurse=True)[1])
told("elsewhere", failure(lambda: client.kv.get(key, dc="elsewhere")))
told("bad wait", failure(lambda: client.kv.get(key, index=1, wait="soon")))

# Waiting
index, _ = client.kv.get(key)
(_, same), took = timed(lambda: client.kv.get(key, index=index, wait="200ms"))
told("waited in vain", entry(same)["Value"])
told("waited in vain for", took)
writer = threading.Timer(0.05, lambda: consul.Consul(port=port).kv.put(key, "three"))
writer.start()
(woken, three), took = timed(lambda: client.kv.get(key, index=index, wait="60s"))
writer.join()
told("woken", entry(three)["Value"])
told("woken after", took)
told("woken by a later index", int(woken) > int(index))

told("delete if another", client.kv.delete(key, cas=one["ModifyIndex"]))
told("delete", client.kv.delete(key))
told("delete missing", client.kv.delete(key))
told("delete recurse", client.kv.delete(folder + "/", recurse=True))
told("all gone", client.kv.get(folder + "/", recurse=True)[1])

# Sessions
plain = told("session", client.session.create())
told("session info", client.session.info(plain)[1])
full = told(
    "full session",
    client.session.create("full", checks=[], lock_delay=0, behavior="delete", ttl=20),
)
told("full session info", client.session.info(full)[1])
told("renewed", client.session.renew(full))
node = told("node", client.agent.self()["Config"]["NodeName"])
told("sessions listed", [each["ID"] in (plain, full) for each in client.session.list()[1]].count(True))
told("sessions of the node", [each["ID"] in (plain, full) for each in client.session.node(node)[1]].count(True))
told("sessions of no node", client.session.node("nowhere")[1])
told("check that is not there", failure(lambda: client.session.create(checks=["nothing"])))

# Locks
lock = folder + "/lock"
told("acquired", client.kv.put(lock, "full", acquire=full))
told("acquired by another", client.kv.put(lock, "plain", acquire=plain))
told("locked", entry(client.kv.get(lock)[1]))
told("released by another", client.kv.put(lock, "plain", release=plain))
told("released", client.kv.put(lock, "free", release=full))
told("free", entry(client.kv.get(lock)[1]))
told("acquired again", client.kv.put(lock, "full", acquire=full))
told("destroyed", client.session.destroy(full))
told("destroyed again", client.session.destroy(full))
told("lock after", client.kv.get(lock)[1])
told("session after", client.session.info(full)[1])
told("renewed after", failure(lambda: client.session.renew(full)))
told("acquired after", failure(lambda: client.kv.put(lock, "x", acquire=full)))
told("plain destroyed", client.session.destroy(plain))

# Transactions, which only the newer of the two has.
if hasattr(client, "txn"):
    first = [
        {"KV": {"Verb": "set", "Key": folder + "/t", "Value": "MQ==", "Flags": 2**64 - 1}},
        {"KV": {"Verb": "get", "Key": folder + "/t"}},
    ]
    done = client.txn.put(first)
    told("transaction", [str(each["KV"].pop("Flags")) for each in done["Results"]])
    told("transaction in full", done)
    second = [
        {"KV": {"Verb": "delete", "Key": folder + "/t"}},
        {"KV": {"Verb": "check-not-exists", "Key": folder + "/t"}},
        {"KV": {"Verb": "get", "Key": folder + "/none"}},
    ]
    told("transaction refused", failure(lambda: client.txn.put(second)))
    told("key after", entry(client.kv.get(folder + "/t")[1])["Value"])
    told("transaction of a tree", client.txn.put([{"KV": {"Verb": "delete-tree", "Key": folder + "/"}}]))
    told("tree after", client.kv.get(folder + "/", recurse=True)[1])

# Status
told("leader", client.status.leader())
told("peers", client.status.peers())

# The servers of Raft
told("servers", sorted(each["Node"] for each in client.operator.raft_config()["Servers"]))

# Events
fired = told("fired", client.event.fire(folder, body="v2", node="^n"))
for event in client.event.list(name=folder)[1]:
    # The newer of the two leaves it as it came.
    payload = event["Payload"]
    told("event", [event["ID"], payload.decode() if isinstance(payload, bytes) else payload])

# A service of the agent; the old client says GET where the new one says PUT.
told(
    "registered",
    client.agent.service.register(
        "py", service_id=folder + "/py", address="127.0.0.1", port=80, tags=["t"], check=consul.Check.ttl("30s")
    ),
)
told("passing before", client.health.service("py", passing=True)[1])
told("reported", client.agent.check.ttl_pass("service:" + folder + "/py", notes="fine"))
told(
    "passing",
    [[each["Service"]["ID"], each["Checks"][-1]["Output"]] for each in client.health.service("py", passing=True)[1]],
)
told("catalogue", [each["ServicePort"] for each in client.catalog.service("py", tag="t")[1]])
told("deregistered", client.agent.service.deregister(folder + "/py"))
told("services after", client.agent.services())

print(json.dumps(results))

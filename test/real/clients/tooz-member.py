"""One of two members that share groups and locks through tooz's Consul driver; prints what it saw as JSON.

Usage: tooz-member.py NAME OTHER PORT OTHER_PORT NAMESPACE JOURNAL. Each time it holds the shared lock it writes a line to
the file JOURNAL when it enters and one before it leaves.
"""

import json
import sys
import time

from tooz import coordination

name, other, port, other_port, namespace, journal = sys.argv[1:]
ROUNDS = 2
DEADLINE_SECONDS = 40
saw = {}


def coordinator_of(member, its_port):
    """A started coordinator."""
    url = "consul://127.0.0.1:%s?namespace=%s&ttl=20" % (its_port, namespace)
    coordinator = coordination.get_coordinator(url, member.encode())
    coordinator.start()
    return coordinator


def until(what, ask):
    """Asks until the answer is true. Raises RuntimeError when that takes too long."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not ask():
        if time.monotonic() > deadline:
            raise RuntimeError("not in time: " + what)
        time.sleep(0.02)


def names(members):
    """Names of members in order."""
    return sorted(each.decode() for each in members)


def note(word):
    """A line in the journal."""
    with open(journal, "a") as file:
        file.write("%s %s\n" % (name, word))


coordinator = coordinator_of(name, port)
saw["renewed every"] = coordinator.heartbeat()

# A group that both make; one of them finds it made.
try:
    coordinator.create_group(b"g").get()
    saw["created"] = True
except coordination.GroupAlreadyExist:
    saw["created"] = False
coordinator.join_group(b"g", {"of": name}).get()
try:
    coordinator.join_group(b"g").get()
except coordination.MemberAlreadyExist:
    saw["joined once only"] = True
until("both have joined", lambda: len(coordinator.get_members(b"g").get()) == 2)
saw["members"] = names(coordinator.get_members(b"g").get())
saw["group is listed"] = "g" in names(coordinator.get_groups().get())
saw["capabilities of the other"] = coordinator.get_member_capabilities(b"g", other.encode()).get()["of"]
coordinator.update_capabilities(b"g", {"of": name, "new": True}).get()
saw["new capabilities"] = coordinator.get_member_capabilities(b"g", name.encode()).get()

# A lock that both want.
shared = coordinator.get_lock(b"shared")
for _ in range(ROUNDS):
    with shared:
        note("enters")
        time.sleep(0.01)
        note("leaves")

# A lock of its own, wanted through the other agent as well.
rival = coordinator_of(name + "-rival", other_port)
mine, rivals = coordinator.get_lock(name.encode()), rival.get_lock(name.encode())
saw["acquired"] = mine.acquire(blocking=False)
saw["acquired twice"] = mine.acquire(blocking=False)
saw["acquired by a rival"] = rivals.acquire(blocking=False)
saw["released by a rival"] = rivals.release()
saw["released"] = mine.release()
saw["acquired by a rival then"] = rivals.acquire(blocking=False)
rival.stop()
saw["acquired after its end"] = mine.acquire(blocking=False)

# The capabilities of the other may be read no more once it has left: wait for each other in a second group.
try:
    coordinator.create_group(b"done").get()
except coordination.GroupAlreadyExist:
    pass
coordinator.join_group(b"done").get()
until("both are done", lambda: len(coordinator.get_members(b"done").get()) == 2)

coordinator.leave_group(b"g").get()
try:
    coordinator.leave_group(b"g").get()
except coordination.MemberNotJoined:
    saw["left once only"] = True
if saw["created"]:
    until("nobody is left", lambda: coordinator.get_members(b"g").get() == set())
    saw["deleted"] = coordinator.delete_group(b"g").get()
    saw["groups after"] = names(coordinator.get_groups().get())
coordinator.stop()
print(json.dumps(saw))

"""Receives the datagrams of systemd-notify on the unix socket argv[1] and prints each as one JSON string."""

import array
import json
import os
import socket
import sys

receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
path = sys.argv[1]
receiver.bind("\0" + path[1:] if path.startswith("@") else path)
print(json.dumps("listening"), flush=True)
while True:
    data, ancillary, _, _ = receiver.recvmsg(4096, socket.CMSG_SPACE(4))
    # BARRIER=1 comes with a descriptor; the sender waits until it is closed.
    for level, kind, payload in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            for descriptor in array.array("i", payload[: len(payload) - len(payload) % 4]):
                os.close(descriptor)
    print(json.dumps(data.decode()), flush=True)
